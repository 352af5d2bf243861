"""What a TLS client says first, as Python's own OpenSSL says it, and as nobody should."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.wire.client_hello import MAX_HELLO, NOT_TLS, ClientHello, NotTls, may_be_tls, parse_client_hello

NAME = "shop.example.com"
ALPN = ["istio-http/1.1", "istio", "http/1.1"]


def hello(name: str | None = NAME, alpn: list[str] | None = None, newest: ssl.TLSVersion | None = None) -> bytes:
    """A ClientHello made by OpenSSL."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    if newest is not None:
        context.maximum_version = newest
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


WHOLE = hello(alpn=ALPN)


def in_records(message: bytes, size: int) -> bytes:
    """A handshake message in records of that many bytes."""
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def test_names_protocols_and_versions() -> None:
    assert parse_client_hello(WHOLE) == ClientHello(
        NAME, (b"istio-http/1.1", b"istio", b"http/1.1"), ("TLSv1.3", "TLSv1.2")
    )


def test_what_is_not_said_is_empty() -> None:
    assert parse_client_hello(hello(None, newest=ssl.TLSVersion.TLSv1_2)) == ClientHello("", (), ("TLSv1.2",))


def test_who_can_resume_by_a_ticket_says_so() -> None:
    found = parse_client_hello(WHOLE)
    assert isinstance(found, ClientHello)
    assert found.takes_tickets
    modes = b"\x00\x2d\x00\x02\x01\x01"  # psk_dhe_ke
    for other in (b"\x00\x2d\x00\x02\x01\x00", b"\xff\xff\x00\x02\x01\x01"):
        without = parse_client_hello(WHOLE.replace(modes, other))
        assert isinstance(without, ClientHello)
        assert not without.takes_tickets


def test_sni_is_lower_case() -> None:
    found = parse_client_hello(hello("Shop.Example.COM"))
    assert isinstance(found, ClientHello)
    assert found.server_name == NAME


def test_more_bytes_are_needed_until_it_is_whole() -> None:
    for size in range(len(WHOLE)):
        assert parse_client_hello(WHOLE[:size]) is None
    assert parse_client_hello(WHOLE + b"\x14\x03\x03\x00\x01\x01early data") == parse_client_hello(WHOLE)


@given(st.integers(20, 600))
def test_a_hello_in_several_records(size: int) -> None:
    split = in_records(WHOLE[5:], size)
    assert parse_client_hello(split) == parse_client_hello(WHOLE)
    assert parse_client_hello(split[:-1]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x00",
        b"\x16\x02\x00\x00\x05",  # SSL 2 in a way
        b"\x15\x03\x01\x00\x02\x02\x28",  # an alert
        b"\x16\x03\x01\x00\x00",  # an empty record
        b"\x16\x03\x01\xff\xff",  # a record longer than any
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",  # a ServerHello
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",  # a hello of 16 MiB
        in_records(b"\x01\x00\x00\x02\x03\x03", 100),  # nothing in it
        in_records(b"\x01\x00\x00\x26\x03\x00" + bytes(36), 100),  # SSL 3
    ],
)
def test_what_is_no_tls(data: bytes) -> None:
    assert parse_client_hello(data) is NOT_TLS


def test_a_hello_without_extensions() -> None:
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x00\x2f" + b"\x01\x00"
    assert parse_client_hello(in_records(b"\x01" + len(body).to_bytes(3, "big") + body, 10)) == ClientHello(
        "", (), ("TLSv1.2",)
    )


def test_one_byte_can_tell() -> None:
    assert may_be_tls(b"") is False
    assert may_be_tls(b"\x16") and may_be_tls(b"\x16\x03")
    assert not may_be_tls(b"\x16\x04")
    assert not may_be_tls(b"G")


def test_nobody_waits_for_ever() -> None:
    largest = b"\x01" + MAX_HELLO.to_bytes(3, "big") + bytes(MAX_HELLO)
    assert parse_client_hello(in_records(largest[:-1], 16384)) is None
    assert parse_client_hello(in_records(largest, 16384)) is NOT_TLS
    assert parse_client_hello(in_records(WHOLE[5:], 1)) is NOT_TLS


@given(st.binary(max_size=300))
def test_nothing_breaks_it(data: bytes) -> None:
    found = parse_client_hello(data)
    assert found is None or isinstance(found, ClientHello | NotTls)


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_damage_breaks_nothing(at: int, byte: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] = byte
    found = parse_client_hello(bytes(damaged))
    assert found is None or isinstance(found, ClientHello | NotTls)
