"""The answers that we give ourselves: status, body, flag and details, as Envoy words them. Source: Envoy router.cc."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from pyproxy.core.outcome import RESPONSE_FLAG, Outcome
from pyproxy.wire.http1 import reason


@dataclass(frozen=True, slots=True)
class Reply:
    """A local reply. An empty body has neither content-type nor, from us, content-length."""

    status: int
    body: bytes = b""
    flag: str = ""
    details: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False
    as_is: bool = False
    """Neither the route's header operations nor gRPC touch it."""
    grpc_status: int | None = None
    """Wins over the mapping from `status` when the request is gRPC."""
    charged: bool = True
    """Counted among the responses of its cluster: not before the request came to the router."""


HELD: Final = Reply(0)
"""No answer: the request waits, and comes back with one or goes on."""

NO_ROUTE: Final = Reply(404, flag="NR", details="route_not_found")
NO_ROUTE_FOR_CONNECT: Final = Reply(404, flag="NR", details="route_not_found", close=True)
NO_CLUSTER: Final = Reply(503, flag="NC", details="cluster_not_found")
NO_HEALTHY_UPSTREAM: Final = Reply(503, b"no healthy upstream", flag="UH", details="no_healthy_upstream")
MISSING_HOST: Final = Reply(400, details="missing_host_header", close=True)
QUERY_WITHOUT_TYPE: Final = Reply(400, details="query_missing_content_type", close=True)
BAD_PATH: Final = Reply(400, details="path_normalization_failed", close=True)
NOT_A_PATH: Final = Reply(404, details="absolute_path_rejected")
SLOW_HEAD: Final = Reply(408, b"request header timeout", details="request_header_timeout", close=True)
STREAM_IDLE: Final = Reply(504, b"stream timeout", flag="SI", details="stream_idle_timeout", charged=False)
STREAM_IDLE_IN_REQUEST: Final = replace(STREAM_IDLE, status=408)
SLOW_HEAD_IDLE: Final = replace(STREAM_IDLE_IN_REQUEST, close=True)
UPGRADE_FAILED: Final = Reply(403, details="upgrade_failed", close=True, charged=False)
TIMEOUT: Final = Reply(504, b"upstream request timeout", flag="UT", details="response_timeout")
TIMEOUT_BETWEEN_TRIES: Final = replace(TIMEOUT, charged=False)
PER_TRY_TIMEOUT: Final = Reply(504, b"upstream request timeout", flag="UT", details="upstream_per_try_timeout")
RETRY_BUFFER_FULL: Final = Reply(
    507,
    b"exceeded request buffer limit while retrying upstream",
    details="request_payload_exceeded_retry_buffer_limit",
    charged=False,
)
INTERNAL_ERROR: Final = Reply(500, b"Internal Server Error", details="internal_error", close=True)
BAD_BASE64: Final = Reply(
    400, b"Bad gRPC-web request, invalid base64 data.", details="grpc_base_64_decode_failed", charged=False
)
BAD_BASE64_SIZE: Final = replace(BAD_BASE64, details="grpc_base_64_decode_failed_bad_size")
FAULT_DETAILS: Final = "fault_filter_abort"
FAULT_BODY: Final = b"fault filter abort"

_OVERLOADED: Final = ((b"x-envoy-overloaded", b"true"),)
_BEFORE: Final = "upstream connect error or disconnect/reset before headers. "


def upstream_failure(outcome: Outcome, transport_reason: str, *, retried: bool, started: bool = False) -> Reply:
    """What the client gets when the last attempt ended without a response head; `started`: it had a 1xx."""
    if outcome is Outcome.NO_HEALTHY_UPSTREAM:
        return NO_HEALTHY_UPSTREAM
    if outcome is Outcome.TIMEOUT:
        return TIMEOUT
    if outcome is Outcome.PER_TRY_TIMEOUT:
        return PER_TRY_TIMEOUT
    words = outcome.value
    lead = "retried and the latest reset reason: " if retried else "reset reason: "
    details = words.replace(" ", "_")
    if transport_reason:
        details += "|" + transport_reason
    return Reply(
        502 if outcome is Outcome.PROTOCOL_ERROR else 503,
        (_BEFORE + lead + words).encode(),
        flag=RESPONSE_FLAG[outcome],
        details=f"upstream_reset_{'after' if started else 'before'}_response_started{{{details}}}",
        headers=_OVERLOADED if outcome is Outcome.OVERFLOW else (),
    )


def codec_error(status: int, details: str) -> Reply:
    """What a client gets whose bytes we cannot serve: the reason phrase, then a close."""
    return Reply(status, reason(status).encode(), flag="DPE", details=details, close=True)


def timeout_as(reply: Reply, status: int) -> Reply:
    """A timeout under the status that an internal client asked for instead of 504: without a body."""
    return reply if reply.status == status else replace(reply, status=status, body=b"")


# HTTP status → gRPC status, for local replies to gRPC requests (Envoy grpc/status.cc).
GRPC_OF_HTTP: Final = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}


def grpc_reply_headers(reply: Reply, *, message: bool = True) -> list[tuple[bytes, bytes]]:
    """What makes a trailers-only answer: the error in grpc-status. Source: Envoy http/utility.cc, encodeLocalReply."""
    status = reply.grpc_status if reply.grpc_status is not None else GRPC_OF_HTTP.get(reply.status, 2)
    headers = [(b"content-type", b"application/grpc"), (b"grpc-status", b"%d" % status)]
    if reply.body and message:
        headers.append((b"grpc-message", percent_encode(reply.body)))
    return headers


def percent_encode(message: bytes) -> bytes:
    """gRPC's encoding of grpc-message: printable ASCII but for `%` stays."""
    return b"".join(bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte for byte in message)
