"""Header compression, against the library that everybody uses, and against blocks that are none."""

from __future__ import annotations

import hpack
import pytest
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hpack.exceptions import OversizedHeaderListError
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.wire.hpack import Decoder, Encoder, decode_huffman

NAMES = st.sampled_from(
    [b":path", b":status", b"x-request-id", b"authorization", b"user-agent", b"x", b"cookie", b"content-type", b"date"]
) | st.binary(min_size=1, max_size=40)
LINES = st.lists(st.tuples(NAMES, st.sampled_from([b"", b"200", b"a"]) | st.binary(max_size=1500)), max_size=30)


@given(st.lists(LINES, max_size=8), st.lists(st.integers(0, 8192), max_size=8))
def test_what_we_write_others_read(blocks: list[list[tuple[bytes, bytes]]], sizes: list[int]) -> None:
    encoder, theirs, ours = Encoder(), hpack.Decoder(), Decoder()
    theirs.max_header_list_size = ours.max_header_list_size = 1 << 24
    theirs.max_allowed_table_size = ours.max_allowed_table_size = 8192
    for number, lines in enumerate(blocks):
        if number < len(sizes):
            encoder.header_table_size = sizes[number]
        block = encoder.encode(lines)
        assert [(bytes(name), bytes(value)) for name, value in theirs.decode(block, raw=True)] == lines
        assert ours.decode(block) == lines


@given(st.lists(LINES, max_size=8), st.lists(st.integers(0, 4096), max_size=8), st.booleans())
def test_what_others_write_we_read(blocks: list[list[tuple[bytes, bytes]]], sizes: list[int], huffman: bool) -> None:
    theirs, ours = hpack.Encoder(), Decoder()
    ours.max_header_list_size = 1 << 24
    for number, lines in enumerate(blocks):
        if number < len(sizes):
            theirs.header_table_size = sizes[number]
        assert ours.decode(theirs.encode(lines, huffman=huffman)) == lines


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_read_as_others_read_it(block: bytes) -> None:
    theirs = hpack.Decoder()
    try:
        expected = [(bytes(name), bytes(value)) for name, value in theirs.decode(block, raw=True)]
    except Exception:
        with pytest.raises(ProtocolError):
            Decoder().decode(block)
    else:
        assert Decoder().decode(block) == expected


def test_what_stays_is_one_byte_and_what_changes_takes_no_place() -> None:
    encoder = Encoder()
    lines = [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"server", b"envoy")]
    encoder.encode(lines)
    for number in range(200):
        encoder.encode([(b"x-request-id", b"%d" % number)])
    assert len(encoder.encode(lines)) == 3


def test_a_secret_is_never_indexed() -> None:
    encoder = Encoder()
    first = encoder.encode([(b"authorization", b"secret")])
    assert first[0] & 0xF0 == 0x10
    assert encoder.encode([(b"authorization", b"secret")]) == first


def test_a_list_may_only_be_so_long() -> None:
    decoder = Decoder()
    decoder.max_header_list_size = 100
    block = Encoder().encode([(b"a", b"b"), (b"a", b"b"), (b"a", b"b")])
    with pytest.raises(OversizedHeaderListError):
        decoder.decode(block)


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",
        b"\xbe",
        b"\xff\xff\xff\xff\xff\xff\x7f",
        b"\x40",
        b"\x40\x05ab",
        b"\x82\x20",
        b"\x3f\xff\xff\x01",
        b"\x7f",
    ],
)
def test_blocks_that_are_none(block: bytes) -> None:
    with pytest.raises(ProtocolError) as error:
        Decoder().decode(block)
    assert error.value.error_code == ErrorCodes.COMPRESSION_ERROR


@pytest.mark.parametrize("text", [b"\xff\xff\xff\xff", b"\x00", b"\x1f\x00"])
def test_texts_that_huffman_has_not(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_huffman(text)
