from __future__ import annotations

import pytest

from pyproxy.wire.proxy_protocol import NOBODY, Ends, header

FOUR: Ends = ("10.0.0.1:1025", "10.0.0.2:80")
SIX: Ends = ("[2001:db8::1]:1025", "[2001:db8::2]:443")
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")


@pytest.mark.parametrize(
    ("ends", "line"),
    [
        (FOUR, b"PROXY TCP4 10.0.0.1 10.0.0.2 1025 80\r\n"),
        (SIX, b"PROXY TCP6 2001:db8::1 2001:db8::2 1025 443\r\n"),
        (NOBODY, b"PROXY UNKNOWN\r\n"),
        (("unix:/x", "unix:/x"), b"PROXY UNKNOWN\r\n"),
    ],
)
def test_version_1_is_a_line(ends: Ends, line: bytes) -> None:
    assert header("V1", ends) == line


@pytest.mark.parametrize(
    ("ends", "rest"),
    [
        (FOUR, "2111000c 0a000001 0a000002 0401 0050"),
        (
            SIX,
            "21210024 20010db8000000000000000000000001 20010db8000000000000000000000002 0401 01bb",
        ),
        (NOBODY, "20000000"),
        ((FOUR[0], SIX[1]), "20000000"),
    ],
)
def test_version_2_is_binary(ends: Ends, rest: str) -> None:
    assert header("V2", ends) == SIGNATURE + bytes.fromhex(rest)
