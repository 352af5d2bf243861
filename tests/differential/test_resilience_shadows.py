"""Mirrored requests under ceilings, timeouts and outlier detection of the cluster they go to, as with a real Envoy."""

from __future__ import annotations

from typing import Any

import pytest

from tests.differential.istio_as_envoy import Host
from tests.differential.resilience import Ask, Comparison, Scenario, Wait
from tests.differential.scripted_hosts import CLOSE, HALF_HEAD, OK, RESET, SILENCE, Step, answer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

EJECTING = {
    "outlierDetection": {
        "interval": "60s",
        "baseEjectionTime": "60s",
        "maxEjectionPercent": 100,
        "consecutive5xxErrors": 2,
    }
}
GRPC = {"content-type": "application/grpc"}


def shadow(*steps: Step, times: int = 4, host: Host = Host(1), **more: Any) -> Scenario:
    """So many requests, each mirrored to a host that answers so."""
    return Scenario(
        **{
            "script": {0: [OK], 1: steps},
            "shadow": host,
            "asks": [action for _ in range(times) for action in (Ask(), Wait(0.06))],
            **more,
        }
    )


SCENARIOS = {
    "all is well": shadow(OK),
    "with a body": shadow(OK, asks=[Ask("POST", body=[b"x" * 1000])]),
    "500": shadow(answer(500)),
    "a close": shadow(CLOSE, times=2),
    "a reset": shadow(RESET, times=2),
    "half a head": shadow(HALF_HEAD, times=2),
    "refused": shadow(host=Host("refuses"), times=2),
    "no connect": shadow(
        host=Host("deaf"),
        shadow_policy={"connectionPool": {"tcp": {"connectTimeout": "100ms"}}},
        asks=[Ask(), Wait(0.3)],
    ),
    "500s eject": shadow(answer(500), shadow_policy=EJECTING),
    "resets eject": shadow(RESET, shadow_policy=EJECTING),
    "refused connects eject": shadow(host=Host("refuses"), shadow_policy=EJECTING),
    "gRPC statuses eject": shadow(
        answer(200, b"content-type: application/grpc", b"grpc-status: 14", body=b""),
        shadow_policy=EJECTING,
        asks=[action for _ in range(4) for action in (Ask("POST", headers=GRPC), Wait(0.06))],
    ),
    "nobody answers": shadow(SILENCE, times=1),
    "the route's timeout is the shadow's too": shadow(
        SILENCE, route={"timeout": "200ms"}, asks=[Ask(), Wait(0.5)], shadow_policy=EJECTING
    ),
    "the route's timeout, a slow body": shadow(
        answer(slow_body=1.0), route={"timeout": "200ms"}, asks=[Ask(), Wait(0.5)]
    ),
    "the route's retries are not the shadow's": shadow(
        answer(503), route={"retries": {"attempts": 2, "retryOn": "5xx", "backoff": "1ms"}}, times=1
    ),
    "one that retries is mirrored once": shadow(
        OK, script={0: [answer(503), OK], 1: [OK]}, route={"retries": {"attempts": 2, "retryOn": "5xx"}}, times=1
    ),
    "too many wait": shadow(
        answer(wait=0.5),
        asks=[Ask(at_once=4, apart=0.06), Wait(0.8)],
        shadow_policy={"connectionPool": {"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1}}},
    ),
    "too many at once": shadow(
        answer(wait=0.5),
        asks=[Ask(at_once=4, apart=0.06), Wait(0.8)],
        shadow_policy={"connectionPool": {"http": {"http2MaxRequests": 2}}},
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_shadows_are_treated_alike(name: str, comparison: Comparison) -> None:
    assert not comparison.trouble(name)
