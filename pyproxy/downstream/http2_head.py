"""Header fields of an HTTP/2 request to the head that an exchange reads, in one pass. Source: RFC 9113 section 8.3."""

from __future__ import annotations

import re
from typing import Final

from pyproxy.core.http import Headers, RequestHead
from pyproxy.proxy.headers import DROP, HOST, REQUEST_FATES, TRACE
from pyproxy.snapshot.model import HttpSettings
from pyproxy.wire.http2_fields import (
    BAD_MESSAGE,
    INVALID_FIELD,
    TOO_LARGE,
    TOO_MANY,
    BadHead,
    FieldNames,
    bad_value,
    check_te,
)
from pyproxy.wire.names import FORWARD

_COOKIE: Final = 100
"""The fate of `cookie`: its crumbs become one line again."""
NAMES: Final = FieldNames({**REQUEST_FATES, b"cookie": _COOKIE})
_known: Final = NAMES.known
_PSEUDO: Final = {b":method": 0, b":scheme": 1, b":authority": 2, b":path": 3, b":protocol": 4}
_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_AUTHORITY: Final = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]+")
_PATH: Final = re.compile(rb"[^\x00-\x20\x7f]+")
"""As nghttp2 takes them."""


class _Pseudo:
    """What a request line would say."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: list[bytes | None] = [None, None, None, None, None]

    def add(self, name: bytes, value: bytes) -> None:
        """Raises BadHead: unknown or repeated."""
        index = _PSEUDO.get(name)
        if index is None or self.values[index] is not None or bad_value(value):
            raise BadHead(INVALID_FIELD)
        self.values[index] = value


def request_head(lines: Headers, settings: HttpSettings, *, secure: bool) -> tuple[RequestHead, int]:
    """The head, and its size: bytes of names and values. Raises BadHead.

    An extended CONNECT becomes the GET with `upgrade` that it would be in HTTP/1.1: `:upgrade` is among the notable,
    and `:protocol`, which only HTTP/2 has.
    """
    if len(lines) > settings.max_headers:
        raise BadHead(TOO_MANY, only_stream=True)
    pseudo = _Pseudo()
    headers: Headers = []
    notable: dict[bytes, bytes] = {}
    carries_trace = False
    crumbs: list[bytes] = []
    size = 0
    regular = False
    for name, value in lines:
        size += len(name) + len(value)
        if name[:1] == b":":
            if regular:
                raise BadHead(INVALID_FIELD)
            pseudo.add(name, value)
            continue
        regular = True
        fate = (_known.get(name) or NAMES.learn(name))[1]
        if bad_value(value):
            raise BadHead(INVALID_FIELD)
        if value[:1] in (b" ", b"\t") or value[-1:] in (b" ", b"\t"):
            value = value.strip(b" \t")
        if fate == FORWARD:
            headers.append((name, value))
        elif fate == _COOKIE:
            crumbs.append(value)
        elif fate == HOST:
            if b":host" in notable or not _AUTHORITY.fullmatch(value):
                raise BadHead(INVALID_FIELD)
            notable[b":host"] = value
        else:
            if fate == TRACE:
                carries_trace = True
            elif name == b"te":
                check_te(value)
            if name in notable and fate != TRACE:
                headers = _joined(headers, notable, name, value)
            else:
                notable.setdefault(name, value)
                if fate != DROP:
                    headers.append((name, value))
    if crumbs:
        headers.append((b"cookie", crumbs[0] if len(crumbs) == 1 else b"; ".join(crumbs)))
    if size > settings.max_request_headers_kb * 1024:
        raise BadHead(TOO_LARGE, only_stream=True)
    return _head(pseudo.values, headers, notable, secure=secure, carries_trace=carries_trace), size


def _head(
    values: list[bytes | None], headers: Headers, notable: dict[bytes, bytes], *, secure: bool, carries_trace: bool
) -> RequestHead:
    """Put the parts together. Raises BadHead where one is missing or another too much."""
    method, scheme, authority, path, protocol = values
    if authority is None:
        authority = notable.get(b":host")
    if method is None or not _METHOD.fullmatch(method):
        raise BadHead(INVALID_FIELD if method else BAD_MESSAGE)
    if (path is not None and not _PATH.fullmatch(path)) or (
        authority is not None and not _AUTHORITY.fullmatch(authority)
    ):
        raise BadHead(INVALID_FIELD)
    if method == b"CONNECT" and protocol is None:
        path = authority if scheme is None and path is None else None
    elif scheme is None or (protocol is not None and method != b"CONNECT") or not _is_path(path, method):
        path = None
    if not path or authority is None:
        raise BadHead(BAD_MESSAGE)
    notable[b":host"] = authority
    if protocol is not None:
        method = b"GET"
        notable[b"upgrade"] = protocol
        notable[b"connection"] = b"upgrade"
        notable[b":upgrade"] = notable[b":protocol"] = b"1"
    return RequestHead(
        method,
        path,
        authority,
        headers,
        scheme=b"https" if secure else b"http",
        notable=notable,
        carries_trace=carries_trace,
    )


def _is_path(path: bytes | None, method: bytes) -> bool:
    return path is not None and (path[:1] == b"/" or (path == b"*" and method == b"OPTIONS"))


def _joined(headers: Headers, notable: dict[bytes, bytes], name: bytes, value: bytes) -> Headers:
    """A line more of a header that was there already: one line with a comma, as Envoy makes it."""
    notable[name] = joined = notable[name] + b"," + value
    return [(name, joined) if line[0] == name else line for line in headers]
