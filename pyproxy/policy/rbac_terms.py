"""The conditions of an authorization rule, one per matcher of Envoy's RBAC filter: data; predicates come of it.

Source: Envoy api/envoy/config/rbac/v3/rbac.proto, as far as Istio's pilot/pkg/security/authz/model uses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pyproxy.policy.cidr import Block


@dataclass(frozen=True, slots=True)
class Text:
    """How a text must look. `regex` is RE2 over the whole text. Letter case is ASCII's."""

    how: Literal["exact", "prefix", "suffix", "regex"]
    text: str
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Authenticated:
    """One of the names in the peer's certificate: its URI names, its DNS names, its subject. Never on plaintext."""

    name: Text


@dataclass(frozen=True, slots=True)
class DirectIp:
    """The TCP peer's address."""

    block: Block


@dataclass(frozen=True, slots=True)
class RemoteIp:
    """The client's address, as far as x-forwarded-for is trusted."""

    block: Block


@dataclass(frozen=True, slots=True)
class DestinationIp:
    """Where the client's connection was going."""

    block: Block


@dataclass(frozen=True, slots=True)
class DestinationPort:
    """The workload's port."""

    port: int


@dataclass(frozen=True, slots=True)
class ServerName:
    """SNI; empty on plaintext."""

    name: Text


@dataclass(frozen=True, slots=True)
class Header:
    """A request header, lower case; `:method` and `:authority` too. `value` None: it only has to be there."""

    name: str
    value: Text | None


@dataclass(frozen=True, slots=True)
class Path:
    """The path without its query."""

    path: Text


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """The path without its query, as a template."""

    template: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the verified token, found through `path`: one of `values`, as a text or as an element of a list."""

    path: tuple[str, ...]
    values: tuple[Text, ...]
    in_lists: bool = True


@dataclass(frozen=True, slots=True)
class Metadata:
    """What some other filter of Envoy's left behind: no such filter runs here, so it never holds."""

    filter: str
    key: str
    values: tuple[Text, ...]
    """Of a list each element is looked at when the value was written in brackets."""
    in_lists: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one holds; of none, always."""

    terms: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of them holds; of none, never."""

    terms: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold."""

    term: Term


Term = (
    Authenticated
    | DirectIp
    | RemoteIp
    | DestinationIp
    | DestinationPort
    | ServerName
    | Header
    | Path
    | PathTemplate
    | Claim
    | Metadata
    | AllOf
    | AnyOf
    | Not
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule under its id. It matches when both hold, as Envoy's Policy."""

    identifier: str
    """`ns[NAMESPACE]-policy[NAME]-rule[INDEX]`."""
    permission: Term
    principal: Term
