from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.wire.timestamp import compile_timestamp

AT = 1795269407.355949


@pytest.fixture
def in_kolkata(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", b"2026-11-21T13:56:47.355Z"),
        ("%s", b"1795269407"),
        ("%f|%1f|%6f|%9f", b"355949000|3|355949|355949000"),
        ("%E3S %E6f", b"47.355 355949"),
        ("%Y/%m/%dT%H:%M:%S%z %Z", b"2026/11/21T13:56:47+0000 UTC"),
        ("%%s", b"%1795269407"),
        ("no time", b"no time"),
    ],
)
def test_formats(text: str, expected: bytes) -> None:
    assert compile_timestamp(text)(AT) == expected


@pytest.mark.usefixtures("in_kolkata")
def test_local_time_says_its_zone_and_the_epoch_stays() -> None:
    assert compile_timestamp("", local=True)(AT) == b"2026-11-21T19:26:47.355+0530"
    assert compile_timestamp("%s", local=True)(AT) == b"1795269407"
    assert compile_timestamp("%H %s")(AT) == b"13 1795269407"


@pytest.mark.parametrize("text", ["%n", "a\nb", "%-n", "%En"])
def test_a_newline_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="newline"):
        compile_timestamp(text)


@given(st.lists(st.integers(0, 2**40).map(lambda micros: micros / 1e6), min_size=1))
def test_seconds_are_kept_apart(times: list[float]) -> None:
    render = compile_timestamp("%s.%6f")
    for at in times:
        assert float(render(at)) == pytest.approx(at, abs=1e-6)
