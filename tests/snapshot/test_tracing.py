from __future__ import annotations

import pytest

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.model import Discovery, Identity, Propagation, SpanFormat, Tracing
from pyproxy.snapshot.registry import Registry
from pyproxy.snapshot.telemetry import CompiledTelemetry, compile_telemetry
from tests.snapshot.documents import documents, entry, mesh

PROVIDERS = (
    "extensionProviders:\n"
    "- {name: zipkin, zipkin: {service: spans.test, port: 9411, maxTagLength: 40, timeout: 2s, path: /spans, "
    "headers: [{name: X-Key, value: v}], enable64bitTraceId: true}}\n"
    "- {name: both, zipkin: {service: spans.test, port: 9411, traceContextOption: USE_B3_WITH_W3C_PROPAGATION}}\n"
    "- {name: otlp, opentelemetry: {service: spans.test, port: 4318, http: {path: v1/traces}}}\n"
    "- {name: grpc, opentelemetry: {service: spans.test, port: 4317}}\n"
    "- {name: datadog, datadog: {service: spans.test, port: 8126}}\n"
    "- {name: nowhere, zipkin: {service: nobody.test, port: 9411}}\n"
)
SERVICE = entry("spans.test", "9411/HTTP", "4318/HTTP", "4317/GRPC", "8126/HTTP")
OWN = Identity(workload="w", namespace="shop", labels={"app": "cart", "version": "v2"})


def compiled(*texts: str, identity: Identity = OWN, config: str = "") -> CompiledTelemetry:
    found = documents("\n---\n".join((SERVICE, mesh(PROVIDERS + config), *texts)))
    settings = mesh_settings(found)
    return compile_telemetry(found, identity, settings, Registry(found, settings))


def sides(*texts: str, identity: Identity = OWN, config: str = "") -> tuple[Tracing, Tracing]:
    found = compiled(*texts, identity=identity, config=config).telemetry
    return found.client.tracing, found.server.tracing


def telemetry(tracing: str, *, namespace: str = "istio-system", name: str = "t", selector: str = "") -> str:
    selected = f"selector: {{matchLabels: {selector}}}, " if selector else ""
    return (
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{selected}tracing: [{tracing}]}}"
    )


def by(provider: str, more: str = "") -> str:
    return f"{{providers: [{{name: {provider}}}]{more}}}"


def test_zipkin_as_its_provider_says() -> None:
    client, server = sides(telemetry(by("zipkin", ", randomSamplingPercentage: 12.5")))
    assert client == server
    export = client.export
    assert export is not None
    assert (export.format, export.cluster, export.host) == (
        SpanFormat.ZIPKIN,
        "outbound|9411||spans.test",
        "spans.test",
    )
    assert (export.path, export.timeout, export.headers) == ("/spans", 2.0, ((b"x-key", b"v"),))
    assert export.service == "cart.shop"
    assert (client.random_sampling, client.max_path_length, client.trace_id_128bit) == (12.5, 40, False)
    assert (client.propagation, client.upstream_spans) == (Propagation.B3, False)


def test_the_other_kinds() -> None:
    assert sides(telemetry(by("both")))[0].propagation is Propagation.B3_AND_W3C
    otlp = sides(telemetry(by("otlp")))[0]
    assert otlp.propagation is Propagation.W3C and otlp.export is not None
    assert (otlp.export.format, otlp.export.path, otlp.export.timeout) == (SpanFormat.OTLP, "/v1/traces", 3.0)


def test_a_gateways_attempts_have_spans() -> None:
    assert sides(telemetry(by("zipkin")), identity=Identity(gateway=True))[0].upstream_spans


@pytest.mark.parametrize(
    ("provider", "enabled", "reason"),
    [
        ("grpc", True, "no spans are sent over gRPC yet"),
        ("datadog", False, "to no other kind yet"),
        ("nowhere", False, "no service is called nobody.test"),
        ("nobody", False, "no extension provider of MeshConfig has this name"),
        ("prometheus", False, "it is no provider for traces"),
    ],
)
def test_what_gets_no_spans_is_told_where_it_is_named(provider: str, enabled: bool, reason: str) -> None:
    text = telemetry(by(provider))
    found = compiled(text)
    assert (found.telemetry.client.tracing.enabled, found.telemetry.client.tracing.export) == (enabled, None)
    (problem,) = found.problems(documents(text))
    assert (problem.path, reason in problem.message) == ("spec.tracing[0].providers[0].name", True), problem


