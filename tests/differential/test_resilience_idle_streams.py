"""Streams on which nothing passes any more, at each stage of a request, as a real Envoy ends them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.differential.istio_as_envoy import Host
from tests.differential.resilience import Ask, Comparison, Look, Scenario, Wait
from tests.differential.scripted_hosts import OK, SILENCE, Served, ServedStream, answer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

CONNECTIONS = {"httpStreamIdleTimeout": "600ms"}
IN_TIME = (0.55, 1.6)
"""Seconds in which a silence must have been ended."""
GRPC = {"content-type": "application/grpc", "te": "trailers"}
BODY = Ask("POST", body=[b"x" * 100])
STALLED = Ask("POST", body=[b"x", b"y"], pause=2.5)
"""A request whose rest comes too late."""


def dribble(pieces: int, of: int, pause: float = 0.25) -> Any:
    """A response whose body is so long and comes in pieces; and then no more."""

    async def step(served: Served) -> None:
        await served.read_body()
        if isinstance(served, ServedStream):
            served.send_head(200, [(b"content-length", b"%d" % of)])
        else:
            await served.send(b"HTTP/1.1 200 -\r\ncontent-length: %d\r\n\r\n" % of)
        for _ in range(pieces):
            await asyncio.sleep(pause)
            await served.send(b"x")
        if pieces < of:
            await served.wait_until_gone()

    return step


async def continue_and_stall(served: Served) -> None:
    """A 1xx after a while, and then nothing."""
    await asyncio.sleep(0.4)
    await served.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    await SILENCE(served)


BOTH = {
    "no head": Scenario(script=[SILENCE], took=IN_TIME),
    "no head, with a body": Scenario(script=[SILENCE], asks=[BODY], took=IN_TIME),
    "no head, HEAD": Scenario(script=[SILENCE], asks=[Ask("HEAD")], took=IN_TIME),
    "no head, gRPC": Scenario(script=[SILENCE], asks=[Ask("POST", headers=GRPC, body=[b"x"])], took=IN_TIME),
    "half a gRPC request": Scenario(script=[SILENCE], asks=[replace(STALLED, headers=GRPC)], took=IN_TIME),
    "half a request": Scenario(script=[SILENCE], asks=[STALLED], took=IN_TIME),
    "half a request, none of its body": Scenario(
        script=[SILENCE], asks=[Ask("POST", body=[b"", b"y"], pause=2.5)], took=IN_TIME
    ),
    "half a request, chunked": Scenario(
        script=[SILENCE], asks=[Ask("POST", body=[b"x", b"y"], chunked=True, pause=2.5)], took=IN_TIME
    ),
    "a request in pieces": Scenario(asks=[Ask("POST", body=[b"x"] * 5, pause=0.25)], took=(0.95, 2.0)),
    "a request in pieces, then no head": Scenario(
        script=[SILENCE], asks=[Ask("POST", body=[b"x"] * 5, pause=0.25)], took=(1.55, 2.6)
    ),
    "a slow head": Scenario(script=[answer(wait=1.6)], took=IN_TIME),
    "a head in time": Scenario(script=[answer(wait=0.3)]),
    "no body": Scenario(script=[dribble(0, 3)], took=IN_TIME),
    "half a body": Scenario(script=[dribble(2, 3)], took=(1.05, 2.1)),
    "a body in pieces": Scenario(script=[dribble(5, 5)], took=(1.2, 2.2)),
    "no body, gRPC": Scenario(script=[dribble(0, 3)], asks=[Ask("POST", headers=GRPC, body=[b"x"])], took=IN_TIME),
    "half an answer before the request is whole": Scenario(
        script=[answer(reads=False, slow_body=2.5)], asks=[STALLED], took=IN_TIME
    ),
    "the route's timeout first": Scenario(script=[SILENCE], route={"timeout": "300ms"}, took=(0.25, 1.2)),
    "the route's timeout later": Scenario(script=[SILENCE], route={"timeout": "1.2s"}, took=IN_TIME),
    "tries do not begin it anew": Scenario(
        script=[answer(503, wait=0.25)],
        route={"retries": {"attempts": 9, "retryOn": "5xx", "backoff": "1ms"}},
        took=IN_TIME,
        compared=False,
    ),
    "while it waits to try again": Scenario(
        script=[answer(503)],
        route={"retries": {"attempts": 5, "retryOn": "5xx", "backoff": "60s"}},
        compared=False,
    ),
    "no connect": Scenario(hosts=[Host("deaf")], took=IN_TIME),
    "held back": Scenario(route={"fault": {"delay": {"fixedDelay": "2s", "percentage": {"value": 100}}}}, took=IN_TIME),
    "held back with a body": Scenario(
        route={"fault": {"delay": {"fixedDelay": "2s", "percentage": {"value": 100}}}}, asks=[BODY], took=IN_TIME
    ),
    "held back while its body comes": Scenario(
        route={"fault": {"delay": {"fixedDelay": "1s", "percentage": {"value": 100}}}},
        asks=[Ask("POST", body=[b"x"] * 5, pause=0.25)],
    ),
    "several at once": Scenario(
        script=[SILENCE], asks=[Ask(at_once=4)], took=IN_TIME, stats="upstream_rq_pending_total"
    ),
    "one after the other": Scenario(script=[SILENCE, OK, SILENCE, OK], asks=[Ask(times=4)]),
    "waiting for a connection": Scenario(
        script=[SILENCE, OK],
        policy={"connectionPool": {"tcp": {"maxConnections": 1}}},
        asks=[Ask(waits=False), Wait(0.2), Ask(waits=False), Wait(0.1), Look("waits")],
    ),
    "a shadow": Scenario(script=[SILENCE], shadow=Host(1), took=IN_TIME, stats=r"shadow\..*"),
}
INBOUND = {
    "inbound, no head": Scenario(script=[SILENCE], inbound=True, took=IN_TIME),
    "inbound, half a request": Scenario(script=[SILENCE], asks=[STALLED], inbound=True, took=IN_TIME),
    "inbound, half a body": Scenario(script=[dribble(2, 3)], inbound=True, took=(1.05, 2.1)),
}
OLD = {
    "after a 1xx": Scenario(script=[continue_and_stall], took=(0.95, 2.0)),
}
NEW = {
    "a request without an end": Scenario(script=[SILENCE], client=2, asks=[Ask("POST", half=True)], took=IN_TIME),
}


def over(name: str, scenario: Scenario, client: int, upstream: int) -> tuple[str, Scenario]:
    asks = [replace(ask, chunked=False) if isinstance(ask, Ask) and client == 2 else ask for ask in scenario.asks]
    return f"{name}, {client} to {upstream}", replace(scenario, asks=asks, client=client, upstream=upstream)


SCENARIOS = dict(
    [
        *(
            over(name, scenario, client, upstream)
            for name, scenario in BOTH.items()
            for client, upstream in ((1, 1), (2, 1), (2, 2))
        ),
        *(over(name, scenario, client, 1) for name, scenario in INBOUND.items() for client in (1, 2)),
        *(over(name, scenario, 1, 1) for name, scenario in OLD.items()),
        *(over(name, scenario, 2, upstream) for name, scenario in NEW.items() for upstream in (1, 2)),
    ]
)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_silent_stream_ends_alike(name: str, comparison: Comparison) -> None:
    assert not comparison.trouble(name)
