from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.cel.errors import EvaluationError
from pyproxy.cel.functions import FUNCTIONS, Duration, Timestamp, equal, text_of


def call(name: str, *arguments: object) -> object:
    return FUNCTIONS[name, len(arguments)](*arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "value"),
    [
        ("/", (-5, 2), -2),
        ("%", (-5, 3), -2),
        ("+", ("a", "b"), "ab"),
        ("+", ([1], [2]), [1, 2]),
        ("<", (1, 1.5), True),
        (">=", ("b", "a"), True),
        ("in", ("a", ["b", "a"]), True),
        ("in", ("a", {"a": 1}), True),
        (".matches", ("/api/v1", "v[0-9]$"), True),
        (".startsWith", ("/api", "/a"), True),
        (".endsWith", ("/api", "/a"), False),
        (".contains", ("/api", "p"), True),
        ("size", ("abc",), 3),
        ("int", ("12",), 12),
        ("int", (1.9,), 1),
        ("double", ("1.5",), 1.5),
        ("string", (True,), "true"),
        ("duration", ("1h1m1.5s",), Duration(3661.5)),
        ("duration", ("-10ms",), Duration(-0.01)),
        ("timestamp", ("1970-01-01T00:00:01Z",), Timestamp(1.0)),
    ],
)
def test_what_comes_out(name: str, arguments: tuple[object, ...], value: object) -> None:
    assert call(name, *arguments) == value


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("+", (1, 1.0)),
        ("+", (2**63 - 1, 1)),
        ("-", ("a", "b")),
        ("/", (1, 0)),
        ("%", (1.0, 1.0)),
        ("<", (1, "a")),
        ("<", (None, None)),
        ("in", (1, 1)),
        ("!", (1,)),
        ("-_", (True,)),
        (".matches", ("a", "(")),
        (".startsWith", (1, "a")),
        ("size", (1,)),
        ("int", ("x",)),
        ("int", (True,)),
        ("int", (float("inf"),)),
        ("double", ("x",)),
        ("string", ([],)),
        ("duration", ("soon",)),
        ("timestamp", ("2020-01-01",)),
        ("timestamp", (1,)),
    ],
)
def test_what_has_no_value(name: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(EvaluationError):
        call(name, *arguments)


def test_values_of_different_types_are_different_but_numbers_compare() -> None:
    assert equal(1, 1.0)
    assert not equal(1, True)
    assert not equal("1", 1)
    assert equal([1, "a"], [1.0, "a"])
    assert not equal([1], [1, 2])


def test_values_as_labels() -> None:
    found = [text_of(value) for value in (True, 1, 1.5, "a", None, Duration(1.5), Timestamp(0.0))]
    assert found == ["true", "1", "1.5", "a", "", "1.5s", "1970-01-01T00:00:00Z"]


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=5), st.just(["a", 1])
)


@given(st.sampled_from(sorted(FUNCTIONS)), st.lists(VALUES, min_size=2, max_size=2))
def test_any_values_come_to_a_value_or_an_evaluation_error(key: tuple[str, int], values: list[object]) -> None:
    try:
        found = FUNCTIONS[key](*values[: key[1]])
    except EvaluationError:
        return
    assert not isinstance(found, int) or -(2**63) <= found < 2**63
