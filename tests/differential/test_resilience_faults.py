"""Injected delays and aborts: what the client gets, what is logged and counted, and how often, as with a real Envoy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.differential.istio_as_envoy import Host
from tests.differential.resilience import Ask, Comparison, Scenario, Seen, Wait
from tests.differential.scripted_hosts import OK, SILENCE, answer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
FLAGS = ("--seed", "7")

GRPC = Ask("POST", headers={"content-type": "application/grpc"}, body=[b"x"])
RETRIES = {"attempts": 2, "retryOn": "5xx", "backoff": "1ms"}
TIMES = 300


def delay(share: float = 100, fixed: str = "200ms") -> dict[str, Any]:
    return {"delay": {"fixedDelay": fixed, "percentage": {"value": share}}}


def abort(share: float = 100, status: int = 418) -> dict[str, Any]:
    return {"abort": {"httpStatus": status, "percentage": {"value": share}}}


def abort_grpc(status: str, share: float = 100) -> dict[str, Any]:
    return {"abort": {"grpcStatus": status, "percentage": {"value": share}}}


def injected(*faults: dict[str, Any], **more: Any) -> Scenario:
    """These faults on the route."""
    route = {"fault": {key: value for fault in faults for key, value in fault.items()}, **more.pop("route", {})}
    return Scenario(route=route, **more)


SURE = {
    "a delay": injected(delay(), took=(0.2, 1.5)),
    "a delay of 0 %": injected(delay(0), took=(0, 0.2)),
    "an abort": injected(abort()),
    "an abort of 0 %": injected(abort(0)),
    **{
        f"an abort with {status}": injected(abort(status=status)) for status in (200, 400, 404, 429, 500, 503, 504, 599)
    },
    "delay and abort": injected(delay(), abort(), took=(0.2, 1.5)),
    "delay 0 %, abort 100 %": injected(delay(0), abort()),
    "delay 100 %, abort 0 %": injected(delay(), abort(0), took=(0.2, 1.5)),
    "an abort of a body": injected(abort(), asks=[Ask("POST", body=[b"x" * 1000])]),
    "an abort of a large body": injected(abort(), asks=[Ask("POST", body=[b"x" * 100_000])]),
    "an abort of HEAD": injected(abort(), asks=[Ask("HEAD")]),
    "an abort of gRPC": injected(abort(status=503), asks=[GRPC]),
    "an abort of gRPC, 404": injected(abort(status=404), asks=[GRPC]),
    **{
        f"grpcStatus {status}": injected(abort_grpc(status), asks=[GRPC])
        for status in ("OK", "CANCELLED", "DEADLINE_EXCEEDED", "PERMISSION_DENIED", "UNAVAILABLE", "UNAUTHENTICATED")
    },
    "grpcStatus where nobody asked for gRPC": injected(abort_grpc("UNAVAILABLE")),
    "a delayed body": injected(delay(), asks=[Ask("POST", body=[b"x" * 100_000])], took=(0.2, 1.5)),
    "a delayed slow body": injected(delay(), asks=[Ask("POST", body=[b"x" * 100] * 4, pause=0.1)]),
    "a delayed 2 MiB": injected(
        delay(), asks=[Ask("POST", body=[b"x" * 2 * 1024 * 1024])], took=(0.2, 3), stats="retry_or_shadow_abandoned"
    ),
    "several delayed at once": injected(delay(), asks=[Ask(at_once=5)], took=(0.2, 1.5)),
    "one after the other on their way": injected(delay(fixed="100ms"), asks=[Ask(times=4)]),
    "who leaves while delayed": injected(delay(fixed="600ms"), asks=[Ask(patience=0.2), Wait(0.6)]),
    "the timeout is not in the delay": injected(
        delay(fixed="400ms"), route={"timeout": "200ms"}, script=[OK], took=(0.4, 1.5)
    ),
    "the timeout begins after the delay": injected(
        delay(fixed="300ms"), route={"timeout": "300ms"}, script=[SILENCE], took=(0.6, 1.8)
    ),
    "tries begin after the delay": injected(
        delay(fixed="200ms"),
        route={"retries": {**RETRIES, "perTryTimeout": "200ms"}},
        script=[SILENCE, OK],
        took=(0.4, 1.5),
    ),
    "an abort is not tried again": injected(abort(status=503), route={"retries": RETRIES}),
    "a delayed request is tried again, without a second delay": injected(
        delay(), route={"retries": RETRIES}, script=[answer(503), OK], took=(0.2, 1.0)
    ),
    "a delay before a refused connect": injected(delay(), hosts=[Host("refuses")]),
    "a delay before an error": injected(delay(), script=[answer(503)], route={"retries": {"attempts": 0}}),
    "an abort ejects nobody": injected(
        abort(50, status=503),
        policy={"outlierDetection": {"consecutive5xxErrors": 1, "maxEjectionPercent": 100}},
        asks=[Ask(times=20)],
        check=lambda seen: _no_ejection(seen),
        compared=False,
    ),
}


def _no_ejection(seen: Seen) -> None:
    assert set(seen.statuses) == {200, 503}
    assert "outlier_detection.ejections_active" not in seen.stats


# How often


def shares(**expected: float) -> Callable[[Seen], None]:
    """Of all requests, by flags: within five standard deviations, which is one miss in two million."""

    def check(seen: Seen) -> None:
        found = Counter("none" if line["flags"] == "-" else line["flags"].replace(",", "") for line in seen.log)
        assert set(found) <= {name for name, share in expected.items() if share}, found
        for name, share in expected.items():
            bound = 5 * (TIMES * share * (1 - share)) ** 0.5
            assert abs(found[name] - TIMES * share) <= bound, (name, found)

    return check


def often(*faults: dict[str, Any], **expected: float) -> Scenario:
    return injected(*faults, asks=[Ask(at_once=10, times=TIMES // 10)], check=shares(**expected), compared=False)


BRIEF = "10ms"
CHANCE = {
    "half are aborted": often(abort(50), FI=0.5, none=0.5),
    "a tenth are aborted": often(abort(10), FI=0.1, none=0.9),
    "one percent are aborted": often(abort(1), FI=0.01, none=0.99),
    "a hundredth of a percent": often(abort(0.01), FI=0.0001, none=0.9999),
    "half are delayed": often(delay(50, BRIEF), DI=0.5, none=0.5),
    "each by itself": often(delay(50, BRIEF), abort(50), DI=0.25, FI=0.25, DIFI=0.25, none=0.25),
    "delays for all, aborts for a fifth": often(delay(100, BRIEF), abort(20), DI=0.8, DIFI=0.2),
    "12.5 % of gRPC": injected(
        abort_grpc("UNAVAILABLE", 12.5),
        asks=[Ask("POST", headers={"content-type": "application/grpc"}, at_once=10, times=TIMES // 10)],
        check=shares(FI=0.125, none=0.875),
        compared=False,
    ),
}

SCENARIOS = {**SURE, **CHANCE}


@pytest.mark.parametrize("name", SCENARIOS)
def test_faults_are_injected_alike(name: str, comparison: Comparison) -> None:
    assert not comparison.trouble(name)


def test_faults_are_counted_alike(comparison: Comparison) -> None:
    """Three requests more through each: one delayed, one aborted, one both."""
    names = [name for name in ("a delay", "an abort", "delay and abort") if name in SCENARIOS]

    async def counted(index: int) -> dict[str, int]:
        side = comparison.sides[index]
        before = await fault_counts(side)
        for name in names:
            await side.run(SCENARIOS[name], comparison.authority(name))
        after = await fault_counts(side)
        return {name: after[name] - before[name] for name in after}

    async def fault_counts(side: Any) -> dict[str, int]:
        found: Counter[str] = Counter()
        for line in (await side.page("/stats?filter=fault")).splitlines():
            key, _, value = line.partition(": ")
            found[key.rpartition(".")[2]] += int(value)
        return {name: found[name] for name in ("delays_injected", "aborts_injected", "active_faults")}

    theirs, ours = (asyncio.run(counted(index)) for index in (0, 1))
    assert ours == theirs == {"delays_injected": 2, "aborts_injected": 2, "active_faults": 0}


def test_a_delay_under_way_is_an_active_fault(comparison: Comparison) -> None:
    name = "who leaves while delayed"

    async def active(side: Any) -> list[int]:
        """While it is delayed, and when the client has left."""
        running = asyncio.ensure_future(side.run(SCENARIOS[name], comparison.authority(name)))
        await asyncio.sleep(0.1)
        found = [await gauge(side)]
        await asyncio.sleep(0.3)
        found.append(await gauge(side))
        await running
        return found

    async def gauge(side: Any) -> int:
        lines = (await side.page("/stats?filter=active_faults")).splitlines()
        return sum(int(line.rpartition(" ")[2]) for line in lines)

    assert [asyncio.run(active(side)) for side in comparison.sides] == [[1, 0], [1, 0]]
