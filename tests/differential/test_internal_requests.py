"""Requests that Envoy takes for internal, and those that only look so: whose x-envoy-* headers are heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from pyproxy.envoy.bootstrap import Process, bootstrap
from pyproxy.istio.loader import load
from pyproxy.snapshot.compile import compile_snapshot
from pyproxy.snapshot.model import Identity, Listening
from tests.differential.envoy_process import Envoy
from tests.differential.istio_as_envoy import Host
from tests.differential.resilience import Ask, Comparison, Scenario
from tests.differential.routing_sides import EchoServer, Side, _text, ask_both
from tests.differential.scripted_hosts import OK, SILENCE, answer
from tests.differential.token_cases import as_request
from tests.ports import free_port
from tests.pyproxy_process import PyproxyProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

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


# At a gateway: whoever connects from an internal address, and has nothing forwarded


EDGE = {
    **{
        f"{where}, forwarded for {forwarded}": (where, forwarded)
        for where in ("inside", "outside")
        for forwarded in (None, "127.0.0.1", "10.1.2.3, 127.0.0.1")
    },
}
TOLD = {key: value for key, value in ALL.items() if key != "x-envoy-fault-delay-request"}


def edge(networks: str, listens: int) -> list[dict[str, Any]]:
    """A gateway, and networks whose requests are internal to it without a flag."""
    echo = "echo.default.svc.cluster.local"
    route = {"route": [{"destination": {"host": echo}}]}
    server = {"port": {"number": listens, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    service = {
        "hosts": [echo],
        "resolution": "STATIC",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
        "endpoints": [{"address": "127.0.0.1", "ports": {"http": "UPSTREAM"}}],
    }
    values = {"global": {"meshNetworks": {"ours": {"endpoints": [{"fromCidr": networks}]}}}}
    specs = [
        ("networking.istio.io/v1", "ServiceEntry", service),
        ("networking.istio.io/v1", "Gateway", {"selector": {"istio": "door"}, "servers": [server]}),
        ("networking.istio.io/v1", "VirtualService", {"hosts": ["*"], "gateways": ["door"], "http": [route]}),
        ("install.istio.io/v1alpha1", "IstioOperator", {"values": values}),
    ]
    return [
        {"apiVersion": version, "kind": kind, "metadata": {"name": "door"}, "spec": spec}
        for version, kind, spec in specs
    ]


@pytest.fixture(scope="module")
def at_the_edge(
    start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Side, Side]]]:
    """Both gateways, as the export has them, for an internal and for an external client."""
    found: dict[str, tuple[Side, Side]] = {}
    echo = EchoServer()
    try:
        for where, networks in (("inside", "127.0.0.0/8"), ("outside", "10.0.0.0/8")):
            folder = tmp_path_factory.mktemp(where)
            documents = edge(networks, free_port())
            file = folder / "exported.yaml"
            file.write_text(_text(documents, echo.port, folder / "envoy.log"))
            identity = Identity(gateway=True, labels={"istio": "door"})
            snapshot = compile_snapshot(load([file]).documents, identity, Listening(address="127.0.0.1")).snapshot
            document: Any = bootstrap(snapshot, Process(admin_port=0))
            static = document.pop("static_resources")
            document.pop("admin")
            (listener,) = static["listeners"]
            listener["address"]["socket_address"]["port_value"] = 0
            envoy = start_envoy(static["listeners"], static["clusters"], **document)
            text = _text(documents, echo.port, folder / "own.log")
            process = PyproxyProcess(folder / "own", text, "--labels", "istio=door", command="gateway")
            try:
                ports = envoy.ports[listener["name"]], process.ports[listener["name"]]
                found[where] = Side(ports[0], folder / "envoy.log"), Side(ports[1], folder / "own.log")
                cases = {case: forwarded for case, (place, forwarded) in EDGE.items() if place == where}
                lines = {
                    case: {**TOLD, "x-request-id": "mine", **({"x-forwarded-for": forwarded} if forwarded else {})}
                    for case, forwarded in cases.items()
                }
                ask_both(found[where], [(case, as_request(case, ("/", lines[case]))) for case in cases])
            finally:
                process.close()
        yield found
    finally:
        echo.close()


ELSEWHERE = {"upstream header x-forwarded-for", "upstream header x-envoy-external-address"}
"""Envoy takes its machine's address for one that connects from loopback; an export says nothing of peer metadata."""


@pytest.mark.parametrize("case", EDGE)
def test_a_gateway_hears_who_is_inside(case: str, at_the_edge: Mapping[str, tuple[Side, Side]]) -> None:
    theirs, ours = (side.outcomes[case] for side in at_the_edge[EDGE[case][0]])
    differing = [
        f"{part}\n  envoy   {envoy}\n  pyproxy {mine}"
        for part, envoy, mine in theirs.differences(ours)
        if part not in ELSEWHERE and "x-envoy-peer-metadata" not in part and "x-envoy-decorator" not in part
    ]
    assert not differing, "\n".join(differing)
    assert isinstance(ours.body, dict)
    internal = ("x-envoy-internal", "true") in [tuple(line) for line in ours.body["headers"]]
    assert internal is (case == "inside, forwarded for None")
