"""Operators, functions and methods: what each makes of its arguments.

Source: cel-spec doc/langdef.md, section "Standard definitions". Numbers of different kinds compare; they do not add up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pyproxy.cel.errors import EvaluationError
from pyproxy.core.regex import RegexError, compile_regex

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A length of time."""

    seconds: float


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A moment, in Unix seconds."""

    seconds: float


def kind_of(value: object) -> str:
    """CEL's name of a value's type."""
    for kind, types in _KINDS:
        if isinstance(value, types):
            return kind
    return "null"


_KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("bool", (bool,)),  # which is an int in Python: so it comes first
    ("int", (int,)),
    ("double", (float,)),
    ("string", (str,)),
    ("list", (list, tuple)),
    ("map", (Mapping,)),
    ("duration", (Duration,)),
    ("timestamp", (Timestamp,)),
)
_NUMBERS = frozenset(("int", "double"))
_ORDERED = frozenset(("string", "duration", "timestamp", "bool"))


def text_of(value: object) -> str:
    """A value as Envoy prints it into a label."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Duration):
        return f"{value.seconds:g}s"
    if isinstance(value, Timestamp):
        return datetime.fromtimestamp(value.seconds, UTC).isoformat().replace("+00:00", "Z")
    return "" if value is None else str(value)


def _no_overload(function: str, *values: object) -> EvaluationError:
    return EvaluationError(f"{function} does not take {' and '.join(kind_of(value) for value in values)}")


# Comparing


def equal(left: object, right: object) -> bool:
    """Values of different types are different."""
    kinds = kind_of(left), kind_of(right)
    if kinds[0] != kinds[1] and not _NUMBERS.issuperset(kinds):
        return False
    if kinds[0] == "list" and isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right


def _ordered(sign: str, compare: Callable[[Any, Any], bool]) -> Callable[..., object]:
    def ordered(left: object, right: object) -> bool:
        kinds = {kind_of(left), kind_of(right)}
        if not (kinds <= _NUMBERS or (len(kinds) == 1 and kinds <= _ORDERED)):
            raise _no_overload(sign, left, right)
        return compare(left, right)

    return ordered


def _contained(item: object, collection: object) -> bool:
    if isinstance(collection, Mapping):
        return isinstance(item, str) and item in collection
    if isinstance(collection, list | tuple):
        return any(equal(item, each) for each in collection)
    raise _no_overload("in", item, collection)


# Reckoning


def _whole(value: int) -> int:
    if not _SMALLEST <= value <= _LARGEST:
        raise EvaluationError("the number is too large")
    return value


def _add(left: Any, right: Any) -> object:
    kind = kind_of(left)
    if kind != kind_of(right):
        raise _no_overload("+", left, right)
    if kind == "int":
        return _whole(left + right)
    if kind in ("double", "string"):
        return left + right
    if kind == "list":
        return [*left, *right]
    raise _no_overload("+", left, right)


def _reckoned(sign: str, whole: Callable[[int, int], int], decimal: Callable[[float, float], float] | None) -> Any:
    def reckoned(left: Any, right: Any) -> object:
        kinds = kind_of(left), kind_of(right)
        try:
            if kinds == ("int", "int"):
                return _whole(whole(left, right))
            if kinds == ("double", "double") and decimal is not None:
                return decimal(left, right)
        except (ZeroDivisionError, OverflowError) as error:
            raise EvaluationError(str(error)) from error
        raise _no_overload(sign, left, right)

    return reckoned


def _quotient(left: int, right: int) -> int:
    found = abs(left) // abs(right)
    return found if (left < 0) is (right < 0) else -found


def _remainder(left: int, right: int) -> int:
    found = abs(left) % abs(right)
    return -found if left < 0 else found


def _minus(value: object) -> object:
    if kind_of(value) not in _NUMBERS:
        raise _no_overload("-", value)
    return _whole(-value) if isinstance(value, int) else -value  # type: ignore[operator]  # a float


def _not(value: object) -> bool:
    if not isinstance(value, bool):
        raise _no_overload("!", value)
    return not value


# Texts


