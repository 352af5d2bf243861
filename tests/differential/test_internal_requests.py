"""Requests that Envoy takes for internal, and those that only look so: whose x-envoy-* headers are heard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.differential.istio_as_envoy import Host
from tests.differential.resilience import Ask, Comparison, Scenario
from tests.differential.scripted_hosts import OK, SILENCE, answer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

INTERNAL = ("10.0.0.0/8", "192.168.7.7/32", "fd00::/8")
INSIDE = {"x-forwarded-for": "10.1.2.3"}
GRPC = {"content-type": "application/grpc", "te": "trailers"}
UNAVAILABLE = answer(200, b"content-type: application/grpc", b"grpc-status: 14", body=b"")
IN_TIME = (0.15, 1.2)
NO_RETRIES = {"retries": {"attempts": 0}}
QUICK = {"retries": {"attempts": 2, "retryOn": "connect-failure", "backoff": "1ms"}}
FAILS = answer(503)


def asked(more: Mapping[str, str], method: str = "GET", **ask: Any) -> list[Ask]:
    """By an internal client."""
    return [Ask(method, headers={**INSIDE, **more}, **ask)]


ALL = {
    "x-envoy-retry-on": "5xx",
    "x-envoy-retry-grpc-on": "unavailable",
    "x-envoy-max-retries": "1",
    "x-envoy-retriable-status-codes": "418",
    "x-envoy-retriable-header-names": "x-again",
    "x-envoy-hedge-on-per-try-timeout": "false",
    "x-envoy-upstream-rq-timeout-ms": "9000",
    "x-envoy-upstream-rq-per-try-timeout-ms": "4000",
    "x-envoy-upstream-rq-timeout-alt-response": "1",
    "x-envoy-expected-rq-timeout-ms": "7",
    "x-envoy-upstream-alt-stat-name": "other",
    "x-envoy-upstream-stream-duration-ms": "9000",
    "x-envoy-force-trace": "1",
    "x-envoy-ip-tags": "a",
    "x-envoy-original-url": "/b",
    "x-envoy-internal": "forged",
    "x-envoy-downstream-service-cluster": "c",
    "x-envoy-external-address": "6.6.6.6",
    "x-envoy-original-path": "/p",
    "x-envoy-attempt-count": "9",
    "x-envoy-fault-delay-request": "0",
}
WHO = {
    f"forwarded for {forwarded!r}": Scenario(
        asks=[Ask(headers=ALL if forwarded is None else {**ALL, "x-forwarded-for": forwarded})],
        script=[FAILS, OK],
    )
    for forwarded in (
        None,
        "",
        "10.1.2.3",
        " 10.255.255.255 ",
        "11.0.0.1",
        "127.0.0.1",
        "192.168.7.7",
        "192.168.7.8",
        "fd00::1",
        "[fd00::1]",
        "fe80::1",
        "::ffff:10.1.2.3",
        "10.1.2.3:80",
        "10.1.2",
        "10.1.2.3,",
        ",10.1.2.3",
        "10.1.2.3, 10.1.2.4",
        "6.6.6.6,10.1.2.4",
        "unknown",
    )
}
RETRIES = {
    **{
        f"{word} after {status}": Scenario(
            route=QUICK, script=[answer(status), OK], asks=asked({"x-envoy-retry-on": word})
        )
        for word in ("5xx", "gateway-error", "retriable-4xx", "reset", "nonsense", "5xx,retriable-4xx", " 5xx , x")
        for status in (500, 503, 409)
    },
    **{
        f"x-envoy-max-retries {number!r}": Scenario(
            route=QUICK,
            script=[FAILS],
            asks=asked({"x-envoy-retry-on": "5xx", "x-envoy-max-retries": number}),
        )
        for number in ("0", "1", "4", "-1", "x", "", "1.5", "+1", " 3 ")
    },
    "without a policy, one": Scenario(
        route=NO_RETRIES, script=[FAILS, FAILS, OK], asks=asked({"x-envoy-retry-on": "5xx"})
    ),
    "without a policy, as many as asked for": Scenario(
        route=NO_RETRIES, script=[FAILS], asks=asked({"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3"})
    ),
    "a number alone is no policy": Scenario(
        route=NO_RETRIES, script=[FAILS, OK], asks=asked({"x-envoy-max-retries": "3"})
    ),
    "a number for the route's policy": Scenario(
        route={"retries": {"attempts": 2, "retryOn": "5xx", "backoff": "1ms"}},
        script=[FAILS],
        asks=asked({"x-envoy-max-retries": "4"}),
    ),
    "codes": Scenario(
        route=QUICK,
        script=[answer(418), answer(404), OK],
        asks=asked({"x-envoy-retry-on": "retriable-status-codes", "x-envoy-retriable-status-codes": "418, 404,x"}),
    ),
    "codes without their word": Scenario(
        route=QUICK, script=[answer(418), OK], asks=asked({"x-envoy-retriable-status-codes": "418"})
    ),
    "headers": Scenario(
        route=QUICK,
        script=[answer(200, b"x-again: 1"), OK],
        asks=asked({"x-envoy-retry-on": "retriable-headers", "x-envoy-retriable-header-names": "X-No, X-Again"}),
    ),
    "gRPC": Scenario(
        route=QUICK, script=[UNAVAILABLE, OK], asks=asked({**GRPC, "x-envoy-retry-grpc-on": "unavailable"}, "POST")
    ),
    "gRPC, another status": Scenario(
        route=QUICK, script=[UNAVAILABLE, OK], asks=asked({**GRPC, "x-envoy-retry-grpc-on": "internal"}, "POST")
    ),
    "on another host": Scenario(
        hosts=[Host(0), Host(1)],
        route=QUICK,
        script=[FAILS, OK],
        asks=asked({"x-envoy-retry-on": "5xx"}),
    ),
    "with a body": Scenario(
        route=QUICK, script=[FAILS, OK], asks=asked({"x-envoy-retry-on": "5xx"}, "POST", body=[b"x" * 1000])
    ),
    "inbound": Scenario(inbound=True, script=[FAILS, OK], asks=asked({"x-envoy-retry-on": "5xx"})),
}
TIMEOUTS = {
    **{
        f"x-envoy-upstream-rq-timeout-ms {value!r}": Scenario(
            script=[answer(wait=0.4)], asks=asked({"x-envoy-upstream-rq-timeout-ms": value})
        )
        for value in ("200", "0", "x", "-1", "")
    },
    "shorter than the route's": Scenario(
        route={"timeout": "5s"},
        script=[SILENCE],
        asks=asked({"x-envoy-upstream-rq-timeout-ms": "200"}),
        took=IN_TIME,
    ),
    "longer than the route's": Scenario(
        route={"timeout": "150ms"}, script=[answer(wait=0.4)], asks=asked({"x-envoy-upstream-rq-timeout-ms": "9000"})
    ),
    "none for the route's": Scenario(
        route={"timeout": "150ms"}, script=[answer(wait=0.4)], asks=asked({"x-envoy-upstream-rq-timeout-ms": "0"})
    ),
    "each try": Scenario(
        route={"retries": {"attempts": 1, "retryOn": "5xx", "backoff": "1ms"}},
        script=[SILENCE, OK],
        asks=asked({"x-envoy-upstream-rq-per-try-timeout-ms": "200"}),
        took=IN_TIME,
    ),
    "each try, none tried again": Scenario(
        script=[SILENCE], asks=asked({"x-envoy-upstream-rq-per-try-timeout-ms": "200"}), took=IN_TIME
    ),
    "each try, without a policy": Scenario(
        route=NO_RETRIES, script=[SILENCE], asks=asked({"x-envoy-upstream-rq-per-try-timeout-ms": "200"}), took=IN_TIME
    ),
    "each try no shorter than the whole": Scenario(
        route={"retries": {"attempts": 3, "retryOn": "5xx", "backoff": "1ms"}},
        script=[SILENCE],
        asks=asked({"x-envoy-upstream-rq-per-try-timeout-ms": "300", "x-envoy-upstream-rq-timeout-ms": "300"}),
        took=IN_TIME,
    ),
    "204 for 504": Scenario(
        route={"timeout": "200ms"},
        script=[SILENCE],
        asks=asked({"x-envoy-upstream-rq-timeout-alt-response": "x"}),
        took=IN_TIME,
    ),
    "204 for 504 of a try": Scenario(
        route={"retries": {"attempts": 1, "perTryTimeout": "150ms", "retryOn": "5xx", "backoff": "1ms"}},
        script=[SILENCE],
        asks=asked({"x-envoy-upstream-rq-timeout-alt-response": ""}),
    ),
    "204 for 504 between tries": Scenario(
        route={"timeout": "200ms", "retries": {"attempts": 5, "retryOn": "5xx", "backoff": "20s"}},
        script=[FAILS],
        asks=asked({"x-envoy-upstream-rq-timeout-alt-response": "x"}),
    ),
    "gRPC: the header wins over the deadline": Scenario(
        script=[answer(200, b"content-type: application/grpc", b"grpc-status: 0", body=b"", wait=0.4)],
        asks=asked({**GRPC, "grpc-timeout": "100m", "x-envoy-upstream-rq-timeout-ms": "5000"}, "POST"),
    ),
    "gRPC: 204 for 504": Scenario(
        route={"timeout": "200ms"},
        script=[SILENCE],
        asks=asked({**GRPC, "grpc-timeout": "150m", "x-envoy-upstream-rq-timeout-alt-response": "x"}, "POST"),
    ),
}
BY_ROUTE = {
    f"the route sets {names}": Scenario(
        route={**QUICK, "headers": {"request": {"set": lines}}}, script=[FAILS, OK], asks=[Ask(), Ask(headers=INSIDE)]
    )
    for names, lines in {
        "x-envoy-retry-on": {"x-envoy-retry-on": "5xx"},
        "x-envoy-retry-on and x-envoy-max-retries": {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "1"},
        "x-envoy-upstream-rq-timeout-ms": {"x-envoy-upstream-rq-timeout-ms": "5000"},
        "x-envoy-upstream-rq-per-try-timeout-ms": {"x-envoy-upstream-rq-per-try-timeout-ms": "5000"},
        "x-envoy-hedge-on-per-try-timeout": {"x-envoy-hedge-on-per-try-timeout": "true"},
    }.items()
}
SCENARIOS = {**WHO, **RETRIES, **TIMEOUTS, **BY_ROUTE}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_requests_steer(name: str, comparison: Comparison) -> None:
    assert not comparison.trouble(name)
