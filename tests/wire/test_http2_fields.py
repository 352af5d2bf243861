"""Names and values that HTTP/2 allows."""

from __future__ import annotations

import pytest

from pyproxy.wire.http2_fields import BadHead, FieldNames, bad_value, read_trailers


@pytest.mark.parametrize(
    "name", [b"Upper", b"", b"a b", b"a:", b":status", b"connection", b"transfer-encoding", b"\xc3"]
)
def test_names_that_no_field_may_have(name: bytes) -> None:
    with pytest.raises(BadHead):
        FieldNames({}).learn(name)


def test_a_fate_does_not_make_a_name_of_the_connection_welcome() -> None:
    names = FieldNames({b"connection": 2, b"te": 2})
    assert b"connection" not in names.known
    assert names.known[b"te"] == (b"te", 2)


@pytest.mark.parametrize(
    ("value", "bad"), [(b"a\tb", False), (b"\xff", False), (b"a\0", True), (b"\r", True), (b"\x7f", True)]
)
def test_controls_in_a_value(value: bytes, bad: bool) -> None:
    assert bool(bad_value(value)) is bad


def test_trailers_are_fields_in_a_bound() -> None:
    names = FieldNames({})
    assert read_trailers([(b"x", b"1")], names, 1, 100) == [(b"x", b"1")]
    for lines in ([(b"x", b"1")] * 2, [(b"x", b"1" * 200)]):
        with pytest.raises(BadHead) as caught:
            read_trailers(lines, names, 1, 100)
        assert caught.value.only_stream
    with pytest.raises(BadHead):
        read_trailers([(b":status", b"200")], names, 1, 100)
