"""Plain values against the messages of Istio's API: every mismatch at once, each with what would have been right."""

from __future__ import annotations

import copy
import difflib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pyproxy.istio.fields import Message, json_name
from pyproxy.istio.problems import FieldPath
from pyproxy.istio.yaml_values import Unquoted

M = TypeVar("M", bound=Message)


WrittenText = Callable[[FieldPath], str | None]
"""The unquoted text that a scalar was written as, or None."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A value that does not fit its field."""

    path: FieldPath
    message: str
    clouded: FieldPath
    """Whatever rules say about this path, or what holds it or is in it, may be the mistake's doing."""
    of_key: bool = False
    """Whether the field itself is the mistake."""


def parse_message(model: type[M], body: object, written: WrittenText) -> tuple[M | None, list[Mismatch]]:
    """The message, and what did not fit. With mismatches the message lacks what they are about, or is None."""
    try:
        return _validate(model, body), []
    except ValidationError as error:
        return _without_mistakes(model, body, error), _mismatches(model, error, written)


def _validate(model: type[M], body: object) -> M:
    return model.model_validate(body, by_alias=True, by_name=False)


def _without_mistakes(model: type[M], body: object, error: ValidationError) -> M | None:
    """What is left when everything wrong is taken out, so that the rest can still be checked."""
    rest = copy.deepcopy(body)
    while True:
        wrong = [_wrong_part(details) for details in error.errors()]
        if not all(wrong):
            return None  # the whole is wrong
        for path in wrong:
            _remove(rest, path)
        try:
            return _validate(model, rest)
        except ValidationError as another:
            error = another


def _wrong_part(details: ErrorDetails) -> FieldPath:
    """What to take out. What misses a field is itself wrong; a list goes whole, so that indexes stay true."""
    path = details["loc"]
    if details["type"] == "missing":
        path = path[:-1]
    while path and isinstance(path[-1], int):
        path = path[:-1]
    return path


def _remove(body: object, path: FieldPath) -> None:
    for step in path[:-1]:
        if isinstance(body, dict):
            body = body.get(str(step))
        elif isinstance(body, list) and isinstance(step, int):
            body = body[step]
    if isinstance(body, dict):  # or else it went with something around it
        body.pop(path[-1], None)


# Saying what is wrong


def _mismatches(model: type[Message], error: ValidationError, written: WrittenText) -> list[Mismatch]:
    found = []
    meant: set[FieldPath] = set()
    for details in error.errors():
        path = details["loc"]
        if details["type"] == "extra_forbidden":
            message, near = _unknown_field(model, path)
            clouded = path[:-1] if near is None else (*path[:-1], near)
            meant.add(clouded)
            found.append(Mismatch(path, message, clouded, of_key=True))
        elif isinstance(details["input"], Unquoted):
            found.append(Mismatch(path, _ambiguous(details["input"]), path))
        else:
            found.append(Mismatch(path, _say(details, written(path)), path))
    # A misspelt field is one mistake: the right name, though missing, needs no line of its own.
    return [mismatch for mismatch in found if mismatch.of_key or mismatch.path not in meant]


def _ambiguous(value: Unquoted) -> str:
    return f'{value.text} without quotes is {value.meaning} in YAML: if text is meant, put it in quotes: "{value.text}"'


_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _say(details: ErrorDetails, written: str | None) -> str:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    if kind in ("string_type", "literal_error") and written and isinstance(value, bool | int | float):
        meaning = _describe(value) if isinstance(value, bool) else "a number"
        return f'must be text, and {written} without quotes is {meaning} in YAML: put it in quotes: "{written}"'
    wanted = _WANTED.get(kind)
    if wanted is not None:
        return f"must be {wanted}, not {_describe(value)}{_remedy(kind, value)}"
    match kind:
        case "missing":
            return "is required"
        case "literal_error":
            return f"must be one of {_list_of(context['expected'])}, not {_describe(value)}"
        case "greater_than_equal":
            return f"must be {context['ge']} or more, not {value}"
        case "less_than_equal":
            return f"must be {context['le']} or less, not {value}"
        case "finite_number":
            return "must be a finite number"
    return details["msg"]


def _list_of(expected: str) -> str:
    return expected.replace("'", "").replace(" or ", ", ")


def _describe(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}..."'
        case list() | tuple():
            return "a list"
        case Mapping():
            return "a mapping"
    return type(value).__name__


def _remedy(kind: str, value: object) -> str:
    if not isinstance(value, str):
        return ""
    if kind in ("int_type", "float_type") and value.removeprefix("-").isdigit():
        return ": leave out the quotes"
    if kind == "bool_type" and value in ("true", "false"):
        return ": leave out the quotes"
    if kind == "tuple_type":
        return f': write ["{value}"]'
    return ""


# Names that would have fitted


def _unknown_field(model: type[Message], path: FieldPath) -> tuple[str, str | None]:
    """What to say, and the field that was probably meant."""
    name = str(path[-1])
    owner = _message_at(model, path[:-1])
    names = sorted(json_names(owner)) if owner is not None else []
    near = nearest(name, names)
    if near is not None:
        return f"unknown field {name}; did you mean {near}?", near
    return f"unknown field {name}; accepted are {', '.join(names) or 'no fields'}", None


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant: the same in camelCase, or else spelt nearly so."""
    by_lower = {known.lower(): known for known in names}
    same = by_lower.get(json_name(name).lower()) or by_lower.get(name.replace("-", "").lower())
    if same is not None:
        return same
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[close[0]] if close else None


def json_names(model: type[Message]) -> list[str]:
    """The names that a message's fields have in a document."""
    return [field.alias or json_name(name) for name, field in model.model_fields.items()]


def _message_at(model: type[Message], path: FieldPath) -> type[Message] | None:
    """The type of the message at a path, read from the models' annotations."""
    annotation: object = model
    for step in path:
        annotation = _inside(annotation, step)
    for candidate in _alternatives(annotation):
        if isinstance(candidate, type) and issubclass(candidate, Message):
            candidate.model_rebuild()
            return candidate
    return None


def _inside(annotation: object, step: str | int) -> object:
    for candidate in _alternatives(annotation):
        if isinstance(candidate, type) and issubclass(candidate, Message):
            candidate.model_rebuild()
            for name, field in candidate.model_fields.items():
                if step == (field.alias or json_name(name)):
                    return field.annotation
        arguments = typing.get_args(candidate)
        if typing.get_origin(candidate) is tuple and isinstance(step, int):
            return arguments[0]
        if typing.get_origin(candidate) is dict:
            return arguments[1]
    return None


def _alternatives(annotation: object) -> list[object]:
    """What an annotation may be, without Annotated and with the members of a union apart."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [one for argument in typing.get_args(annotation) for one in _alternatives(argument)]
    return [annotation]
