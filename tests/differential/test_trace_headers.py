"""Trace headers and request ids leave pyproxy as they leave a real Envoy, for every way they may come in."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest

from pyproxy.core.http import Headers
from pyproxy.snapshot.model import Propagation, Tracing
from pyproxy.telemetry.request_id import ensure_request_id
from pyproxy.telemetry.trace_headers import TRACE_HEADERS, continue_trace
from tests.differential.envoy_process import Envoy, Upstreams, http_listener, loopback
from tests.telemetry.trace_cases import CASES

pytestmark = pytest.mark.integration

TRACERS = "type.googleapis.com/envoy.config.trace.v3"
SETTINGS = {
    f"{propagation.name}-{random:g}-{overall:g}": Tracing(
        propagation=propagation, random_sampling=random, overall_sampling=overall
    )
    for propagation in Propagation
    for random, overall in ((100.0, 100.0), (0.0, 100.0), (100.0, 0.0))
} | {"B3-64bit": Tracing(random_sampling=100.0, trace_id_128bit=False)}


def tracer(tracing: Tracing) -> dict[str, Any]:
    """The provider that Istio writes (pilot/pkg/networking/core/tracing.go)."""
    if tracing.propagation is Propagation.W3C:
        uri = {"uri": "http://x/v1/traces", "cluster": "collector", "timeout": "1s"}
        kind, config = "opentelemetry", {"@type": f"{TRACERS}.OpenTelemetryConfig", "http_service": {"http_uri": uri}}
    else:
        kind = "zipkin"
        config = {
            "@type": f"{TRACERS}.ZipkinConfig",
            "collector_cluster": "collector",
            "collector_endpoint": "/api/v2/spans",
            "collector_endpoint_version": "HTTP_JSON",
            "shared_span_context": False,
            "trace_id_128bit": tracing.trace_id_128bit,
        }
        if tracing.propagation is Propagation.B3_AND_W3C:
            config["trace_context_option"] = tracing.propagation.value
    return {
        "provider": {"name": f"envoy.tracers.{kind}", "typed_config": config},
        "random_sampling": {"value": tracing.random_sampling},
        "overall_sampling": {"value": tracing.overall_sampling},
        "client_sampling": {"value": tracing.client_sampling},
    }


def cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": loopback(port)}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment}


@pytest.fixture(scope="module")
def upstreams(start_upstreams: Callable[[int], Upstreams]) -> Upstreams:
    return start_upstreams(2)


@pytest.fixture(scope="module")
def envoy(upstreams: Upstreams, start_envoy: Callable[[Sequence[Any], Sequence[Any]], Envoy]) -> Iterator[Envoy]:
    listeners = []
    for name, tracing in SETTINGS.items():
        listener = http_listener(name, [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}])
        listener["filter_chains"][0]["filters"][0]["typed_config"]["tracing"] = tracer(tracing)
        listeners.append(listener)
    yield start_envoy(listeners, [cluster("up", upstreams.ports[0]), cluster("collector", upstreams.ports[1])])


def through_envoy(envoy: Envoy, upstreams: Upstreams, listener: str, sent: Headers) -> Headers:
    """What reached the upstream, as far as it is about tracing."""
    upstreams.seen.clear()
    lines = b"".join(b"%b: %b\r\n" % header for header in sent)
    with socket.create_connection(("127.0.0.1", envoy.ports[listener]), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" + lines + b"\r\n")
        while client.recv(4096):
            pass
    head = next(head for port, head in upstreams.seen if port == upstreams.ports[0])
    received = [line.partition(b": ") for line in head.split(b"\r\n")[1:-2]]
    return [(name, value) for name, _, value in received if name in TRACE_HEADERS or name == b"x-b3-flags"]


def through_pyproxy(tracing: Tracing, sent: Headers) -> Headers:
    headers = list(sent)
    known: dict[bytes, bytes] = {}
    for name, value in sent:
        if name in TRACE_HEADERS:
            known.setdefault(name, value)
    rng = Random(1)
    _, traced = ensure_request_id(headers, known, tracing, rng)
    continue_trace(headers, known, tracing, rng, traced)
    return headers


def without_chance(headers: Headers, sent: Headers) -> list[tuple[bytes, bytes]]:
    """Random identifiers become n0, n1 ... by first appearance; a new request id keeps only its mark."""
    given = b" ".join(value for _, value in sent).lower()
    names: dict[bytes, bytes] = {}

    def name(found: re.Match[bytes]) -> bytes:
        digits = found[0]
        return digits if digits in given else names.setdefault(digits, b"n%d" % len(names))

    plain = []
    for header, value in headers:
        if header == b"x-request-id" and value not in given and value[8:9] == b"-" and value[:8] not in given:
            value = b"new id, mark %c" % value[14]
        plain.append((header, re.sub(rb"(?<![0-9a-f])[0-9a-f]{16}|(?<=[0-9a-f]{16})[0-9a-f]{16}", name, value)))
    return plain


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("listener", SETTINGS)
def test_the_headers_are_envoys(listener: str, case: str, envoy: Envoy, upstreams: Upstreams) -> None:
    sent = [(name.encode(), value.encode()) for name, value in CASES[case]]
    theirs = through_envoy(envoy, upstreams, listener, sent)
    ours = through_pyproxy(SETTINGS[listener], sent)
    assert without_chance(ours, sent) == without_chance(theirs, sent)
