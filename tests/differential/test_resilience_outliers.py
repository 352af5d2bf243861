"""Who is ejected, for how long, and what is told of it, as a real Envoy does it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.differential.istio_as_envoy import Host
from tests.differential.resilience import Ask, Comparison, Look, Scenario, Seen, Wait
from tests.differential.scripted_hosts import CLOSE, HALF_HEAD, OK, RESET, SILENCE, Step, answer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

NO_RETRIES = {"retries": {"attempts": 0}}
IN_TURN = {"loadBalancer": {"simple": "ROUND_ROBIN"}}
BAD = [answer(500)]
FOR_LONG = {"interval": "60s", "baseEjectionTime": "60s", "maxEjectionPercent": 100}
"""Ejected hosts stay out for the whole test."""
SETTLE = 0.03
"""Envoy ejects on another thread than it serves on."""
GRPC = {"content-type": "application/grpc"}


def one_by_one(times: int, **ask: Any) -> list[Any]:
    """So many requests, each when what the one before did is done."""
    return [action for _ in range(times) for action in (Ask(**ask), Wait(SETTLE))]


def detect(times: int, *steps: Step, hosts: Any = (Host(),), **block: Any) -> Scenario:
    """So many requests that meet these outcomes, under this outlierDetection."""
    return Scenario(
        script=steps,
        hosts=hosts,
        route=NO_RETRIES,
        policy={**IN_TURN, "outlierDetection": {**FOR_LONG, **block}},
        asks=[*one_by_one(times), Look("at the end")],
    )


OUTCOMES = {
    "500": answer(500),
    "502": answer(502),
    "503": answer(503),
    "504": answer(504),
    "404": answer(404),
    "200": OK,
    "a close": CLOSE,
    "a reset": RESET,
    "half a head": HALF_HEAD,
}
WHO = {
    **{f"{count} in a row": detect(count + 2, *BAD, consecutive5xxErrors=count) for count in (1, 2, 3, 5)},
    "by default 5 in a row": detect(7, *BAD),
    "0 never": detect(6, *BAD, consecutive5xxErrors=0),
    "a success between": detect(7, *BAD * 2, OK, *BAD * 4, consecutive5xxErrors=3),
    "a 404 between": detect(7, *BAD * 2, answer(404), *BAD * 4, consecutive5xxErrors=3),
    **{f"3 times {name}": detect(5, step, consecutive5xxErrors=3) for name, step in OUTCOMES.items()},
    **{
        f"3 times {name}, gateway errors": detect(5, step, consecutiveGatewayErrors=3, consecutive5xxErrors=0)
        for name, step in OUTCOMES.items()
    },
    "gateway errors and others": detect(
        9, answer(503), answer(503), answer(500), answer(503), answer(502), answer(504), consecutiveGatewayErrors=3
    ),
    "gateway errors before 5xx": detect(6, answer(503), consecutiveGatewayErrors=2, consecutive5xxErrors=4),
    "both at once": detect(6, answer(503), consecutiveGatewayErrors=3, consecutive5xxErrors=3),
    "codes of one's own": detect(5, answer(404), consecutive5xxErrors=3, outlierDetectionHttpErrorCodes=[404, 429]),
    "codes of one's own as gateway errors": detect(
        5, answer(404), consecutiveGatewayErrors=2, outlierDetectionHttpErrorCodes=[404]
    ),
    "codes of one's own, 502 among them": detect(
        5, answer(502), consecutiveGatewayErrors=2, outlierDetectionHttpErrorCodes=[404, 502]
    ),
    "codes of one's own, others": detect(5, *BAD, consecutive5xxErrors=3, outlierDetectionHttpErrorCodes=[404, 429]),
    "codes of one's own, resets": detect(5, RESET, consecutive5xxErrors=3, outlierDetectionHttpErrorCodes=[404]),
    "codes of one's own, gateway": detect(
        5, answer(503), consecutiveGatewayErrors=3, consecutive5xxErrors=0, outlierDetectionHttpErrorCodes=[503]
    ),
    "refused": Scenario(
        hosts=[Host("refuses")],
        route=NO_RETRIES,
        policy={"outlierDetection": {**FOR_LONG, "consecutive5xxErrors": 3}},
        asks=[*one_by_one(5), Look("at the end")],
    ),
    "no connect": Scenario(
        hosts=[Host("deaf")],
        route=NO_RETRIES,
        policy={
            "outlierDetection": {**FOR_LONG, "consecutiveGatewayErrors": 2},
            "connectionPool": {"tcp": {"connectTimeout": "100ms"}},
        },
        asks=[*one_by_one(3), Look("at the end")],
    ),
    "timeouts": Scenario(
        script=[SILENCE],
        route={**NO_RETRIES, "timeout": "100ms"},
        policy={"outlierDetection": {**FOR_LONG, "consecutiveGatewayErrors": 2}},
        asks=[*one_by_one(4), Look("at the end")],
    ),
    "slow bodies": Scenario(
        script=[answer(slow_body=0.3)],
        route={**NO_RETRIES, "timeout": "100ms"},
        policy={"outlierDetection": {**FOR_LONG, "consecutive5xxErrors": 2}},
        asks=[*one_by_one(3), Look("at the end")],
    ),
    "tries too slow": Scenario(
        script=[SILENCE],
        route={"retries": {"attempts": 1, "perTryTimeout": "100ms", "retryOn": "5xx", "backoff": "20ms"}},
        policy={"outlierDetection": {**FOR_LONG, "consecutive5xxErrors": 3}},
        asks=[*one_by_one(3), Look("at the end")],
    ),
    "each try counts": Scenario(
        script=[answer(503)],
        route={"retries": {"attempts": 5, "retryOn": "5xx", "backoff": "100ms"}},
        policy={"outlierDetection": {**FOR_LONG, "consecutive5xxErrors": 3}},
        asks=[*one_by_one(2), Look("at the end")],
        took=(0, 3),
    ),
    **{
        f"gRPC status {status}": Scenario(
            script=[answer(200, b"content-type: application/grpc", b"grpc-status: %d" % status, body=b"")],
            route=NO_RETRIES,
            policy={"outlierDetection": {**FOR_LONG, "consecutive5xxErrors": 2, "consecutiveGatewayErrors": 3}},
            asks=[*one_by_one(4, method="POST", headers=GRPC), Look("at the end")],
        )
        for status in (0, 1, 2, 4, 5, 8, 12, 13, 14, 16)
    },
    "a grpc-status where nobody asked for gRPC": Scenario(
        script=[answer(200, b"grpc-status: 14", body=b"")],
        route=NO_RETRIES,
        policy={"outlierDetection": {**FOR_LONG, "consecutive5xxErrors": 2}},
        asks=one_by_one(4),
    ),
}
SPLIT = {"splitExternalLocalOriginErrors": True, "consecutiveLocalOriginFailures": 2}
APART = {
    "local errors, resets": detect(5, RESET, **SPLIT),
    "local errors, 500s": detect(7, *BAD, **SPLIT, consecutive5xxErrors=3),
    "local errors, 500s and resets in turn": detect(
        9, *[answer(500, b"connection: close"), RESET] * 5, **SPLIT, consecutive5xxErrors=3
    ),
    "local errors, gateway errors": detect(5, *BAD, **SPLIT, consecutiveGatewayErrors=2, consecutive5xxErrors=0),
    "local errors, 503s and gateway errors": detect(
        5, answer(503), **SPLIT, consecutiveGatewayErrors=2, consecutive5xxErrors=0
    ),
    "local errors, codes of one's own": detect(
        6, answer(404), **SPLIT, consecutive5xxErrors=4, outlierDetectionHttpErrorCodes=[404]
    ),
    "local errors, codes of one's own as gateway errors": detect(
        6, answer(404), **SPLIT, consecutiveGatewayErrors=2, outlierDetectionHttpErrorCodes=[404]
    ),
    "local errors by default": detect(7, RESET, splitExternalLocalOriginErrors=True),
    "local errors, refused": Scenario(
        hosts=[Host("refuses")],
        route=NO_RETRIES,
        policy={"outlierDetection": {**FOR_LONG, **SPLIT}},
        asks=[*one_by_one(4), Look("at the end")],
    ),
    "local errors, timeouts": Scenario(
        script=[SILENCE],
        route={**NO_RETRIES, "timeout": "100ms"},
        policy={"outlierDetection": {**FOR_LONG, **SPLIT}},
        asks=[*one_by_one(4), Look("at the end")],
    ),
}
SHARES = {
    f"of {count} at most {percent} %": Scenario(
        script=BAD,
        hosts=[Host(index) for index in range(count)],
        route=NO_RETRIES,
        policy={
            **IN_TURN,
            "outlierDetection": {**FOR_LONG, "consecutive5xxErrors": 1, "maxEjectionPercent": percent},
        },
        asks=[*one_by_one(count * 2), Look("at the end")],
    )
    for count, percent in [
        (1, 10),
        (1, 99),
        (1, 100),
        (2, 49),
        (2, 50),
        (3, 33),
        (3, 34),
        (3, 66),
        (3, 67),
        (4, 50),
        (5, 10),
        (5, 20),
        (6, 50),
        (7, 30),
        (8, 100),
        (9, 11),
        (9, 12),
        (10, 9),
        (10, 10),
        (10, 25),
    ]
}
PANIC = {
    f"{bad} of {count} bad, {percent} % at least": Scenario(
        script=dict.fromkeys(range(bad), BAD),
        hosts=[Host(index) for index in range(count)],
        route=NO_RETRIES,
        policy={
            **IN_TURN,
            "outlierDetection": {**FOR_LONG, "consecutive5xxErrors": 1, "minHealthPercent": percent},
        },
        asks=[*one_by_one(count), *one_by_one(count), Look("at the end")],
        stats="lb_healthy_panic",  # whose turn it is when the panic begins is chance
        check=check,
        compared=False,
    )
    for bad, count, percent, check in [
        (4, 4, 0, lambda seen: _count(seen, s500=4, s503=4)),
        (3, 4, 0, lambda seen: _count(seen, s500=3, s200=5)),
        (2, 4, 50, lambda seen: _count(seen, s500=2, s200=6)),
        (2, 4, 51, lambda seen: _panics(seen, least=2, most=6)),
        (3, 4, 50, lambda seen: _panics(seen, least=3, most=8)),
        (4, 4, 50, lambda seen: _panics(seen, least=8, most=8)),
        (4, 4, 1, lambda seen: _panics(seen, least=8, most=8)),
    ]
}


def _count(seen: Seen, **expected: int) -> None:
    found: dict[str, int] = {}
    for status in seen.statuses:
        found[f"s{status}"] = found.get(f"s{status}", 0) + 1
    assert found == expected, found
    assert "lb_healthy_panic" not in seen.stats


def _panics(seen: Seen, *, least: int, most: int) -> None:
    assert least <= seen.statuses.count(500) <= most, seen.statuses
    assert seen.statuses.count(503) == 0
    assert seen.stats["lb_healthy_panic"] > 0


def _back_again(seen: Seen) -> None:
    """One 500 from the first host; nothing of it while it is out, and its turn again when it is back."""
    assert sorted(seen.statuses) == [200] * 9 + [500]
    hosts = [attempt.host for attempt in seen.attempts]
    assert hosts[2:6] == [1] * 4 and set(hosts[6:]) == {0, 1}, hosts


# For how long


def gaps(*expected: float, slack: float = 0.35) -> Callable[[Seen], None]:
    """Seconds for which the host was left alone, each rounded up to the next sweep."""

    def check(seen: Seen) -> None:
        times = [attempt.at for attempt in seen.attempts]
        found = [later - earlier for earlier, later in pairwise(times) if later - earlier > 0.15]
        assert len(found) >= len(expected), found
        for gap, wanted in zip(found, expected, strict=False):
            assert wanted - 0.02 <= gap <= wanted + slack, found

    return check


def asked_for(seconds: float) -> list[Any]:
    """A request every 40 ms."""
    return [action for _ in range(int(seconds / 0.04)) for action in (Ask(), Wait(0.03))]


def timeline(seconds: float, check: Callable[[Seen], None], *steps: Step, **block: Any) -> Scenario:
    outlier = {"interval": "100ms", "maxEjectionPercent": 100, "consecutive5xxErrors": 1, **block}
    return Scenario(
        script=steps,
        route=NO_RETRIES,
        policy={"outlierDetection": outlier},
        asks=asked_for(seconds),
        check=check,
        compared=False,
    )


GOOD = [OK]
TIMES = {
    "it returns": timeline(1.2, gaps(0.3), *BAD, *GOOD, baseEjectionTime="300ms"),
    "it returns at the next sweep": timeline(
        1.8, gaps(0.2, slack=1.0), *BAD, *GOOD, baseEjectionTime="200ms", interval="600ms"
    ),
    "each time longer": timeline(3.5, gaps(0.2, 0.4, 0.6, 0.8), *BAD, baseEjectionTime="200ms"),
    "shorter after good times": timeline(
        4.5, gaps(0.3, 0.6, 0.3), *BAD * 2, *GOOD * 18, *BAD, *GOOD, baseEjectionTime="300ms"
    ),
    "it begins anew when it is back": timeline(
        3.0,
        gaps(0.3, 0.3),
        *BAD * 3,
        *GOOD * 12,
        *BAD * 2,
        *GOOD,
        *BAD * 3,
        *GOOD,
        consecutive5xxErrors=3,
        baseEjectionTime="300ms",
    ),
}
RETURNS = {
    "ejected, back, and told so": Scenario(
        script=[*BAD * 2, *GOOD],
        route=NO_RETRIES,
        policy={
            "outlierDetection": {
                "interval": "100ms",
                "baseEjectionTime": "400ms",
                "maxEjectionPercent": 100,
                "consecutive5xxErrors": 2,
            }
        },
        asks=[*one_by_one(2), Look("ejected"), Ask(), Wait(0.9), Look("back"), Ask(), Ask()],
    ),
    "one of two, back": Scenario(
        script={0: [*BAD, *GOOD], 1: GOOD},
        hosts=[Host(0), Host(1)],
        route=NO_RETRIES,
        policy={
            **IN_TURN,
            "outlierDetection": {
                "interval": "100ms",
                "baseEjectionTime": "1s",
                "maxEjectionPercent": 50,
                "consecutive5xxErrors": 1,
            },
        },
        asks=[*one_by_one(2), Look("ejected"), *one_by_one(4), Wait(1.6), Look("back"), *one_by_one(4)],
        check=lambda seen: _back_again(seen),
        compared=False,
    ),
    "a retry goes to the other": Scenario(
        script={0: BAD, 1: GOOD},
        hosts=[Host(0), Host(1)],
        route={"retries": {"attempts": 2, "retryOn": "5xx", "backoff": "1ms"}},
        policy={**IN_TURN, "outlierDetection": {**FOR_LONG, "consecutive5xxErrors": 1}},
        asks=[*one_by_one(6)],
        check=lambda seen: _count(seen, s200=6),
        compared=False,
    ),
    "what is under way goes on": Scenario(
        script=[answer(wait=0.4), *BAD, *GOOD],
        route=NO_RETRIES,
        policy={"outlierDetection": {**FOR_LONG, "consecutive5xxErrors": 1}},
        asks=[Ask(waits=False), Wait(0.1), Ask(), Wait(SETTLE), Ask()],
    ),
}

SCENARIOS = {**WHO, **APART, **SHARES, **PANIC, **TIMES, **RETURNS}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_hosts_are_ejected(name: str, comparison: Comparison) -> None:
    assert not comparison.trouble(name)
