from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.wire.protobuf import MAX_DEPTH, decode_any, decode_struct, encode_any, encode_struct

KNOWN = {"a": "b", "f": True, "l": [1.5, None, "x"], "s": {"k": "v" * 200}, "z": None}
KNOWN_BYTES = (
    bytes.fromhex(
        "0a080a016112031a01620a070a0166120220010a1b0a016c121632140a0911000000000000f83f0a0208000a031a01780add010a01731"
        "2d7012ad4010ad1010a016b12cb011ac801"
    )
    + b"v" * 200
    + bytes.fromhex("0a070a017a12020800")
)
"""What Google's own encoder makes of KNOWN."""

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_the_bytes_are_protobufs() -> None:
    assert encode_struct(KNOWN) == KNOWN_BYTES
    assert decode_struct(KNOWN_BYTES) == KNOWN


def test_keys_are_in_order_however_they_came() -> None:
    assert encode_struct({"b": "1", "a": "2"}) == encode_struct({"a": "2", "b": "1"})


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_what_goes_in_comes_out(fields: dict[str, object]) -> None:
    assert decode_struct(encode_struct(fields)) == fields


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        decode_struct(data)
    except ValueError:
        pass


@given(st.dictionaries(st.text(), VALUES, max_size=3), st.data())
def test_a_cut_message_is_refused_or_shorter(fields: dict[str, object], data: st.DataObject) -> None:
    encoded = encode_struct(fields)
    cut = encoded[: data.draw(st.integers(0, len(encoded)))]
    try:
        assert set(decode_struct(cut)) <= set(fields)
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x0a", "cut off"),
        (b"\x0a\x05ab", "cut off"),
        (b"\x02\x00", "field number 0"),
        (b"\x0b", "wire type 3"),
        (b"\xff" * 11, "too long"),
        (b"\x09\x00", "cut off"),
        (b"\x0a\x03\x0a\x01\xff", "utf-8"),
    ],
)
def test_broken_messages_say_why(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_struct(data)


def test_nesting_is_bounded() -> None:
    deep: object = "x"
    for _ in range(MAX_DEPTH + 2):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="too deep"):
        decode_struct(encode_struct({"a": deep}))
    for _ in range(MAX_DEPTH + 2):
        deep = [deep]
    with pytest.raises(ValueError, match="too deep"):
        decode_struct(encode_struct({"a": deep}))


def test_unknown_fields_are_passed_over() -> None:
    assert decode_struct(b"\x10\x05\x1d1234\x1912345678" + KNOWN_BYTES) == KNOWN


def test_an_any_names_what_it_holds() -> None:
    encoded = encode_any("type.googleapis.com/google.protobuf.Struct", KNOWN_BYTES)
    assert encoded.startswith(b"\x0a\x2atype.googleapis.com/google.protobuf.Struct\x12")
    assert decode_any(encoded) == ("type.googleapis.com/google.protobuf.Struct", KNOWN_BYTES)
    with pytest.raises(ValueError, match="cut off"):
        decode_any(encoded[:-1])
