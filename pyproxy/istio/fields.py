"""What every Istio message is made of: the base class, scalars of protobuf's JSON form, durations.

A message is a frozen pydantic model whose attributes are the snake_case of Istio's JSON names. What a document does not
set, or sets to null, is None, and an empty tuple or dict for lists and maps. Enums are Istio's own words.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

__all__ = [
    "AnyDuration",
    "Base64",
    "Duration",
    "Flag",
    "Int32",
    "Int64",
    "Json",
    "Many",
    "Map",
    "Message",
    "Number",
    "OneOfMessage",
    "Percent",
    "PortSelector",
    "ScalarText",
    "UInt32",
    "UInt64",
    "also_named",
    "by_json_name",
    "json_name",
    "parse_duration",
]


def json_name(name: str) -> str:
    """The JSON name of a field, by protobuf's rule: `tcp_keepalive` is `tcpKeepalive`, `from_` is `from`."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


class Message(BaseModel):
    """A message of Istio's API: nothing may be added to it and nothing changed in it."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=json_name,
        validate_by_name=True,
        validate_by_alias=True,
        defer_build=True,  # most runs use a tenth of Istio's messages
    )


def by_json_name(message: Message) -> Iterator[tuple[str, object]]:
    """The fields of a message as a document names them, with their values."""
    fields = type(message).model_fields
    for name, value in message:
        yield fields[name].alias or json_name(name), value


def also_named(name: str, older: str) -> Any:
    """The default, None, of a field that the CRDs accept under an older name too."""
    return Field(default=None, alias=name, validation_alias=AliasChoices(name, older))


class OneOfMessage(Message):
    """A message with protobuf oneofs: of each group in ONE_OF at most one field may be set."""

    ONE_OF: ClassVar[tuple[tuple[str, ...], ...]] = ()

    @model_validator(mode="after")
    def _at_most_one(self) -> OneOfMessage:
        for group in self.ONE_OF:
            given = [json_name(name) for name in group if getattr(self, name) is not None]
            if len(given) > 1:
                raise PydanticCustomError(
                    "one_of", "{given} exclude each other: set one of them", {"given": _and(given)}
                )
        return self


def _and(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1]


_DURATION = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds of a Go duration such as `1h2m`, `1.5s` or `100ms` (time.ParseDuration).

    Raises ValueError for anything else.
    """
    if text in ("0", "+0", "-0"):
        return 0.0
    if _DURATION.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a duration")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    return round(-seconds if text.startswith("-") else seconds, 9)


def _any_duration(value: object) -> object:
    if value is None or isinstance(value, float):
        return value  # unset, or built in Python from seconds
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError:
            pass
    raise PydanticCustomError("duration", "write a duration such as 5s, 1.5s, 100ms or 1h30m")


def _duration(value: object) -> object:
    """The rule of nearly every duration in Istio's schema: a millisecond or more, in whole milliseconds."""
    seconds = _any_duration(value)
    if isinstance(seconds, float):
        if seconds < 0.001:
            raise PydanticCustomError("duration_too_small", "must be at least 1ms")
        if abs(seconds * 1000 - round(seconds * 1000)) > 1e-6:
            raise PydanticCustomError("duration_too_fine", "must be a whole number of milliseconds")
    return seconds


def _bytes(value: object) -> object:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error:
            pass
    if value is None or isinstance(value, bytes):
        return value
    raise PydanticCustomError("base64", "write the bytes in base64")


def _scalar_text(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _unset_list(value: object) -> object:
    return () if value is None else value


def _unset_map(value: object) -> object:
    return {} if value is None else value


T = TypeVar("T")

Flag = Annotated[bool, Strict()]
Int32 = Annotated[int, Strict(), Field(ge=-(2**31), le=2**31 - 1)]
UInt32 = Annotated[int, Strict(), Field(ge=0, le=2**32 - 1)]
Int64 = Annotated[int, Strict(), Field(ge=-(2**63), le=2**63 - 1)]
UInt64 = Annotated[int, Strict(), Field(ge=0, le=2**64 - 1)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Base64 = Annotated[bytes, BeforeValidator(_bytes)]
ScalarText = Annotated[str, BeforeValidator(_scalar_text)]
"""Text, also where a document has a number or a boolean: istioctl turns those of proxyMetadata into text."""
Duration = Annotated[float, BeforeValidator(_duration)]
"""Seconds; at least a millisecond and a whole number of them."""
AnyDuration = Annotated[float, BeforeValidator(_any_duration)]
"""Seconds, for the few fields where zero means something."""
Json = object
"""Whatever a document holds; not looked into."""
Many = Annotated[tuple[T, ...], BeforeValidator(_unset_list)]
Map = Annotated[dict[str, T], BeforeValidator(_unset_map)]


class Percent(Message):
    """A share from 0 to 100, with Envoy's resolution of 0.0001."""

    value: Number | None = None


class PortSelector(Message):
    """A port by its number."""

    number: UInt32 | None = None
