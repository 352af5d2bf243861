from __future__ import annotations

import base64

from pyproxy.wire.websocket import accept_of, handshake, value_of


def test_the_answer_to_a_key_is_that_of_the_standard() -> None:
    assert accept_of(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3


def test_a_request_without_a_key_gets_one_of_its_own() -> None:
    lines, accept = handshake([(b"sec-websocket-version", b"13")])
    name, _, key = lines.removesuffix(b"\r\n").partition(b": ")
    assert name == b"sec-websocket-key" and len(base64.b64decode(key, validate=True)) == 16
    assert accept == accept_of(key)
    assert handshake([(b"sec-websocket-version", b"13")])[0] != lines
    assert handshake([])[0].endswith(b"\r\nsec-websocket-version: 13\r\n")


def test_a_key_that_is_there_is_left_to_its_owner() -> None:
    assert handshake([(b"sec-websocket-key", b"x")]) == (b"", b"")


def test_the_first_line_counts() -> None:
    assert value_of([(b"a", b"1"), (b"b", b"2"), (b"b", b"3")], b"b") == b"2"
    assert value_of([], b"b") == b""
