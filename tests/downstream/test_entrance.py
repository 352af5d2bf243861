"""What the first bytes of a connection decide."""

from __future__ import annotations

import pytest

from pyproxy.downstream.entrance import looks_like_http


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (b"G", None),
        (b"GET", None),
        (b"GET ", True),
        (b"GET / HTTP/1.1\r\n", True),
        (b"PROPFIND ", True),
        (b"AB ", False),
        (b"get /", False),
        (b"\x16\x03\x01", False),
        (b"SSH-2.0", False),
        (b"A" * 16, None),
        (b"A" * 17, False),
    ],
)
def test_the_first_bytes_tell_http_from_the_rest(data: bytes, verdict: bool | None) -> None:
    assert looks_like_http(data) is verdict
