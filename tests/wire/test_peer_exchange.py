from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.wire.peer_exchange import MAX_FRAME, FrameReader, encode_frame
from pyproxy.wire.protobuf import encode_any, encode_struct

FIELDS = encode_struct({"x-envoy-peer-metadata": {"NAME": "reviews-v1"}, "x-envoy-peer-metadata-id": "sidecar~1"})
FRAME = encode_frame(FIELDS)


def framed(message: bytes, length: int | None = None) -> bytes:
    return struct.pack("!II", 0x3D230467, len(message) if length is None else length) + message


def read(*pieces: bytes) -> tuple[bytes, FrameReader]:
    reader = FrameReader()
    return b"".join([reader.feed(piece) for piece in pieces]), reader


def test_the_frame_is_a_magic_number_a_length_and_an_any() -> None:
    magic, length = struct.unpack_from("!II", FRAME)
    assert (magic, length) == (1025705063, len(FRAME) - 8)
    assert FRAME[8:].startswith(b"\x0a\x2atype.googleapis.com/google.protobuf.Struct\x12")
    assert FRAME.endswith(FIELDS)


@given(st.lists(st.integers(0, len(FRAME) + 5), max_size=6))
def test_it_is_taken_off_however_it_comes(cuts: list[int]) -> None:
    stream = FRAME + b"bytes"
    edges = [0, *sorted(cuts), len(stream)]
    rest, reader = read(*[stream[start:end] for start, end in pairwise(edges)])
    assert rest == b"bytes"
    assert reader.done
    assert reader.fields == FIELDS


def test_one_byte_at_a_time() -> None:
    rest, reader = read(*[bytes((byte,)) for byte in FRAME + FRAME])
    assert rest == FRAME  # a second one is the application's
    assert reader.fields == FIELDS


@given(st.binary(min_size=1, max_size=40))
def test_what_begins_with_something_else_passes_at_once(data: bytes) -> None:
    if data[:4] == FRAME[: len(data[:4])]:
        return
    rest, reader = read(data, b"more")
    assert rest == data + b"more"
    assert reader.done
    assert reader.fields is None


def test_a_beginning_that_only_looks_like_one_is_given_back() -> None:
    rest, reader = read(FRAME[:3], b"no")
    assert rest == FRAME[:3] + b"no"
    assert reader.done


@pytest.mark.parametrize(("came", "back"), [(b"", b""), (FRAME[:4], FRAME[:4]), (FRAME[:7], FRAME[:7])])
def test_who_ends_without_a_header_gets_its_bytes_passed_on(came: bytes, back: bytes) -> None:
    rest, reader = read(came)
    assert (rest, reader.done) == (b"", False)
    assert reader.end() == back
    assert (reader.done, reader.fields) == (True, None)


@pytest.mark.parametrize("cut", [8, 9, len(FRAME) - 1])
def test_a_frame_that_breaks_off_is_nobodys(cut: int) -> None:
    rest, reader = read(FRAME[:cut])
    assert rest == reader.end() == b""
    assert reader.fields is None


@pytest.mark.parametrize(
    "message",
    [b"", b"\xff\xff\xff", b"\x0a\x7f", encode_any("type.googleapis.com/google.protobuf.Value", FIELDS)],
)
def test_a_frame_of_something_else_is_taken_off_and_says_nothing(message: bytes) -> None:
    rest, reader = read(framed(message), b"bytes")
    assert rest == b"bytes"
    assert (reader.done, reader.fields) == (True, None)


def test_a_long_frame_is_read_to_its_end_and_not_kept() -> None:
    filling = encode_any("type.googleapis.com/google.protobuf.Struct", bytes(MAX_FRAME))
    header = framed(b"", length=len(filling))
    reader = FrameReader()
    for piece in (header, filling[:5000], filling[5000:-1]):
        assert reader.feed(piece) == b""
        assert not reader.done
    assert len(reader._held) == 0
    assert reader.feed(filling[-1:] + b"bytes") == b"bytes"
    assert (reader.done, reader.fields) == (True, None)


@given(st.binary(max_size=100), st.binary(max_size=20))
def test_no_bytes_of_the_application_are_lost_or_made_up(message: bytes, after: bytes) -> None:
    rest, reader = read(framed(message) + after)
    assert (rest, reader.done) == (after, True)
