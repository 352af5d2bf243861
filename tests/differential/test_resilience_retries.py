"""Retries: every condition and every way in which an attempt can end, and what bounds them, as a real Envoy does it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.differential.istio_as_envoy import Host
from tests.differential.resilience import Ask, Comparison, Look, Scenario, Seen, Wait
from tests.differential.scripted_hosts import (
    CLOSE,
    GARBAGE,
    HALF_BODY,
    HALF_BODY_RESET,
    HALF_CHUNKED,
    HALF_HEAD,
    HALF_HEAD_RESET,
    OK,
    RESET,
    Served,
    Step,
    answer,
    ends,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

GRPC = {"content-type": "application/grpc", "te": "trailers"}
OUTCOMES = {
    "500": answer(500),
    "502": answer(502),
    "503": answer(503),
    "504": answer(504),
    "409": answer(409),
    "404": answer(404),
    "425": answer(425),
    "200": OK,
    "a ratelimited 503": answer(503, b"x-envoy-ratelimited: true"),
    "gRPC unavailable": answer(200, b"grpc-status: 14", b"content-type: application/grpc", body=b""),
    "a close": CLOSE,
    "a reset": RESET,
    "half a head": HALF_HEAD,
    "half a head and a reset": HALF_HEAD_RESET,
    "garbage": GARBAGE,
    "half a body": HALF_BODY,
    "half a body and a reset": HALF_BODY_RESET,
    "half a chunked body": HALF_CHUNKED,
}
CONNECTS = {"refused": Host("refuses"), "no connect": Host("deaf")}
CONDITIONS = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "refused-stream",
    "retriable-4xx",
    "503,404",
    "unavailable",
    "envoy-ratelimited",
    "Istio's",
]
BRIEF_CONNECT = {"connectionPool": {"tcp": {"connectTimeout": "150ms"}}}
IN_TURN = {"loadBalancer": {"simple": "ROUND_ROBIN"}}


def retries(on: str = "5xx", attempts: int = 2, **more: Any) -> dict[str, Any]:
    """A route with this `retries` block; `Istio's`: with none."""
    if on == "Istio's":
        return {}
    return {"retries": {"attempts": attempts, "retryOn": on, "backoff": "1ms", **more}}


def every_condition() -> dict[str, Scenario]:
    """Whether each condition tries each outcome again."""
    found = {
        f"{condition}: {name}": Scenario(script=[step], route=retries(condition))
        for condition in CONDITIONS
        for name, step in OUTCOMES.items()
    }
    found |= {
        f"{condition}: {name}": Scenario(hosts=[host], route=retries(condition), policy=BRIEF_CONNECT)
        for condition in CONDITIONS
        for name, host in CONNECTS.items()
    }
    return found


def in_sequence(*steps: Step, **more: Any) -> Scenario:
    """These outcomes one after the other, under 5xx and four retries."""
    return Scenario(script=steps, route=retries("5xx,reset,404", attempts=4), **more)


SEQUENCES = {
    "one retry helps": in_sequence(answer(503), OK),
    "the last retry helps": in_sequence(answer(503), RESET, HALF_HEAD, answer(404), OK),
    "all fail, a response last": in_sequence(RESET, answer(503), RESET, RESET, answer(503)),
    "all fail, a reset last": in_sequence(answer(503), answer(503), answer(503), answer(503), RESET),
    "a retry that is final": in_sequence(answer(503), answer(409)),
    "nothing again once the head is out": in_sequence(answer(503), HALF_BODY),
    "slow heads": in_sequence(answer(503, wait=0.1), answer(200, wait=0.1)),
    "a large answer is dropped": in_sequence(answer(503, body=b"x" * 300_000), OK),
    "a slow body is dropped": in_sequence(answer(503, body=b"x" * 1000, slow_body=0.3), OK),
    "425 is tried again at once": Scenario(script=[answer(425), OK], route=retries("425", backoff="10s"), took=(0, 2)),
    "attempts 0": Scenario(script=[RESET], route={"retries": {"attempts": 0}}),
    "attempts 1": Scenario(script=[answer(503)], route=retries(attempts=1)),
    "attempts 7": Scenario(script=[answer(503)], route=retries(attempts=7)),
    "attempts only": Scenario(script=[RESET], hosts=[Host("refuses")], route={"retries": {"attempts": 1}}),
    "HEAD": in_sequence(answer(503, body=b""), answer(200, body=b""), asks=[Ask("HEAD")]),
    "DELETE": in_sequence(answer(503), OK, asks=[Ask("DELETE")]),
    "gRPC, refused": Scenario(hosts=[Host("refuses")], asks=[Ask("POST", headers=GRPC, body=[b"x"])]),
    "gRPC, closed": Scenario(script=[CLOSE], asks=[Ask("POST", headers=GRPC, body=[b"x"])]),
    "gRPC, 503": Scenario(script=[answer(503)], asks=[Ask("POST", headers=GRPC, body=[b"x"])]),
    **{
        f"gRPC status {status}": Scenario(
            script=[answer(200, b"content-type: application/grpc", b"grpc-status: %d" % status, body=b""), OK],
            route=retries("cancelled,deadline-exceeded,internal,resource-exhausted,unavailable"),
            asks=[Ask("POST", headers=GRPC, body=[b"x"])],
        )
        for status in (0, 1, 2, 4, 8, 13, 14)
    },
    **{
        f"inbound: {name}": Scenario(script=[step], hosts=[Host(index)], inbound=True)
        for index, (name, step) in enumerate(
            {"503": answer(503), "close": CLOSE, "reset": RESET, "half a head": HALF_HEAD, "200": OK}.items()
        )
    },
    "inbound: refused": Scenario(hosts=[Host("refuses")], inbound=True),
}


# Which host


def at_most_once(seen: Seen) -> None:
    assert max(seen.by_host.values()) == 1, seen.by_host


def the_other_helps(seen: Seen) -> None:
    """Whichever host is first in turn: then every request meets the bad one first."""
    assert set(seen.statuses) == {200}
    attempts = [line["attempts"] for line in seen.log]
    assert attempts[0] in (1, 2) and set(attempts[1:]) == {2}, attempts


def the_same_again(least: float, most: float) -> Any:
    """The share of retries that met the host of the attempt before."""

    def check(seen: Seen) -> None:
        hosts: dict[str, list[int]] = {}
        for attempt in seen.attempts:
            hosts.setdefault(attempt.ask, []).append(attempt.host)
        same = sum(len(set(each)) == 1 for each in hosts.values())
        assert least <= same / len(hosts) <= most, same

    return check


FAILING = [answer(503)]
THREE = [Host(0), Host(1), Host(2)]
HOSTS = {
    "each host once": Scenario(script=FAILING, hosts=THREE, policy=IN_TURN, route=retries(), check=at_most_once),
    "more retries than hosts": Scenario(script=FAILING, hosts=THREE, policy=IN_TURN, route=retries(attempts=5)),
    "the other host helps": Scenario(
        script={0: FAILING, 1: [OK]},
        hosts=[Host(0), Host(1)],
        policy=IN_TURN,
        route=retries(),
        asks=[Ask(times=8)],
        check=the_other_helps,
        compared=False,
    ),
    "refused, then the other": Scenario(
        hosts=[Host("refuses"), Host(1)], policy=IN_TURN, asks=[Ask(times=8)], check=the_other_helps, compared=False
    ),
    "no connect, then the other": Scenario(
        hosts=[Host("deaf"), Host(1)],
        policy={**IN_TURN, **BRIEF_CONNECT},
        asks=[Ask(times=4)],
        check=the_other_helps,
        compared=False,
    ),
    "one host again and again": Scenario(script=FAILING, route=retries(attempts=3)),
    "another host, at random": Scenario(
        script=FAILING,
        hosts=[Host(0), Host(1)],
        policy={"loadBalancer": {"simple": "RANDOM"}},
        route=retries(attempts=1),
        asks=[Ask(times=60)],
        check=the_same_again(0.0, 0.12),  # 2 to the power of -6 is expected
        compared=False,
    ),
    "retryIgnorePreviousHosts false": Scenario(
        script=FAILING,
        hosts=[Host(0), Host(1)],
        policy={"loadBalancer": {"simple": "RANDOM"}},
        route=retries(attempts=1, retryIgnorePreviousHosts=False),
        asks=[Ask(times=60)],
        check=the_same_again(0.25, 0.75),
        compared=False,
    ),
    "the same host for the same hash": Scenario(
        script=FAILING,
        hosts=THREE,
        policy={"loadBalancer": {"consistentHash": {"httpHeaderName": "x-key"}}},
        route=retries(attempts=2),
        asks=[Ask(headers={"x-key": key}) for key in "abcdefgh"],
        placed=True,
    ),
}


# Bodies


async def early_503(served: Served) -> None:
    """Before the body is there."""
    await answer(503, reads=False)(served)
    served.close()


MIB = 1024 * 1024
SLOWLY = {"headers": {}, "pause": 0.15}
BODIES = {
    "a body is sent again": in_sequence(answer(503), OK, asks=[Ask("POST", body=[b"x" * 1000])]),
    "a chunked body is sent again": in_sequence(RESET, OK, asks=[Ask("POST", body=[b"x" * 1000] * 3, chunked=True)]),
    "500 KiB again": in_sequence(answer(503), OK, asks=[Ask("POST", body=[b"x" * 500_000])]),
    "1 MiB again": in_sequence(answer(503), OK, asks=[Ask("POST", body=[b"x" * MIB])]),
    "1 MiB and a byte, not again": in_sequence(answer(503), OK, asks=[Ask("POST", body=[b"x" * (MIB + 1)])]),
    "2 MiB, not again": in_sequence(answer(503), OK, asks=[Ask("POST", body=[b"x" * 2 * MIB])]),
    "2 MiB, all is well": in_sequence(OK, asks=[Ask("POST", body=[b"x" * 2 * MIB])]),
    "2 MiB, without retries": Scenario(
        route={"retries": {"attempts": 0}}, asks=[Ask("POST", body=[b"x" * 2 * MIB])], took=(0, 10)
    ),
    "8 MiB, no connect": Scenario(
        hosts=[Host("deaf")], policy=BRIEF_CONNECT, asks=[Ask("POST", body=[b"x" * 8 * MIB])], log="received"
    ),
    "1 MiB, no connect": Scenario(hosts=[Host("deaf")], policy=BRIEF_CONNECT, asks=[Ask("POST", body=[b"x" * MIB])]),
    "the rest of the body goes to the retry": in_sequence(
        early_503, OK, asks=[Ask("POST", body=[b"x" * 1000] * 3, pause=0.15)]
    ),
    "the body outgrows the wait": Scenario(
        script=[early_503, OK],
        route=retries(backoff="10s"),
        asks=[Ask("POST", body=[b"x" * 1000, b"x" * 2 * MIB], pause=0.2)],
        took=(0, 5),
        log="received",
    ),
    "an upstream that closes in the body": Scenario(
        script=[ends(reset=True, reads=False), OK],
        route=retries("reset"),
        asks=[Ask("POST", body=[b"x" * 1000, b"x" * 1000], pause=0.2)],
    ),
    "no retry, the upstream closes in the body": Scenario(
        script=[ends(reads=False)],
        route={"retries": {"attempts": 0}},
        asks=[Ask("POST", body=[b"x" * 1000, b"x" * 1000], pause=0.2)],
    ),
}


# How many at once, and how long between


def backoffs(base: float, *, asks: int) -> Any:
    """Waits up to `base`, doubled each time, and spread over that."""

    def check(seen: Seen) -> None:
        times: dict[str, list[float]] = {}
        for attempt in seen.attempts:
            times.setdefault(attempt.ask, []).append(attempt.at)
        assert len(times) == asks
        for number in range(3):
            waits = [each[number + 1] - each[number] for each in times.values()]
            ceiling = base * 2**number
            assert max(waits) < ceiling + 0.25, waits
            assert 0.15 * ceiling < sum(waits) / asks < 0.85 * ceiling + 0.15, waits

    return check


def retried(count: int) -> Any:
    def check(seen: Seen) -> None:
        assert seen.stats["upstream_rq_retry"] == count, seen.stats

    return check


SLOW_503 = answer(503, wait=0.2)
REUSE = "upstream_(cx_total|cx_active|rq_pending_total)"
"""Whether a retry finds a connection that was just given back is chance where several run at once."""
BOUNDS = {
    "backoff 200 ms": Scenario(
        script=FAILING,
        route=retries(attempts=3, backoff="200ms"),
        asks=[Ask(at_once=16)],
        check=backoffs(0.2, asks=16),
        compared=False,
    ),
    "backoff by default": Scenario(
        script=FAILING,
        route={"retries": {"attempts": 3, "retryOn": "5xx"}},
        asks=[Ask(at_once=16)],
        check=backoffs(0.025, asks=16),
        compared=False,
        stretches=False,
    ),
    "maxRetries 1": Scenario(
        script=[SLOW_503],
        route=retries(attempts=1),
        policy={"connectionPool": {"http": {"maxRetries": 1}}},
        asks=[Ask(at_once=5)],
        check=retried(1),
        stats=REUSE,
    ),
    "maxRetries 2": Scenario(
        script=[SLOW_503],
        route=retries(attempts=1),
        policy={"connectionPool": {"http": {"maxRetries": 2}}},
        asks=[Ask(at_once=5)],
        check=retried(2),
        stats=REUSE,
    ),
    "maxRetries 1, one at a time": Scenario(
        script=FAILING,
        route=retries(attempts=2),
        policy={"connectionPool": {"http": {"maxRetries": 1}}},
        asks=[Ask(times=3)],
        check=retried(6),
    ),
    "maxRetries is taken while a retry waits": Scenario(
        script=FAILING,
        route={"timeout": "400ms", **retries(attempts=1, backoff="600s")},
        policy={"connectionPool": {"http": {"maxRetries": 1}}},
        asks=[Ask(waits=False), Wait(0.15), Look("it waits"), Ask()],
    ),
    "maxRetries is given back by a timeout": Scenario(
        script=FAILING,
        route={"timeout": "300ms", **retries(attempts=1, backoff="600s")},
        policy={"connectionPool": {"http": {"maxRetries": 1}}},
        asks=[Ask(), Look("in between"), Ask()],
    ),
    "maxRetries is given back when the client leaves": Scenario(
        script=FAILING,
        route=retries(attempts=1, backoff="600s"),
        policy={"connectionPool": {"http": {"maxRetries": 1}}},
        asks=[Ask(patience=0.2), Wait(0.1), Look("gone"), Ask(patience=0.2), Wait(0.1), Look("gone again")],
    ),
    "maxRetries is given back by a success": Scenario(
        script=[answer(503), OK, answer(503), OK],
        route=retries(attempts=1),
        policy={"connectionPool": {"http": {"maxRetries": 1}}},
        asks=[Ask(times=2)],
    ),
    "retry budget, at least 3": Scenario(
        script=[SLOW_503],
        route=retries(attempts=1),
        policy={"retryBudget": {"percent": 10}},
        asks=[Ask(at_once=8)],
        check=retried(3),
        stats=REUSE,
    ),
    "retry budget, at least 1": Scenario(
        script=[SLOW_503],
        route=retries(attempts=1, backoff="400ms"),
        policy={"retryBudget": {"percent": 0, "minRetryConcurrency": 1}},
        asks=[Ask(at_once=4)],
        check=retried(1),
        stats=REUSE,
    ),
    "retry budget of all requests": Scenario(
        script=[SLOW_503],
        route=retries(attempts=1),
        policy={"retryBudget": {"percent": 100, "minRetryConcurrency": 1}},
        asks=[Ask(times=3)],
        check=retried(3),
    ),
    "retry budget beats maxRetries": Scenario(
        script=[SLOW_503],
        route=retries(attempts=1),
        policy={"retryBudget": {"percent": 10}, "connectionPool": {"http": {"maxRetries": 1}}},
        asks=[Ask(at_once=6)],
        check=retried(3),
        stats=REUSE,
    ),
}

SCENARIOS = {**every_condition(), **SEQUENCES, **HOSTS, **BODIES, **BOUNDS}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_is_tried_again(name: str, comparison: Comparison) -> None:
    assert not comparison.trouble(name)