def test_a_format_that_nobody_understands_is_told_and_left_out() -> None:
    text = telemetry(by("zipkin", ", customTags: {bad: {formatter: {value: '%NO_SUCH%'}}}"))
    found = compiled(text)
    assert "bad" not in [tag.name for tag in found.telemetry.client.tracing.tags]
    (problem,) = found.problems(documents(text))
    assert problem.path == "spec.tracing[0].customTags.bad.formatter.value"


def test_without_a_provider_a_telemetry_turns_tracing_off_as_in_istio() -> None:
    assert [side.enabled for side in sides(telemetry("{randomSamplingPercentage: 50}"))] == [False, False]
    client, _ = sides(telemetry("{randomSamplingPercentage: 50}"), config="defaultProviders: {tracing: [zipkin]}")
    assert (client.enabled, client.random_sampling) == (True, 50.0)


def test_each_level_overlays_the_one_above() -> None:
    client, server = sides(
        telemetry(by("zipkin", ", randomSamplingPercentage: 10, customTags: {a: {literal: {value: x}}}")),
        telemetry("{match: {mode: SERVER}, randomSamplingPercentage: 20}", namespace="shop"),
        telemetry("{customTags: {b: {literal: {value: z}}}}", namespace="shop", name="own", selector="{app: cart}"),
        telemetry("{randomSamplingPercentage: 99}", namespace="shop", name="others", selector="{app: other}"),
        telemetry("{randomSamplingPercentage: 99}", namespace="elsewhere"),
    )
    assert (client.random_sampling, server.random_sampling) == (10.0, 20.0)
    for side in (client, server):
        assert [tag.name for tag in side.tags if not tag.name.startswith("istio.")] == ["b"]


def test_spans_may_be_turned_off_for_one_direction() -> None:
    found = sides(
        telemetry(by("zipkin")), telemetry("{match: {mode: CLIENT}, disableSpanReporting: true}", namespace="shop")
    )
    assert [side.enabled for side in found] == [False, True]


def test_switches() -> None:
    more = ", enableIstioTags: false, useRequestIdForTraceSampling: false, disableContextPropagation: true"
    client, _ = sides(telemetry(by("zipkin", more)))
    assert (client.tags, client.by_request_id, client.propagates) == ((), False, False)


def test_istios_tags_and_those_of_the_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZONE_OF_TEST", "north")
    config = (
        "defaultConfig: {tracing: {sampling: 7, maxPathTagLength: 9, customTags: {user: {header: {name: x-user, "
        "defaultValue: nobody}}, zone: {environment: {name: ZONE_OF_TEST}}, kind: {literal: {value: k}}}}}"
    )
    client, _ = sides(config=config)
    ctx = RequestContext(RequestHead(b"GET", b"/", b"a", []), 0.0, 0.0)
    found = {tag.name: tag.value(ctx) for tag in client.tags if tag.value is not None}
    assert found == {
        "istio.canonical_revision": b"v2",
        "istio.canonical_service": b"cart",
        "istio.cluster_id": b"Kubernetes",
        "istio.mesh_id": b"cluster.local",
        "istio.namespace": b"shop",
        "kind": b"k",
        "user": b"nobody",
        "zone": b"north",
    }
    assert (client.random_sampling, client.max_path_length) == (7.0, 9)


def test_the_collector_of_the_bootstrap_is_a_service_or_a_cluster_of_its_own() -> None:
    address = "defaultConfig: {tracing: {zipkin: {address: 'HOST'}}}"
    known = compiled(config=address.replace("HOST", "spans.test:9411"))
    export = known.telemetry.client.tracing.export
    assert export is not None and (export.cluster, known.clusters) == ("outbound|9411||spans.test", {})

    for host, discovery in (("zipkin.istio-system:9411", Discovery.STRICT_DNS), ("10.0.0.9:9411", Discovery.STATIC)):
        found = compiled(config=address.replace("HOST", host))
        export = found.telemetry.server.tracing.export
        assert export is not None and (export.cluster, export.path) == ("zipkin", "/api/v2/spans")
        cluster = found.clusters["zipkin"]
        assert (cluster.discovery, cluster.endpoints[0].port) == (discovery, 9411)


def test_tracing_may_be_off() -> None:
    assert [side.enabled for side in sides(config="enableTracing: false")] == [False, False]
