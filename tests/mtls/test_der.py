"""DER: what is one value after the other, and what is nothing of the kind."""

from __future__ import annotations

import pytest

from pyproxy.mtls.der import INTEGER, SEQUENCE, Element, elements, identifier, only

ONE = bytes.fromhex("020101")


def test_values_come_one_after_the_other() -> None:
    assert list(elements(ONE + bytes.fromhex("0500"))) == [Element(INTEGER, b"\1", ONE), Element(5, b"", b"\5\0")]
    assert list(elements(b"")) == []


def test_long_values_have_long_lengths() -> None:
    for size, length in ((0x7F, "7f"), (0x80, "8180"), (0x100, "820100"), (0x10000, "83010000")):
        whole = b"\x30" + bytes.fromhex(length) + bytes(size)
        assert only(whole, SEQUENCE) == Element(SEQUENCE, bytes(size), whole)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("02", "no length"),
        ("0202ff", "ends behind its frame"),
        ("3080020101 0000", "indefinite: BER"),
        ("02810101", "longer than needed"),
        ("0282000101", "longer than needed"),
        ("308400", "its length is cut off"),
        ("1f8101 00", "a tag of several bytes"),
        ("020101 020101", "two where one belongs"),
        ("", "none where one belongs"),
        ("0400", "another tag"),
    ],
)
def test_what_is_no_der_is_an_error(data: str, why: str) -> None:
    with pytest.raises(ValueError):
        only(bytes.fromhex(data), INTEGER)


@pytest.mark.parametrize(
    ("content", "text"),
    [("550403", "2.5.4.3"), ("2a864886f70d010901", "1.2.840.113549.1.9.1"), ("00", "0.0"), ("883703", "2.999.3")],
)
def test_identifiers_are_written_with_dots(content: str, text: str) -> None:
    assert identifier(bytes.fromhex(content)) == text


@pytest.mark.parametrize("content", ["", "5504 83"])
def test_an_identifier_has_an_end(content: str) -> None:
    with pytest.raises(ValueError):
        identifier(bytes.fromhex(content))
