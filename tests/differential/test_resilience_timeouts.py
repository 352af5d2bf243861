"""Timeouts at each stage of a request, alone and over retries and their waits, as a real Envoy keeps them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.differential.istio_as_envoy import Host
from tests.differential.resilience import Ask, Comparison, Scenario
from tests.differential.scripted_hosts import OK, SILENCE, Served, answer, ends

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

GRPC = {"content-type": "application/grpc", "te": "trailers"}
SLOW = answer(wait=1.5)
IN_TIME = (0.25, 1.2)
"""Seconds in which a timeout of 300 ms must have come about."""
ROUTE = {"timeout": "300ms"}
DEAF = {"hosts": [Host("deaf")]}
BODY = Ask("POST", body=[b"x" * 100])


def tries(each: str, attempts: int = 2, on: str = "5xx", **more: Any) -> dict[str, Any]:
    return {"retries": {"attempts": attempts, "perTryTimeout": each, "retryOn": on, "backoff": "1ms"}, **more}


def connect(within: str) -> dict[str, Any]:
    return {"connectionPool": {"tcp": {"connectTimeout": within}}}


def dribble(seconds: float, pieces: int) -> Any:
    """A body in pieces, so many seconds apart."""

    async def step(served: Served) -> None:
        await served.read_body()
        await served.send(b"HTTP/1.1 200 -\r\ncontent-length: %d\r\n\r\n" % pieces)
        for _ in range(pieces):
            await served.sleep(seconds)
            await served.send(b"x")

    return step


async def half_a_head(served: Served) -> None:
    """And no more."""
    await served.read_body()
    await served.send(b"HTTP/1.1 200 OK\r\ncontent-")
    await served.reader.read(1)
    served.close()


async def after_100(served: Served) -> None:
    """A 1xx at once, the response too late."""
    await served.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    await answer(wait=1.5)(served)


STAGES = {
    "no connect": Scenario(**DEAF, route=ROUTE, took=IN_TIME),
    "no head": Scenario(script=[SILENCE], route=ROUTE, took=IN_TIME),
    "a slow head": Scenario(script=[SLOW], route=ROUTE, took=IN_TIME),
    "half a head": Scenario(script=[half_a_head], route=ROUTE, took=IN_TIME),
    "a slow body": Scenario(script=[answer(slow_body=1.5)], route=ROUTE, took=IN_TIME),
    "a body in small pieces": Scenario(script=[dribble(0.1, 10)], route=ROUTE, took=IN_TIME),
    "a head in time": Scenario(script=[answer(wait=0.1)], route=ROUTE),
    "a body in time": Scenario(script=[answer(slow_body=0.1)], route=ROUTE),
    "no timeout": Scenario(script=[answer(wait=0.5)]),
    "with a body": Scenario(script=[SILENCE], route=ROUTE, asks=[BODY], took=IN_TIME),
    "HEAD": Scenario(script=[SILENCE], route=ROUTE, asks=[Ask("HEAD")], took=IN_TIME),
    "a slow upload is not in it": Scenario(
        route=ROUTE, asks=[Ask("POST", body=[b"x"] * 4, pause=0.15)], took=(0.4, 1.5)
    ),
    "it begins with the end of the upload": Scenario(
        script=[SILENCE], route=ROUTE, asks=[Ask("POST", body=[b"x"] * 4, pause=0.15)], took=(0.7, 1.7)
    ),
    "several at once": Scenario(script=[SILENCE], route=ROUTE, asks=[Ask(at_once=5)], took=IN_TIME),
    "one after the other": Scenario(script=[SILENCE, OK, SILENCE, OK], route=ROUTE, asks=[Ask(times=4)]),
    "connect timeout": Scenario(**DEAF, policy=connect("300ms"), route={"retries": {"attempts": 0}}, took=IN_TIME),
    "connect timeout, retried": Scenario(**DEAF, policy=connect("200ms"), took=(0.5, 1.8)),
    "connect timeout of several": Scenario(
        **DEAF, policy=connect("300ms"), route={"retries": {"attempts": 0}}, asks=[Ask(at_once=4)]
    ),
    "connect timeout under the route's": Scenario(
        **DEAF,
        policy=connect("200ms"),
        route={"timeout": "500ms", "retries": {"attempts": 9, "retryOn": "connect-failure", "backoff": "1ms"}},
    ),
    "connect timeout and a body": Scenario(
        **DEAF, policy=connect("300ms"), route={"retries": {"attempts": 0}}, asks=[BODY], took=IN_TIME
    ),
}
RETRIES = {
    "tries that are not tried again": Scenario(
        script=[SILENCE], route=tries("300ms", on="connect-failure"), took=IN_TIME
    ),
    "tries, all too slow": Scenario(script=[SILENCE], route=tries("200ms"), took=(0.5, 2.0)),
    "tries, the second in time": Scenario(script=[SILENCE, OK], route=tries("200ms"), took=(0.15, 1.2)),
    "tries, the third in time": Scenario(script=[SILENCE, answer(503), OK], route=tries("200ms"), took=(0.15, 1.2)),
    "tries on gateway-error": Scenario(script=[SILENCE, OK], route=tries("200ms", on="gateway-error")),
    "tries on reset": Scenario(script=[SILENCE, OK], route=tries("200ms", on="reset")),
    "tries on retriable-status-codes": Scenario(script=[SILENCE, OK], route=tries("200ms", on="504")),
    "a try's head in time, its body late": Scenario(script=[answer(slow_body=0.5)], route=tries("200ms")),
    "tries with a body": Scenario(script=[SILENCE, OK], route=tries("200ms"), asks=[BODY]),
    "tries under the route's": Scenario(script=[SILENCE], route=tries("200ms", timeout="500ms"), took=(0.45, 1.5)),
    "the route's in the first try": Scenario(script=[SILENCE], route=tries("300ms", timeout="310ms")),
    "tries as long as the route's": Scenario(script=[SILENCE], route=tries("300ms", timeout="300ms"), took=IN_TIME),
    "tries, no connect": Scenario(**DEAF, route=tries("300ms", timeout="700ms"), took=(0.6, 1.7)),
    "a slow upload is in no try": Scenario(
        route=tries("200ms"), asks=[Ask("POST", body=[b"x"] * 4, pause=0.15)], took=(0.4, 1.5)
    ),
    "the route's while it waits": Scenario(
        script=[answer(503)],
        route={"timeout": "300ms", "retries": {"attempts": 5, "retryOn": "5xx", "backoff": "600s"}},
        took=(0, 1.2),
    ),
    "the route's over quick retries": Scenario(
        script=[answer(503, wait=0.13)],
        route={"timeout": "300ms", "retries": {"attempts": 9, "retryOn": "5xx", "backoff": "1ms"}},
        took=IN_TIME,
    ),
    "the route's over resets": Scenario(
        script=[ends(reset=True, wait=0.13)],
        route={"timeout": "300ms", "retries": {"attempts": 9, "retryOn": "reset", "backoff": "1ms"}},
        took=IN_TIME,
    ),
    "the route's in the second try's body": Scenario(
        script=[answer(503), answer(slow_body=1.5)],
        route={"timeout": "300ms", "retries": {"attempts": 2, "retryOn": "5xx", "backoff": "1ms"}},
        took=IN_TIME,
    ),
    "after a 1xx": Scenario(script=[after_100], route=tries("200ms", timeout="500ms")),
}
DEADLINES = {
    f"{name}, told {told}": Scenario(
        script=[step], route=route, asks=[Ask("POST", headers={**GRPC, **({"grpc-timeout": told} if told else {})})]
    )
    for name, route, step in [
        ("gRPC in time", ROUTE, answer(200, b"content-type: application/grpc", b"grpc-status: 0", body=b"")),
        ("gRPC too late", ROUTE, SILENCE),
        ("gRPC without a timeout", {}, answer(200, b"content-type: application/grpc", b"grpc-status: 0", body=b"")),
        ("gRPC tries", tries("150ms", timeout="400ms"), SILENCE),
    ]
    for told in ("", "100m", "2S", "1H", "150000u", "nonsense")
}
TOLD = {
    "x-envoy-upstream-rq-timeout-ms steers nothing": Scenario(
        script=[answer(wait=0.3)], asks=[Ask(headers={"x-envoy-upstream-rq-timeout-ms": "50"})]
    ),
    "x-envoy-upstream-rq-per-try-timeout-ms steers nothing": Scenario(
        script=[answer(wait=0.3)], asks=[Ask(headers={"x-envoy-upstream-rq-per-try-timeout-ms": "50"})]
    ),
    "x-envoy-expected-rq-timeout-ms is ours": Scenario(
        route=ROUTE, asks=[Ask(headers={"x-envoy-expected-rq-timeout-ms": "7"})]
    ),
    "x-envoy-expected-rq-timeout-ms without a timeout": Scenario(
        asks=[Ask(headers={"x-envoy-expected-rq-timeout-ms": "7"})]
    ),
    "the upstream is told of the route's": Scenario(route={"timeout": "30s"}),
    "the upstream is told of each try's": Scenario(route=tries("7s", timeout="30s")),
    "the upstream is told of the shorter": Scenario(route=tries("30s", timeout="7s")),
    "the upstream is told of a try's alone": Scenario(route=tries("7s")),
}
SCENARIOS = {**STAGES, **RETRIES, **DEADLINES, **TOLD}


@pytest.mark.parametrize("name", SCENARIOS)
def test_time_is_kept_alike(name: str, comparison: Comparison) -> None:
    assert not comparison.trouble(name)
