"""A request's hash for consistent load balancing: header, cookie, source address, query parameter. xxHash64, seed 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from xxhash import xxh64_hexdigest, xxh64_intdigest

from pyproxy.core.http import RequestHead

_64_BITS = 0xFFFF_FFFF_FFFF_FFFF


class HashKind(Enum):
    HEADER = "header"
    COOKIE = "cookie"
    SOURCE_IP = "source-ip"
    QUERY = "query"


_HEADER, _SOURCE_IP, _QUERY = HashKind.HEADER, HashKind.SOURCE_IP, HashKind.QUERY  # an enum's attribute costs 40 ns


@dataclass(frozen=True, slots=True)
class HashPolicy:
    """One key of consistentHash. A cookie with `cookie_ttl` None is never generated; 0 is a session cookie."""

    kind: HashKind
    name: bytes = b""
    """Lower case for a header."""
    cookie_path: str = ""
    cookie_ttl: float | None = None
    cookie_attributes: tuple[tuple[str, str], ...] = ()


def request_hash(
    policies: Sequence[HashPolicy], head: RequestHead, source_ip: bytes, connection: bytes
) -> tuple[int | None, tuple[bytes, ...]]:
    """The hash, None when no policy finds anything to hash, and `set-cookie` values to add to the upstream's response.

    `head` is the request before its route rewrites it; `source_ip` the trusted client address without port;
    `connection` the client connection's remote and local `ip:port`, joined: what a new cookie is made from.
    Source: Envoy hash_policy.cc, router.h.
    """
    hash_: int | None = None
    cookies: tuple[bytes, ...] = ()
    for policy in policies:
        kind = policy.kind
        if kind is _HEADER:
            new = _header_hash(head, policy.name)
        elif kind is _SOURCE_IP:
            new = xxh64_intdigest(source_ip) if source_ip else None
        elif kind is _QUERY:
            value = query_parameter(head.target, policy.name)
            new = None if value is None else xxh64_intdigest(value)
        else:
            value = cookie_value(head, policy.name)
            if not value and policy.cookie_ttl is not None:
                value = xxh64_hexdigest(connection).encode()
                cookies = (*cookies, set_cookie(policy, value))
            new = xxh64_intdigest(value) if value else None
        if new is not None:
            # The turn by one bit keeps two equal values from cancelling each other out.
            hash_ = new if hash_ is None else ((hash_ << 1 | hash_ >> 63) & _64_BITS) ^ new
    return hash_, cookies


def query_parameter(target: bytes, name: bytes) -> bytes | None:
    """The first value of a query parameter as it is written; empty when it has no `=`, None when it is not there."""
    for parameter in target.partition(b"?")[2].split(b"&"):
        key, _, value = parameter.partition(b"=")
        if key == name and parameter:
            return value
    return None


def cookie_value(head: RequestHead, name: bytes) -> bytes:
    """A cookie's value without its quotes; empty when it is not there."""
    for header in head.get_all(b"cookie"):
        for crumb in header.split(b";"):
            key, equals, value = crumb.partition(b"=")
            if equals and key.lstrip(b" ") == name:
                quoted = len(value) > 1 and value[:1] == value[-1:] == b'"'
                return value[1:-1] if quoted else value
    return b""


def set_cookie(policy: HashPolicy, value: bytes) -> bytes:
    """The `set-cookie` value that gives the client its cookie. Source: Envoy http/utility.cc, makeSetCookieValue."""
    parts = [b'%s="%s"' % (policy.name, value)]
    if policy.cookie_ttl is not None and int(policy.cookie_ttl):
        parts.append(b"Max-Age=%d" % policy.cookie_ttl)
    if policy.cookie_path:
        parts.append(b"Path=" + policy.cookie_path.encode())
    parts += [f"{name}={text}".encode() if text else name.encode() for name, text in policy.cookie_attributes]
    parts.append(b"HttpOnly")
    return b"; ".join(parts)


def _header_hash(head: RequestHead, name: bytes) -> int | None:
    """Repeated values count whatever their order: sorted, each seeds the next."""
    values = _header_values(head, name)
    if len(values) == 1:
        return xxh64_intdigest(values[0])
    if not values:
        return None
    hash_ = 0
    for value in sorted(values):
        hash_ = xxh64_intdigest(value, hash_)
    return hash_


def _header_values(head: RequestHead, name: bytes) -> list[bytes]:
    if name == b"host" or name == b":authority":
        return [head.authority]
    if name == b":path":
        return [head.target]
    if name == b":method":
        return [head.method]
    return head.get_all(name)
