"""Resilience over HTTP/2 and gRPC as a real Envoy does it: retries, timeouts, resets, faults, ejections, GOAWAY."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.differential.istio_as_envoy import Host
from tests.differential.resilience import Ask, Comparison, Look, Scenario, Wait
from tests.differential.scripted_hosts import CLOSE, OK, RESET, SILENCE, answer
from tests.differential.scripted_streams import (
    CALM,
    CANCEL,
    GRPC_TYPE,
    INTERNAL_ERROR,
    MESSAGE,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    goaway,
    grpc_answer,
    grpc_error,
    half_answer,
    stream_reset,
    trailers,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

GRPC = {"content-type": "application/grpc", "te": "trailers"}
GRPC_WORDS = "cancelled,deadline-exceeded,internal,resource-exhausted,unavailable"


def call(**more: Any) -> Ask:
    """A unary gRPC call."""
    headers = {**GRPC, **more.pop("headers", {})}
    return Ask("POST", "/t.T/Call", headers=headers, **{"body": [b"\0\0\0\0\1x"], **more})


def h2(*script: Any, **more: Any) -> Scenario:
    """HTTP/2 on both sides; four retries at most a millisecond apart where `on` says after what."""
    on = more.pop("on", None)
    if on is not None:
        more["route"] = {"retries": {"attempts": 4, "retryOn": on, "backoff": "1ms"}, **more.get("route", {})}
    return Scenario(**{"script": script or (OK,), "client": 2, "upstream": 2, **more})


def grpc(*script: Any, **more: Any) -> Scenario:
    """Likewise, asked by a gRPC call."""
    return h2(*script, **{"asks": [call()], **more})


OUTCOMES = {
    "200": OK,
    "503": answer(503),
    "REFUSED_STREAM": stream_reset(REFUSED_STREAM),
    "INTERNAL_ERROR": stream_reset(INTERNAL_ERROR),
    "PROTOCOL_ERROR behind a head": stream_reset(PROTOCOL_ERROR, head=[]),
    "CANCEL": stream_reset(CANCEL),
    "NO_ERROR": stream_reset(NO_ERROR),
    "ENHANCE_YOUR_CALM": stream_reset(CALM),
    "PROTOCOL_ERROR": stream_reset(PROTOCOL_ERROR),
    "a close": CLOSE,
    "a reset": RESET,
    "GOAWAY that refuses": goaway(OK, refuses=True),
    "half a body": half_answer(),
    "half a body, INTERNAL_ERROR": stream_reset(INTERNAL_ERROR, head=[], body=b"half"),
    "unavailable": grpc_error(14),
    "unavailable behind a message": grpc_answer(14),
}
RETRIES = {
    f"{on or 'the default'}: {name}": (grpc if "unavailable" in name else h2)(step, **({"on": on} if on else {}))
    for on in ("", "5xx", "refused-stream", "reset", "reset-before-request", "unavailable", "gateway-error")
    for name, step in OUTCOMES.items()
}
RETRIES |= {
    "refused, then served": h2(stream_reset(REFUSED_STREAM), OK),
    "a close, then served": h2(CLOSE, OK, on="5xx"),
    "503 twice, then 200": h2(answer(503), answer(503), OK, on="5xx"),
    "a large answer is dropped": h2(answer(503, body=b"x" * 300_000), OK, on="5xx"),
    "a retry keeps body and trailers": h2(
        answer(503), OK, on="5xx", asks=[Ask("POST", body=[b"abc", b"def"], trailers={"x-last": "1"})]
    ),
    "a large body is kept": h2(answer(503), OK, on="5xx", asks=[Ask("POST", body=[b"x" * 900_000])]),
    "refused connection": h2(hosts=[Host("refuses")]),
    "no connect": h2(hosts=[Host("deaf")], policy={"connectionPool": {"tcp": {"connectTimeout": "150ms"}}}),
    "slammed": h2(hosts=[Host("slams")]),
    "GOAWAY, then another connection": h2(goaway(OK), OK, asks=[Ask(), Wait(0.1), Ask()]),
    "GOAWAY with an error": h2(goaway(OK, code=CALM), OK, asks=[Ask(), Wait(0.1), Ask()]),
    "one connection for all": h2(asks=[Ask(times=5)]),
    "each its own connection": h2(
        policy={"connectionPool": {"http": {"maxRequestsPerConnection": 1}}}, asks=[Ask(times=3)]
    ),
}
RETRIES |= {f"error {code}": h2(stream_reset(code), on="5xx") for code in (3, 4, 5, 6, 9, 10, 12, 13, 99)}
STATUSES = {
    f"gRPC status {status}": grpc(grpc_error(status), grpc_answer(), on=GRPC_WORDS)
    for status in (0, 1, 2, 4, 5, 8, 13, 14, 16, 17, 99, b"-1", b"x", b"")
}
STATUSES |= {
    f"gRPC status {status} behind a message": grpc(grpc_answer(status), grpc_answer(), on=GRPC_WORDS)
    for status in (0, 4, 14, 17, b"x")
}
STATUSES |= {
    f"HTTP {status} to a call": grpc(answer(status), on="unavailable") for status in (200, 401, 404, 429, 500, 503, 504)
}
STATUSES |= {
    "no trailers at all": grpc(answer(200, b"content-type: application/grpc", body=MESSAGE)),
    "trailers-only with 503": grpc(grpc_error(14, http=503)),
    "trailers-only, grpc-message": grpc(grpc_error(5, (b"grpc-message", b"not%20there"))),
    "many messages": grpc(grpc_answer(messages=50)),
    "messages with pauses": grpc(grpc_answer(messages=4, pause=0.05)),
    "a stream of requests": grpc(grpc_answer(), asks=[call(body=[b"\0\0\0\0\1x"] * 4, pause=0.05)]),
    "unavailable to a plain request": h2(grpc_error(14), OK, on="unavailable"),
    "grpc-web is no gRPC": h2(CLOSE, asks=[call(headers={"content-type": "application/grpc-web"})]),
    "with a suffix it is": h2(CLOSE, asks=[call(headers={"content-type": "application/grpc+proto"})]),
    **{
        f"a call of {kind}": h2(CLOSE, asks=[call(headers={"content-type": kind})])
        for kind in (
            "application/grpc;charset=utf-8",
            "application/grpc; charset=utf-8",
            "application/grpcx",
            "application/grpc-proto",
            "Application/gRPC",
            "application/grpc ",
        )
    },
    "a status that begins like one": grpc(grpc_error(b"14x"), grpc_answer(), on="unavailable"),
    "trailers of a plain answer": h2(trailers((b"x-sum", b"1"), (b"grpc-status", b"7"))),
    "trailers without a body": h2(trailers((b"x-sum", b"1"), body=b"")),
    "trailers of the request": h2(asks=[Ask("POST", body=[b"x"], trailers={"x-last": "1", "x-more": "2"})]),
}
LOCAL = {
    "refused": grpc(hosts=[Host("refuses")]),
    "a close": grpc(CLOSE),
    "refused again and again": grpc(stream_reset(REFUSED_STREAM)),
    "reset": grpc(stream_reset(INTERNAL_ERROR)),
    "ejected": grpc(
        answer(503),
        asks=[call(times=2), Wait(0.3), call()],
        policy={"outlierDetection": {"consecutive5xxErrors": 2, "maxEjectionPercent": 100}},
    ),
    "HEAD": h2(CLOSE, asks=[Ask("HEAD", headers=GRPC)]),
    "timeout": grpc(SILENCE, route={"timeout": "0.2s"}),
    "per-try timeout": grpc(
        SILENCE, route={"retries": {"attempts": 1, "perTryTimeout": "0.1s", "retryOn": "5xx", "backoff": "1ms"}}
    ),
    "overflow": grpc(
        grpc_answer(wait=0.4),
        policy={"connectionPool": {"http": {"http2MaxRequests": 1}}},
        asks=[call(waits=False), Wait(0.15), call()],
    ),
    **{
        f"fault {status}": grpc(route={"fault": {"abort": {"httpStatus": status, "percentage": {"value": 100}}}})
        for status in (200, 400, 401, 403, 404, 429, 500, 503)
    },
    **{
        f"fault {status}": grpc(route={"fault": {"abort": {"grpcStatus": status, "percentage": {"value": 100}}}})
        for status in ("OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED")
    },
    "grpcStatus to a plain request": h2(
        route={"fault": {"abort": {"grpcStatus": "UNAVAILABLE", "percentage": {"value": 100}}}}
    ),
    "httpStatus to a plain request": h2(route={"fault": {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}}),
    "a delay": grpc(
        grpc_answer(),
        route={"fault": {"delay": {"fixedDelay": "0.2s", "percentage": {"value": 100}}}},
        took=(0.2, 3),
    ),
}
TIMEOUTS = {
    **{
        f"grpc-timeout {text}": grpc(SILENCE, asks=[call(headers={"grpc-timeout": text}, patience=1.5)])
        for text in ("200m", "150000u", "1", "200x", "0m", "")
    },
    "grpc-timeout, answered": grpc(grpc_answer(), asks=[call(headers={"grpc-timeout": "10S"})]),
    "grpc-timeout under a route's": grpc(
        SILENCE, route={"timeout": "5s"}, asks=[call(headers={"grpc-timeout": "200m"})], took=(0.2, 2)
    ),
    "grpc-timeout over a route's": grpc(
        SILENCE, route={"timeout": "0.2s"}, asks=[call(headers={"grpc-timeout": "5S"})], took=(0.2, 2)
    ),
    "grpc-timeout of a plain request": h2(answer(wait=0.4), asks=[Ask(headers={"grpc-timeout": "100m"})]),
    "grpc-timeout over retries": grpc(
        grpc_error(14), on="unavailable", asks=[call(headers={"grpc-timeout": "5S"})], route={"timeout": "3s"}
    ),
    "a timeout once the head is out": grpc(
        grpc_answer(messages=3, stalls=True), asks=[call(headers={"grpc-timeout": "500m"})]
    ),
    "a timeout of a plain request": h2(SILENCE, route={"timeout": "0.2s"}),
    "a plain timeout once the head is out": h2(answer(slow_body=0.6), route={"timeout": "0.2s"}),
    "no timeout while the request goes on": grpc(
        grpc_answer(),
        asks=[call(headers={"grpc-timeout": "200m"}, body=[b"\0\0\0\0\1x", b"\0\0\0\0\1x"], pause=0.4)],
    ),
}
GONE = {
    "cancelled before the head": grpc(SILENCE, asks=[call(cancels=0.2)]),
    "cancelled within the answer": grpc(grpc_answer(messages=3, stalls=True), asks=[call(cancels=0.5)]),
    "cancelled in the middle of the request": h2(SILENCE, asks=[call(half=True, cancels=0.2)]),
    "the client closes": grpc(SILENCE, asks=[call(patience=0.3)]),
    "the client closes within the answer": grpc(grpc_answer(messages=3, stalls=True), asks=[call(patience=0.5)]),
    "cancelled while it waits for a retry": h2(
        answer(503),
        route={"retries": {"attempts": 3, "retryOn": "5xx", "backoff": "600s"}},
        asks=[Ask(cancels=0.2)],
        compared=False,  # chance may make the pause short
    ),
    "cancelled while a fault delays": grpc(
        route={"fault": {"delay": {"fixedDelay": "5s", "percentage": {"value": 100}}}}, asks=[call(cancels=0.2)]
    ),
    "an early answer": h2(answer(reads=False, wait=0.1), asks=[Ask("POST", body=[b"x"], half=True)]),
    "an early error": grpc(answer(503, reads=False, wait=0.1), asks=[call(half=True)]),
    "broken after the head": grpc(half_answer(headers=[GRPC_TYPE])),
    "broken by a reset after the head": grpc(half_answer(headers=[GRPC_TYPE], reset=True)),
    **{
        f"stream reset {code} after the head": grpc(stream_reset(code, head=[GRPC_TYPE], body=MESSAGE))
        for code in (NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL)
    },
}
EJECT = {"consecutive5xxErrors": 3, "interval": "60s", "baseEjectionTime": "60s", "maxEjectionPercent": 100}
GATEWAY = {**EJECT, "consecutive5xxErrors": 0, "consecutiveGatewayErrors": 3}
EJECTIONS = {
    f"{'gateway errors' if policy is GATEWAY else '5xx'}: {name}": grpc(
        step,
        asks=[call(times=3), Wait(0.3), call(), Look("after")],  # Envoy ejects in another thread
        policy={"outlierDetection": policy},
        route={"retries": {"attempts": 0}},
    )
    for policy in (EJECT, GATEWAY)
    for name, step in {
        **{f"trailers-only {status}": grpc_error(status) for status in (0, 1, 2, 3, 4, 7, 8, 12, 13, 14, 15, 16, 17)},
        "trailers-only x": grpc_error(b"x"),
        "unavailable behind a message": grpc_answer(14),
        "HTTP 503": answer(503),
        "INTERNAL_ERROR": stream_reset(INTERNAL_ERROR),
        "REFUSED_STREAM": stream_reset(REFUSED_STREAM),
        "broken after the head": half_answer(headers=[GRPC_TYPE]),
        "reset after the head": stream_reset(INTERNAL_ERROR, head=[GRPC_TYPE]),
    }.items()
}
MIXED = {
    f"{client} to {upstream}: {name}": replace(scenario, client=client, upstream=upstream)
    for client, upstream in ((1, 2), (2, 1))
    for name, scenario in {
        "200": h2(),
        "503 again": h2(answer(503), OK, on="5xx"),
        "a close": h2(CLOSE),
        "a timeout": h2(SILENCE, route={"timeout": "0.2s"}),
        "refused": h2(hosts=[Host("refuses")]),
        "a large body": h2(answer(body=b"x" * 400_000), asks=[Ask("POST", body=[b"y" * 200_000])]),
        "a call that is refused": grpc(hosts=[Host("refuses")]),
        "a fault to a call": grpc(
            route={"fault": {"abort": {"grpcStatus": "UNAVAILABLE", "percentage": {"value": 100}}}}
        ),
    }.items()
}
MIXED |= {
    "1 to 2: refused stream": Scenario(script=[stream_reset(REFUSED_STREAM), OK], upstream=2),
    "1 to 2: broken after the head": Scenario(script=[half_answer()], upstream=2),
    "1 to 2: reset after the head": Scenario(script=[stream_reset(INTERNAL_ERROR, head=[], body=b"half")], upstream=2),
    "1 to 2: an answer with trailers": Scenario(script=[trailers((b"x-sum", b"1"))], upstream=2),
    "1 to 2: the client closes": Scenario(script=[SILENCE], asks=[Ask(patience=0.3)], upstream=2),
    "2 to 1: cancelled": h2(SILENCE, upstream=1, asks=[Ask(cancels=0.2)]),
    "2 to 1: an answer of gRPC": grpc(
        answer(200, b"content-type: application/grpc", b"grpc-status: 14", body=b""), upstream=1, on="unavailable"
    ),
    "2 to 1: trailers are dropped": h2(upstream=1, asks=[Ask("POST", body=[b"x"], trailers={"x-last": "1"})]),
}
INBOUND = {
    f"inbound: {name}": grpc(step, hosts=[Host(index)], inbound=True)
    for index, (name, step) in enumerate(
        {
            "a call": grpc_answer(),
            "unavailable": grpc_error(14),
            "a close": CLOSE,
            "REFUSED_STREAM": stream_reset(REFUSED_STREAM),
            "an error behind a message": grpc_answer(13),
        }.items()
    )
}
SCENARIOS = {
    **{f"retries, {name}": scenario for name, scenario in RETRIES.items()},
    **STATUSES,
    **{f"local, {name}": scenario for name, scenario in LOCAL.items()},
    **TIMEOUTS,
    **GONE,
    **{f"ejection, {name}": scenario for name, scenario in EJECTIONS.items()},
    **MIXED,
    **INBOUND,
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_happens_in_http2(name: str, comparison: Comparison) -> None:
    assert not comparison.trouble(name)
