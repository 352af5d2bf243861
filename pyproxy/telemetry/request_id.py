"""x-request-id: made where it is missing, marked with the sampling decision, so that every hop decides alike.

Source: Envoy source/extensions/request_id/uuid/config.cc and http/conn_manager_utility.cc (mutateTracingRequestHeader);
compared with Envoy 1.40 in tests/differential.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from pyproxy.core.http import Headers
from pyproxy.snapshot.model import Tracing

REQUEST_ID: Final = b"x-request-id"
CLIENT_TRACE_ID: Final = b"x-client-trace-id"

_UUID_LENGTH: Final = 36
_MARK: Final = 14
"""Where a UUID has its version: 4 when not traced; 9 sampled, a forced by a service, b forced by the client."""
_TRACED_MARKS: Final = b"9ab"
_NOT_TRACED, _SAMPLED, _FORCED, _CLIENT = b"49ab"
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def ensure_request_id(
    headers: Headers,
    known: Mapping[bytes, bytes],
    tracing: Tracing,
    rng: Random,
    *,
    generate: bool = True,
    forced: bool = False,
) -> tuple[bytes, bool]:
    """The request's id and whether to trace it by what this proxy decides alone. Changes `headers` in place.

    `known` holds the first value of each of TRACE_HEADERS that the client sent. An id that is there stays, whatever
    its form; one of 36 characters carries the decision in its 15th. An edge proxy, which trusts no incoming id, leaves
    x-request-id out of `known` and of `headers`. With `generate` off a missing id stays missing (and is not traced).
    `forced`: an internal request asks for a trace.
    """
    request_id = known.get(REQUEST_ID)
    if request_id:
        if not (tracing.enabled and tracing.by_request_id):
            return request_id, tracing.enabled
        return _keep(headers, request_id, known, tracing, rng, forced)
    if not generate:
        return b"", False
    bits = rng.getrandbits(128)
    number = bits >> 96
    mark = "4"
    always = tracing.enabled and not tracing.by_request_id
    if tracing.enabled and not always:
        if CLIENT_TRACE_ID in known and _client_sampled(tracing, rng):
            mark = "b"
        elif forced:
            mark = "a"
        elif number % 10000 < tracing.random_sampling * 100:
            mark = "9"
        if mark != "4" and number % 100 >= tracing.overall_sampling:
            mark = "4"
    h = bits.to_bytes(16, "big").hex()  # three times as fast as formatting each group
    request_id = f"{h[:8]}-{h[8:12]}-{mark}{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:]}".encode()
    if REQUEST_ID in known:  # there, but empty
        headers[:] = [header for header in headers if header[0] != REQUEST_ID]
    headers.append((REQUEST_ID, request_id))
    return request_id, always or mark != "4"


def _client_sampled(tracing: Tracing, rng: Random) -> bool:
    """Not by the id: Envoy rolls for each request."""
    return tracing.client_sampling >= 100 or rng.random() * 100 < tracing.client_sampling


def _keep(
    headers: Headers, request_id: bytes, known: Mapping[bytes, bytes], tracing: Tracing, rng: Random, forced: bool
) -> tuple[bytes, bool]:
    """The decision for an id that came with the request, written into it where it has a UUID's length."""
    try:
        number = int(request_id[:8], 16)
    except ValueError:
        return request_id, False
    size = len(request_id)
    if size < 8:
        return request_id, False
    came = request_id[_MARK] if size == _UUID_LENGTH else 0
    mark = came if came in _TRACED_MARKS else _NOT_TRACED
    if mark == _NOT_TRACED:
        if CLIENT_TRACE_ID in known and _client_sampled(tracing, rng):
            mark = _CLIENT
        elif forced:
            mark = _FORCED
        elif number % 10000 < tracing.random_sampling * 100:
            mark = _SAMPLED
    if mark == _NOT_TRACED:
        return request_id, False  # and whatever version the id has, it keeps
    if number % 100 >= tracing.overall_sampling:
        mark = _NOT_TRACED
    if came and mark != came:
        request_id = b"%b%c%b" % (request_id[:_MARK], mark, request_id[_MARK + 1 :])
        for index, header in enumerate(headers):
            if header[0] == REQUEST_ID:
                headers[index] = (REQUEST_ID, request_id)
                break
    return request_id, mark != _NOT_TRACED
