"""Ceilings on connections, pending and running requests, and the life of connections, as a real Envoy keeps them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.differential.istio_as_envoy import Host
from tests.differential.resilience import Ask, Comparison, Look, Scenario, Seen, Wait
from tests.differential.scripted_hosts import CLOSE, OK, Served, answer, ends

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SLOW = answer(wait=0.6)
"""Longer than it takes the clients of one scenario to come, one after the other."""
APART = 0.06
NO_RETRIES = {"retries": {"attempts": 0}}
CHANCE = "upstream_cx_(total|active|destroy.*|overflow)|upstream_rq_pending_total"
"""What depends on who comes first where several come at once."""


def pool(**settings: Any) -> dict[str, Any]:
    """A trafficPolicy with these ceilings and times, each in the block where it belongs."""
    tcp = {"maxConnections", "connectTimeout", "maxConnectionDuration"}
    found: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        found.setdefault("tcp" if name in tcp else "http", {})[name] = value
    return {"connectionPool": found} if found else {}


def answered(**expected: int) -> Any:
    """So many of each status."""

    def check(seen: Seen) -> None:
        found = Counter(f"s{status}" for status in seen.statuses)
        assert found == expected, found
        for each in seen.answers:
            assert (each.get(b"x-envoy-overloaded") == b"true") is (each.status == 503)

    return check


def shut(count: int, clients: int = 5, **ceilings: Any) -> Scenario:
    """So many clients at once before a slow host: `count` are served, the others overflow."""
    return Scenario(
        script=[SLOW],
        policy=pool(**ceilings),
        asks=[
            Ask(at_once=clients, apart=APART, waits=False),
            Wait(0.45),
            Look("under load", r"circuit_breakers.*_open|upstream_rq_(pending_)?active|upstream_cx_active"),
        ],
        check=answered(s200=count, s503=clients - count) if count < clients else answered(s200=clients),
    )


CEILINGS = {
    "no ceiling": shut(5),
    "1 connection, all others wait": shut(3, clients=3, maxConnections=1),
    "1 connection, 1 waits": shut(2, maxConnections=1, http1MaxPendingRequests=1),
    "1 connection, 2 wait": shut(3, maxConnections=1, http1MaxPendingRequests=2),
    "2 connections, 1 waits": shut(3, maxConnections=2, http1MaxPendingRequests=1, clients=6),
    "3 connections": shut(6, maxConnections=3, clients=6),
    "1 request": shut(1, http2MaxRequests=1),
    "3 requests": shut(3, http2MaxRequests=3),
    "5 requests": shut(5, http2MaxRequests=5),
    "1 request, 1 connection, 1 waits": shut(2, http2MaxRequests=1, maxConnections=1, http1MaxPendingRequests=1),
    "2 requests, 1 connection": shut(3, clients=3, http2MaxRequests=2, maxConnections=1),
    "0 is no ceiling": shut(5, maxConnections=0, http1MaxPendingRequests=0, http2MaxRequests=0),
    "1 waits for a connect that is slow": Scenario(
        hosts=[Host("deaf")],
        route=NO_RETRIES,
        policy=pool(http1MaxPendingRequests=1, connectTimeout="400ms"),
        asks=[Ask(waits=False), Wait(0.1), Ask(), Look("now")],
    ),
    "2 connects at most": Scenario(
        hosts=[Host("deaf")],
        route=NO_RETRIES,
        policy=pool(maxConnections=2, connectTimeout="400ms"),
        asks=[Ask(at_once=4, apart=APART, waits=False), Wait(0.3), Look("now")],
    ),
    "one after the other": Scenario(
        policy=pool(maxConnections=1, http1MaxPendingRequests=1, http2MaxRequests=1), asks=[Ask(times=6)]
    ),
    "an idle connection needs no waiting": Scenario(
        script=[OK, SLOW],
        policy=pool(http1MaxPendingRequests=1),
        asks=[Ask(), Ask(waits=False), Wait(0.1), Ask()],
    ),
    "the ceiling on requests beats an idle connection": Scenario(
        script=[SLOW, SLOW, SLOW],
        policy=pool(http2MaxRequests=2),
        asks=[Ask(at_once=2), Ask(waits=False), Wait(0.1), Ask(waits=False), Wait(0.05), Ask(), Look("now")],
        stats=CHANCE,
    ),
    "each host may have one": Scenario(
        script=[SLOW],
        hosts=[Host(0), Host(1), Host(2)],
        policy={**pool(maxConnections=1), "loadBalancer": {"simple": "ROUND_ROBIN"}},
        asks=[Ask(at_once=3, apart=APART, waits=False), Wait(0.3), Look("now", "upstream_cx_active|.*cx_open")],
        check=answered(s200=3),
    ),
    "the ceiling is the cluster's, not the host's": Scenario(
        script=[SLOW],
        hosts=[Host(0), Host(1)],
        policy={**pool(http2MaxRequests=2), "loadBalancer": {"simple": "ROUND_ROBIN"}},
        asks=[Ask(at_once=4, apart=APART)],
        check=answered(s200=2, s503=2),
    ),
    "an overflow is not tried again": Scenario(
        script=[SLOW],
        route={"retries": {"attempts": 3, "retryOn": "5xx,reset,connect-failure", "backoff": "1ms"}},
        policy=pool(maxConnections=1, http1MaxPendingRequests=1),
        asks=[Ask(at_once=4, apart=APART)],
        check=answered(s200=2, s503=2),
    ),
    "an overflow ejects nobody": Scenario(
        script=[SLOW],
        policy={
            **pool(maxConnections=1, http1MaxPendingRequests=1),
            "outlierDetection": {"consecutive5xxErrors": 1, "maxEjectionPercent": 100},
        },
        asks=[Ask(at_once=5, apart=APART), Ask()],
        check=answered(s200=3, s503=3),
    ),
    "a place is free again after an error": Scenario(
        script=[CLOSE, answer(503), answer(500), OK],
        route=NO_RETRIES,
        policy=pool(maxConnections=1, http1MaxPendingRequests=1, http2MaxRequests=1),
        asks=[Ask(times=4)],
    ),
    "a place is free again after a timeout": Scenario(
        script=[answer(wait=5), OK],
        route={"timeout": "200ms"},
        policy=pool(maxConnections=1, http1MaxPendingRequests=1, http2MaxRequests=1),
        asks=[Ask(), Ask(), Ask()],
    ),
    "a place is free again when the client leaves": Scenario(
        script=[answer(wait=5), OK],
        policy=pool(maxConnections=1, http1MaxPendingRequests=1, http2MaxRequests=1),
        asks=[Ask(patience=0.2), Wait(0.1), Ask()],
    ),
    "a place in the queue is free again when the client leaves": Scenario(
        script=[answer(wait=0.8), OK],
        policy=pool(maxConnections=1, http1MaxPendingRequests=1),
        asks=[Ask(waits=False), Wait(0.1), Ask(patience=0.2), Wait(0.1), Ask(waits=False), Wait(0.1), Look("now")],
    ),
    "who waits too long": Scenario(
        script=[answer(wait=0.6)],
        route={"timeout": "300ms"},
        policy=pool(maxConnections=1),
        asks=[Ask(waits=False), Wait(0.1), Ask()],
    ),
    "who waits is served next": Scenario(
        script=[SLOW, OK],
        policy=pool(maxConnections=1),
        asks=[Ask(waits=False), Wait(0.1), Ask(waits=False), Wait(0.05), Ask()],
    ),
    "who waits when the connection dies": Scenario(
        script=[ends(reset=True, wait=0.3), OK],
        route=NO_RETRIES,
        policy=pool(maxConnections=1),
        asks=[Ask(waits=False), Wait(0.1), Ask()],
    ),
    "gRPC overflow": Scenario(
        script=[SLOW],
        policy=pool(maxConnections=1, http1MaxPendingRequests=1),
        asks=[
            Ask(at_once=2, apart=APART, waits=False),
            Wait(0.2),
            Ask("POST", headers={"content-type": "application/grpc"}, body=[b"x"]),
        ],
    ),
    "HEAD overflow": Scenario(
        script=[SLOW],
        policy=pool(maxConnections=1, http1MaxPendingRequests=1),
        asks=[Ask(at_once=2, apart=APART, waits=False), Wait(0.2), Ask("HEAD")],
    ),
    "a weighted destination has its own": Scenario(
        script=[SLOW],
        hosts=[Host(0), Host(1)],
        route={"weights": {"a": 100, "b": 0}},
        policy=pool(maxConnections=1, http1MaxPendingRequests=1),
        asks=[Ask(at_once=4, apart=APART)],
        check=answered(s200=2, s503=2),
    ),
}


# The life of a connection


async def answer_then_close(served: Served) -> None:
    await OK(served)
    served.close()


async def answer_and_chatter(served: Served) -> None:
    """Bytes that nobody asked for."""
    await answer(body=b"ok")(served)
    await served.send(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")


LIVES = {
    "one connection for all": Scenario(asks=[Ask(times=5)]),
    **{
        f"{limit} requests each": Scenario(policy=pool(maxRequestsPerConnection=limit), asks=[Ask(times=5)])
        for limit in (1, 2, 3, 5, 100)
    },
    "1 request each, several at once": Scenario(
        script=[answer(wait=0.1)], policy=pool(maxRequestsPerConnection=1), asks=[Ask(at_once=4, times=2)]
    ),
    "1 request each, 1 connection": Scenario(
        script=[answer(wait=0.05)],
        policy=pool(maxRequestsPerConnection=1, maxConnections=1),
        asks=[Ask(at_once=3)],
        check=answered(s200=3),
        stats=CHANCE,
    ),
    "idle for too long": Scenario(policy=pool(idleTimeout="200ms"), asks=[Ask(), Wait(0.5), Look("idle"), Ask()]),
    "idle for a while": Scenario(policy=pool(idleTimeout="2s"), asks=[Ask(), Wait(0.3), Look("idle"), Ask()]),
    "idle, by tcp": Scenario(
        policy={"connectionPool": {"tcp": {"idleTimeout": "200ms"}}}, asks=[Ask(), Wait(0.5), Look("idle"), Ask()]
    ),
    "idle, http before tcp": Scenario(
        policy={"connectionPool": {"tcp": {"idleTimeout": "200ms"}, "http": {"idleTimeout": "3s"}}},
        asks=[Ask(), Wait(0.5), Look("idle"), Ask()],
    ),
    "idle, several": Scenario(
        script=[answer(wait=0.1)],
        policy=pool(idleTimeout="300ms"),
        asks=[Ask(at_once=3), Wait(0.7), Look("idle"), Ask()],
    ),
    "idle, but used in between": Scenario(
        policy=pool(idleTimeout="500ms"), asks=[Ask(), Wait(0.3), Ask(), Wait(0.3), Ask(), Look("used")]
    ),
    "a slow answer is not idle": Scenario(
        script=[answer(wait=0.6)], policy=pool(idleTimeout="200ms"), asks=[Ask(), Look("just used")]
    ),
    "too old while idle": Scenario(
        policy=pool(maxConnectionDuration="300ms"), asks=[Ask(), Wait(0.6), Look("too old"), Ask()]
    ),
    "too old while used": Scenario(
        script=[answer(wait=0.6), OK], policy=pool(maxConnectionDuration="300ms"), asks=[Ask(), Look("too old"), Ask()]
    ),
    "not too old": Scenario(policy=pool(maxConnectionDuration="5s"), asks=[Ask(times=3)]),
    "connection: close": Scenario(script=[answer(200, b"connection: close"), OK], asks=[Ask(times=3)]),
    "closed after an answer": Scenario(script=[answer_then_close, OK], asks=[Ask(), Wait(0.1), Ask(), Ask()]),
    "bytes that nobody asked for": Scenario(script=[answer_and_chatter, OK], asks=[Ask(), Wait(0.1), Ask(), Ask()]),
    "HTTP/1.0": Scenario(
        script=[ends(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"), OK], asks=[Ask(), Wait(0.1), Ask()]
    ),
    "a body to the end of the connection": Scenario(
        script=[ends(b"HTTP/1.1 200 OK\r\n\r\nok"), OK], asks=[Ask(), Wait(0.1), Ask()]
    ),
    "the last used is used first": Scenario(
        script=[answer(wait=0.1)], asks=[Ask(at_once=2), Ask(), Ask(), Look("still two", "upstream_cx_active")]
    ),
}

SCENARIOS = {**CEILINGS, **LIVES}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_ceilings_hold(name: str, comparison: Comparison) -> None:
    assert not comparison.trouble(name)
