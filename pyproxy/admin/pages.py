"""A page: what one admin request is answered with. Long ones come in pieces; between two of them traffic runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

TEXT = "text/plain; charset=UTF-8"
JSON = "application/json"
HTML = "text/html; charset=UTF-8"
Query = Mapping[str, str]
Piece = str | bytes


@dataclass(frozen=True, slots=True)
class Page:
    """An answer. Every piece takes a few milliseconds at most to make."""

    pieces: Iterable[Piece]
    status: int = 200
    content_type: str = TEXT


class BadRequest(Exception):
    """The query cannot be served; the text says what is accepted."""


def text(content: str, status: int = 200) -> Page:
    """A short text."""
    return Page((content,), status)


def as_json(value: object) -> Page:
    """A document, laid out as Envoy lays it out. An iterator in it is a list that is written item by item."""
    return Page(_json_pieces(value, "\n"), content_type=JSON)


def _json_pieces(value: object, newline: str) -> Iterator[str]:
    if isinstance(value, Iterator):
        yield from _enclosed("[", (("", item) for item in value), "]", newline)
    elif isinstance(value, dict) and _is_long(value):
        members = ((f"{json.dumps(name)}: ", member) for name, member in value.items())
        yield from _enclosed("{", members, "}", newline)
    else:
        yield json.dumps(value, indent=1, ensure_ascii=False).replace("\n", newline)
    if newline == "\n":
        yield newline


def _enclosed(opening: str, members: Iterable[tuple[str, object]], closing: str, newline: str) -> Iterator[str]:
    inner = newline + " "
    separator = opening
    for label, member in members:
        yield separator + inner + label
        yield from _json_pieces(member, inner)
        separator = ","
    yield opening + closing if separator == opening else newline + closing


def _is_long(value: dict[str, object]) -> bool:
    return any(isinstance(each, Iterator) or (isinstance(each, dict) and _is_long(each)) for each in value.values())
