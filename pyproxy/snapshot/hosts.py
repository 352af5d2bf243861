"""Host names as Istio compares them: short names, wildcards, which of two is more specific.

A wildcard is a name that begins with `*`; what follows is compared as a plain suffix, so `*.foo.com` takes
`a.b.foo.com` and not `foo.com`. Source: Istio pkg/config/host/name.go, pilot/pkg/model/config.go.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

MESH = "mesh"
"""The reserved gateway name that means every sidecar."""


def is_wildcard(host: str) -> bool:
    """Whether the name stands for many."""
    return host.startswith("*")


def is_address(host: str) -> bool:
    """An IPv4 or IPv6 address, without brackets or port."""
    if not host or not (host[0].isdigit() or ":" in host):
        return False  # spares the parser, and its exception, for nearly every name
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        return False
    return True


def expand(host: str, namespace: str, domain: str) -> str:
    """The full name of a host in a rule: a name without a dot is a service of the rule's own namespace."""
    if "." in host or host == "*" or is_address(host):
        return host
    return f"{host}.{namespace}.svc.{domain}"


def expand_gateway(name: str, namespace: str) -> str:
    """`namespace/name` of a gateway that a VirtualService refers to; `mesh` stays; `name.namespace` is the old way."""
    if name == MESH:
        return name
    owner, slash, rest = name.partition("/")
    if slash:
        return f"{namespace}/{rest}" if owner == "." else name
    short, dot, rest = name.partition(".")
    return f"{rest.partition('.')[0]}/{short}" if dot else f"{namespace}/{name}"


def matches(one: str, other: str) -> bool:
    """Whether some name falls under both; either may be a wildcard."""
    if is_wildcard(one):
        if is_wildcard(other):
            return one[1:].endswith(other[1:]) or other[1:].endswith(one[1:])
        return other.endswith(one[1:])
    return one.endswith(other[1:]) if is_wildcard(other) else one == other


def covers(outer: str, inner: str) -> bool:
    """Whether every name under `inner` falls under `outer` (Istio's SubsetOf, the other way round)."""
    if is_wildcard(outer):
        return (inner[1:] if is_wildcard(inner) else inner).endswith(outer[1:])
    return outer == inner


def intersection(some: Iterable[str], others: Iterable[str]) -> list[str]:
    """The narrower name of each overlapping pair, once each, in the order of `some`."""
    others = tuple(others)
    found: dict[str, None] = {}
    for one in some:
        for other in others:
            if covers(other, one):
                found[one] = None
            elif covers(one, other):
                found[other] = None
    return list(found)


def specificity(host: str) -> tuple[bool, int, str]:
    """Sort key, most specific first: exact names, then longer ones, then by alphabet."""
    return is_wildcard(host), -len(host), host


class HostIndex(Generic[T]):
    """Values by host name, found by the most specific name that covers a host. The first value of a name stays."""

    def __init__(self) -> None:
        self._exact: dict[str, T] = {}
        self._suffixes: dict[str, T] = {}
        self._lengths: tuple[int, ...] = ()

    def add(self, host: str, value: T) -> T:
        """Keep a value unless the name already has one; the value that the name has."""
        if not is_wildcard(host):
            return self._exact.setdefault(host, value)
        suffix = host[1:]
        if len(suffix) not in self._lengths:
            self._lengths = tuple(sorted({*self._lengths, len(suffix)}, reverse=True))
        return self._suffixes.setdefault(suffix, value)

    def get(self, host: str) -> T | None:
        """The value kept under this very name."""
        return self._suffixes.get(host[1:]) if is_wildcard(host) else self._exact.get(host)

    def most_specific(self, host: str) -> T | None:
        """The value of the most specific name that covers `host`; `host` may itself be a wildcard."""
        if is_wildcard(host):
            host = host[1:]
        else:
            found = self._exact.get(host)
            if found is not None:
                return found
        for length in self._lengths:
            if length <= len(host):
                found = self._suffixes.get(host[len(host) - length :])
                if found is not None:
                    return found
        return None

    def __iter__(self) -> Iterator[T]:
        yield from self._exact.values()
        yield from self._suffixes.values()
