"""An expression as a tree. Frozen records; `position` is where in the text each began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written."""

    value: Scalar
    position: int


@dataclass(frozen=True, slots=True)
class Name:
    """An attribute's first word."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Field:
    """`of.name`; with `tested` it is `has(of.name)`."""

    of: Node
    name: str
    position: int
    tested: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """`of[key]`."""

    of: Node
    key: Node
    position: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function, operator (`_==_` is `==`) or method, whose object comes first."""

    function: str
    arguments: tuple[Node, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Both:
    """`left && right`, or `left || right` when `either`: an error on one side does not matter if the other decides."""

    left: Node
    right: Node
    either: bool
    position: int


@dataclass(frozen=True, slots=True)
class Choice:
    """`condition ? yes : no`."""

    condition: Node
    yes: Node
    no: Node
    position: int


@dataclass(frozen=True, slots=True)
class Items:
    """`[a, b]`."""

    items: tuple[Node, ...]
    position: int


Node: TypeAlias = Literal | Name | Field | Index | Call | Both | Choice | Items