def _on_texts(name: str, function: Callable[[str, str], object]) -> Callable[..., object]:
    def on_texts(text: object, other: object) -> object:
        if not isinstance(text, str) or not isinstance(other, str):
            raise _no_overload(name, text, other)
        return function(text, other)

    return on_texts


def _matches(text: str, pattern: str) -> bool:
    """RE2; the pattern may fit anywhere."""
    try:
        return compile_regex(pattern).search(text.encode("utf-8", "surrogateescape")) is not None
    except RegexError as error:
        raise EvaluationError(str(error)) from error


def _size(value: object) -> int:
    if isinstance(value, str | list | tuple | Mapping):
        return len(value)
    raise _no_overload("size", value)


# Conversions


def _string(value: object) -> str:
    if kind_of(value) in ("list", "map", "null"):
        raise _no_overload("string", value)
    return text_of(value)


def _int(value: object) -> int:
    if isinstance(value, bool):
        raise _no_overload("int", value)
    try:
        if isinstance(value, str):
            if re.fullmatch(r"[+-]?[0-9]+", value) is None:
                raise EvaluationError(f"{value!r} is no whole number")
            return _whole(int(value))
        if isinstance(value, int | float):
            return _whole(int(value))
    except (ValueError, OverflowError) as error:
        raise EvaluationError(str(error)) from error
    raise _no_overload("int", value)


def _double(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _no_overload("double", value)
    try:
        return float(value)
    except (ValueError, OverflowError) as error:
        raise EvaluationError(str(error)) from error


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?)(h|ms|m|s|us|ns)")
_DURATION = re.compile(rf"-?(?:{_PART.pattern})+")


def _duration(value: object) -> Duration:
    """Go's notation: `1h30m`, `500ms`."""
    if isinstance(value, Duration):
        return value
    if not isinstance(value, str):
        raise _no_overload("duration", value)
    if _DURATION.fullmatch(value) is None:
        raise EvaluationError(f"{value!r} is no duration")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    return Duration(-seconds if value.startswith("-") else seconds)


def _timestamp(value: object) -> Timestamp:
    """RFC 3339."""
    if isinstance(value, Timestamp):
        return value
    if not isinstance(value, str):
        raise _no_overload("timestamp", value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise EvaluationError(f"{value!r} is no timestamp") from error
    if moment.tzinfo is None:
        raise EvaluationError(f"{value!r} has no time zone")
    return Timestamp(moment.timestamp())


FUNCTIONS: Final[Mapping[tuple[str, int], Callable[..., object]]] = {
    ("==", 2): equal,
    ("!=", 2): lambda left, right: not equal(left, right),
    ("<", 2): _ordered("<", lambda left, right: bool(left < right)),
    ("<=", 2): _ordered("<=", lambda left, right: bool(left <= right)),
    (">", 2): _ordered(">", lambda left, right: bool(left > right)),
    (">=", 2): _ordered(">=", lambda left, right: bool(left >= right)),
    ("in", 2): _contained,
    ("+", 2): _add,
    ("-", 2): _reckoned("-", lambda left, right: left - right, lambda left, right: left - right),
    ("*", 2): _reckoned("*", lambda left, right: left * right, lambda left, right: left * right),
    ("/", 2): _reckoned("/", _quotient, lambda left, right: left / right),
    ("%", 2): _reckoned("%", _remainder, None),
    ("-_", 1): _minus,
    ("!", 1): _not,
    (".contains", 2): _on_texts("contains", lambda text, part: part in text),
    (".startsWith", 2): _on_texts("startsWith", lambda text, start: text.startswith(start)),
    (".endsWith", 2): _on_texts("endsWith", lambda text, end: text.endswith(end)),
    (".matches", 2): _on_texts("matches", _matches),
    ("matches", 2): _on_texts("matches", _matches),
    (".size", 1): _size,
    ("size", 1): _size,
    ("string", 1): _string,
    ("int", 1): _int,
    ("double", 1): _double,
    ("duration", 1): _duration,
    ("timestamp", 1): _timestamp,
    ("dyn", 1): lambda value: value,
}
"""(name, number of arguments) → function; a method's name begins with a dot, and its object is the first argument."""
