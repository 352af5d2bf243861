from __future__ import annotations

from pyproxy.snapshot.model import Identity
from tests.snapshot.documents import compilation, entry, mesh

PROVIDER = mesh("extensionProviders: [{name: z, zipkin: {service: spans.test, port: 9411}}]")


def telemetry(sampling: int, *, name: str, namespace: str = "shop", more: str = "") -> str:
    return (
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{{more}tracing: [{{providers: [{{name: z}}], randomSamplingPercentage: {sampling}}}]}}"
    )


def sampling(*texts: str, **identity: object) -> float:
    own = Identity(namespace="shop", labels={"app": "cart"}, **identity)  # type: ignore[arg-type]
    found = compilation(entry("spans.test", "9411/HTTP"), PROVIDER, *texts, identity=own)
    return found.snapshot.telemetry.client.tracing.random_sampling


def test_of_several_for_a_namespace_the_first_counts() -> None:
    assert sampling(telemetry(1, name="one"), telemetry(2, name="other")) == 1


def test_the_workloads_own_beats_the_namespaces_and_that_the_meshs() -> None:
    for_mesh = telemetry(1, name="mesh", namespace="istio-system")
    for_namespace = telemetry(2, name="namespace")
    for_workload = telemetry(3, name="workload", more="selector: {matchLabels: {app: cart}}, ")
    assert sampling(for_mesh) == 1
    assert sampling(for_mesh, for_namespace) == 2
    assert sampling(for_workload, for_namespace, for_mesh) == 3


def test_a_selector_in_the_root_namespace_is_for_that_namespace() -> None:
    selecting = telemetry(9, name="a", namespace="istio-system", more="selector: {matchLabels: {app: cart}}, ")
    assert sampling(telemetry(2, name="namespace"), selecting) == 2


def test_one_with_targets_is_for_gateways_of_that_name() -> None:
    target = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: public}], "
    targeting = telemetry(9, name="a", more=target)
    assert sampling(telemetry(2, name="namespace"), targeting) == 2


def test_what_comes_to_nothing_is_told_with_the_documents() -> None:
    text = telemetry(1, name="t").replace("name: z}", "name: nobody}")
    found = compilation(
        text,
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: l, namespace: shop}\n"
        "spec: {accessLogging: [{providers: [{name: prometheus}]}]}",
        identity=Identity(namespace="shop"),
    )
    assert [(problem.resource, problem.path) for problem in found.problems] == [
        ("Telemetry/shop/t", "spec.tracing[0].providers[0].name"),
    ]
