"""External authorization over HTTP, without the asking: what the authorizer is told, and what its answer means.

Source: Envoy filters/common/ext_authz/ext_authz_http_impl.cc, filters/http/ext_authz/ext_authz.cc; Istio extauthz.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from pyproxy.core.context import RequestContext
from pyproxy.core.http import Headers, RequestHead

TO_REMOVE: Final = b"x-envoy-auth-headers-to-remove"
_ALWAYS_TOLD: Final = b"authorization"
_ALWAYS_IN_DENIALS: Final = frozenset({b"www-authenticate", b"location"})
FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"te", b"host"})
"""Not the authorizer's to set, remove or pass on: they say where messages end and whom they are for."""


@dataclass(frozen=True, slots=True)
class HeaderNames:
    """Names of headers by Istio's patterns: `x-a`, `x-*`, `*-id`, whatever their case."""

    exact: frozenset[bytes] = frozenset()
    prefixes: tuple[bytes, ...] = ()
    suffixes: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, patterns: Iterable[str]) -> HeaderNames:
        """A leading `*` is a suffix, a trailing one a prefix, as Istio reads them."""
        names = [pattern.lower().encode() for pattern in patterns]
        suffixes = [name for name in names if name.startswith(b"*")]
        prefixes = [name for name in names if name.endswith(b"*") and name not in suffixes]
        return cls(
            frozenset(name for name in names if name not in suffixes and name not in prefixes),
            tuple(name[:-1] for name in prefixes),
            tuple(name[1:] for name in suffixes),
        )

    def __contains__(self, name: bytes) -> bool:
        return name in self.exact or name.startswith(self.prefixes) or name.endswith(self.suffixes)

    def __bool__(self) -> bool:
        return bool(self.exact or self.prefixes or self.suffixes)


@dataclass(frozen=True, slots=True)
class ExtAuthz:
    """An authorizer as MeshConfig's extensionProviders has it under envoyExtAuthzHttp."""

    provider: str
    cluster: str
    host: str = ""
    """The service behind the cluster, for people."""
    timeout: float = 600.0
    """Seconds, for the whole answer; 0 is for ever."""
    path_prefix: bytes = b""
    fail_open: bool = False
    """An authorizer that does not answer, or with 5xx, lets the request pass."""
    status_on_error: int = 403
    told: HeaderNames = HeaderNames()
    """Request headers that it gets beside `authorization`."""
    additional: tuple[tuple[bytes, Callable[[RequestContext], bytes]], ...] = ()
    additional_texts: tuple[str, ...] = ()
    """What the values of `additional` were compiled from."""
    max_request_bytes: int = 0
    """Of the body that it gets; 0: none of it."""
    allow_partial: bool = False
    """A longer body is cut; else it is refused with 413."""
    upstream_on_allow: HeaderNames = HeaderNames()
    client_on_allow: HeaderNames = HeaderNames()
    client_on_deny: HeaderNames = HeaderNames()
    """None: all of its answer's headers."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What an authorizer that allows asks for beside that."""

    set: Headers
    remove: frozenset[bytes]
    to_client: Headers


def check_head(settings: ExtAuthz, head: RequestHead, ctx: RequestContext, body: bytes, *, cut: bool) -> RequestHead:
    """The request to the authorizer: the original's method, path and host, and of its headers what it may see."""
    headers: Headers = [(b"content-length", b"%d" % len(body))]
    for name in dict.fromkeys(name for name, _ in head.headers):
        if name not in FRAMING and (name == _ALWAYS_TOLD or name in settings.told):
            headers.append((name, b",".join(head.get_all(name))))
    if body:
        headers.append((b"x-envoy-auth-partial-body", b"true" if cut else b"false"))
    for name, template in settings.additional:
        value = template(ctx)
        headers = [line for line in headers if line[0] != name]
        if value:
            headers.append((name, value))
    headers.append((b"x-envoy-internal", b"true"))
    if settings.timeout:
        headers.append((b"x-envoy-expected-rq-timeout-ms", b"%d" % round(settings.timeout * 1000)))
    return RequestHead(head.method, settings.path_prefix + head.target, head.authority, headers)


def permission(settings: ExtAuthz, answer: Headers) -> Permission:
    """What a 200 says. Of a header that it has twice the last line is set."""
    removed = b",".join(value for name, value in answer if name == TO_REMOVE)
    names = {name.strip().lower() for name in removed.split(b",")}
    rest = [line for line in answer if line[0] != TO_REMOVE and line[0] not in FRAMING]
    return Permission(
        set=list({name: value for name, value in rest if name in settings.upstream_on_allow}.items()),
        remove=frozenset(name for name in names if name and name[:1] != b":") - FRAMING,
        to_client=[line for line in rest if line[0] in settings.client_on_allow],
    )


def apply_permission(head: RequestHead, given: Permission) -> None:
    """Change the request on its way to the workload: set, then remove."""
    gone = given.remove.union(name for name, _ in given.set)
    if not gone:
        return
    added = [line for line in given.set if line[0] not in given.remove]
    head.headers = [line for line in head.headers if line[0] not in gone] + added
    for name in gone & head.notable.keys():
        del head.notable[name]
        head.notable.update(line for line in added if line[0] == name)


def denial_headers(settings: ExtAuthz, answer: Headers) -> Headers:
    """What the client sees of an answer that denies."""
    passed = settings.client_on_deny
    return [
        line
        for line in answer
        if line[0] != TO_REMOVE
        and line[0] not in FRAMING
        and (not passed or line[0] in passed or line[0] in _ALWAYS_IN_DENIALS)
    ]
