"""Addresses and blocks."""

from __future__ import annotations

import pytest

from pyproxy.policy.cidr import parse_address, parse_block


@pytest.mark.parametrize(
    ("block", "address", "inside"),
    [
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("0.0.0.0/0", "1.2.3.4", True),
        ("0.0.0.0/0", "::1", False),
        ("::/0", "1.2.3.4", False),
        ("::/0", "fd00::1", True),
        ("fd00::/8", "fdff::1", True),
        ("fd00::/8", "fe00::1", False),
        ("10.0.0.0/8", "::ffff:10.0.0.1", False),
    ],
)
def test_a_block_holds_addresses_of_its_family(block: str, address: str, inside: bool) -> None:
    found = parse_address(address)
    assert found is not None
    assert parse_block(block).contains(found) is inside


@pytest.mark.parametrize("text", ["", "10.1.2", "10.1.2.999", "10.1.2.3:80", "[::1]", "unknown"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "first"), [("10.1.2.3/8", "10.0.0.0"), ("fd00:1::1/16", "fd00::"), ("1.2.3.4", "1.2.3.4")]
)
def test_a_block_names_its_first_address(text: str, first: str) -> None:
    assert parse_block(text).text == first


def test_what_is_no_block_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        parse_block("10.0.0.0/33")
