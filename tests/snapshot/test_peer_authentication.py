"""PeerAuthentication: the narrowest policy that says holds, and of one scope the oldest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.tls import MtlsMode
from pyproxy.istio.resources import Document
from pyproxy.istio.security import MutualTLS, PeerAuthentication
from pyproxy.istio.selector import WorkloadSelector
from pyproxy.snapshot.model import Identity, Listener, ListenerKind, Snapshot
from pyproxy.snapshot.peer_authentication import PeerAuthentications
from tests.snapshot.documents import compilation, compiled, documents, entry, rules

ROOT = "istio-system"
ME = Identity(workload="reviews", namespace="default", labels={"app": "reviews"})
DISABLE, PERMISSIVE, STRICT = MtlsMode.DISABLE, MtlsMode.PERMISSIVE, MtlsMode.STRICT


def policy(spec: str, name: str = "rule", namespace: str = "default") -> str:
    return rules(spec, name, namespace, "PeerAuthentication").replace("networking.istio.io", "security.istio.io")


def strict(name: str = "strict", namespace: str = "default", selector: str = "") -> str:
    return policy(f"{selector}mtls: {{mode: STRICT}}", name, namespace)


REVIEWS = "selector: {matchLabels: {app: reviews}}\n"
WORKLOAD = (
    "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: reviews, namespace: default}\n"
    "spec: {address: 127.0.0.9, labels: {app: reviews}, serviceAccount: reviews}"
)
SERVICE = entry("reviews.shop", "80/HTTP", "81/HTTP", more="workloadSelector: {labels: {app: reviews}}")


# One policy


def test_without_a_policy_both_kinds_of_connection_are_taken() -> None:
    snapshot = compiled(identity=ME)

    assert (snapshot.inbound_mtls_default, snapshot.inbound_mtls) == (PERMISSIVE, {})


def test_the_mesh_the_namespace_and_the_workload_in_turn() -> None:
    wide = [
        policy("mtls: {mode: STRICT}", "mesh", ROOT),
        policy("mtls: {mode: DISABLE}", "namespace"),
        policy(f"{REVIEWS}mtls: {{mode: PERMISSIVE}}", "workload"),
    ]

    assert [compiled(*wide[:count], identity=ME).inbound_mtls_default for count in (1, 2, 3)] == [
        STRICT,
        DISABLE,
        PERMISSIVE,
    ]


def test_ports_of_the_workload_beside_its_default() -> None:
    ports = 'portLevelMtls: {"8080": {mode: DISABLE}, "8081": {mode: UNSET}, "8082": {}}'
    snapshot = compiled(policy(f"{REVIEWS}mtls: {{mode: STRICT}}\n{ports}"), identity=ME)

    assert (snapshot.inbound_mtls_default, snapshot.inbound_mtls) == (STRICT, {8080: DISABLE})


def test_a_policy_for_others_is_not_ours() -> None:
    snapshot = compiled(
        strict(namespace="other"), strict("ratings", selector="selector: {matchLabels: {app: ratings}}\n"), identity=ME
    )

    assert snapshot.inbound_mtls_default is PERMISSIVE


def test_what_selects_in_the_root_namespace_is_ignored_and_said() -> None:
    here = Identity(namespace=ROOT, labels={"app": "reviews"})
    found = compilation(strict(namespace=ROOT, selector=REVIEWS), identity=here)

    assert found.snapshot.inbound_mtls_default is PERMISSIVE
    (problem,) = found.problems
    assert (problem.severity, problem.code, problem.path) == ("warning", "IST0167", "spec.selector")
    assert "root namespace" in problem.message


def test_of_two_for_one_namespace_the_older_holds_and_the_younger_is_warned_about() -> None:
    found = compilation(strict(), policy("mtls: {mode: DISABLE}", "late"), identity=ME)

    assert found.snapshot.inbound_mtls_default is STRICT
    (problem,) = found.problems
    assert (problem.resource, problem.code) == ("PeerAuthentication/default/late", "IST0167")


# Listeners of a Sidecar


def test_an_ingress_listener_has_the_mode_of_its_port() -> None:
    sidecar = rules(
        "ingress:\n- port: {number: 9080, protocol: HTTP, name: http}\n  captureMode: NONE\n"
        "  defaultEndpoint: 127.0.0.1:9081\n"
        "- port: {number: 9090, protocol: TCP, name: tcp}\n  captureMode: NONE\n  defaultEndpoint: 127.0.0.1:9091",
        kind="Sidecar",
    )
    ports = policy(f'{REVIEWS}mtls: {{mode: STRICT}}\nportLevelMtls: {{"9090": {{mode: DISABLE}}}}')

    assert {
        listener.port: (listener.mutual_tls, listener.workload_port)
        for listener in ingress(compiled(sidecar, ports, identity=ME))
    } == {9080: (STRICT, 9080), 9090: (DISABLE, 9090)}


def ingress(snapshot: Snapshot) -> list[Listener]:
    return [each for each in snapshot.listeners if each.kind is ListenerKind.NAMED]


# Clients


def test_a_client_makes_no_mutual_tls_to_a_port_that_takes_none() -> None:
    ports = policy(f'{REVIEWS}mtls: {{mode: STRICT}}\nportLevelMtls: {{"81": {{mode: DISABLE}}}}')
    snapshot = compiled(WORKLOAD, SERVICE, ports)

    assert [
        [endpoint.mutual_tls for endpoint in snapshot.clusters[f"outbound|{port}||reviews.shop"].endpoints]
        for port in (80, 81)
    ] == [[True], [False]]


# Beside an oracle

(EXAMPLE,) = documents(strict())


@dataclass
class Written:
    """A policy as hypothesis writes it; None: there is no such block."""

    namespace: str
    labels: dict[str, str]
    mode: str | None
    ports: dict[str, str | None] = field(default_factory=dict)

    def document(self) -> Document:
        spec = PeerAuthentication(
            selector=WorkloadSelector(match_labels=self.labels) if self.labels else None,
            mtls=block(self.mode),
            port_level_mtls={port: block(mode) or MutualTLS() for port, mode in self.ports.items()},
        )
        return replace(EXAMPLE, namespace=self.namespace, spec=spec)


def block(mode: str | None) -> MutualTLS | None:
    return None if mode is None else MutualTLS.model_validate({"mode": mode})


MODES = st.sampled_from([None, "UNSET", "DISABLE", "PERMISSIVE", "STRICT"])
LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["a", "b"]), max_size=2)
WRITTEN = st.builds(
    Written,
    namespace=st.sampled_from([ROOT, "default", "other"]),
    labels=LABELS,
    mode=MODES,
    ports=st.dictionaries(st.sampled_from(["80", "81"]), MODES, max_size=2),
)


def said(mode: str | None) -> str:
    return "" if mode in (None, "UNSET") else str(mode)


def expected(written: list[Written], namespace: str, labels: dict[str, str], port: int) -> str:
    """All that could speak of a port, narrowest first; the first that says something is right."""
    of_workload = [
        each
        for each in written
        if each.namespace == namespace != ROOT and each.labels and each.labels.items() <= labels.items()
    ][:1]
    of_namespace = [each for each in written if each.namespace == namespace and not each.labels][:1]
    of_mesh = [each for each in written if each.namespace == ROOT and not each.labels][:1]
    words = [said(each.ports.get(str(port))) for each in of_workload]
    words += [said(each.mode) for each in (*of_workload, *of_namespace, *of_mesh)]
    return next(filter(None, words), "PERMISSIVE")


@given(
    written=st.lists(WRITTEN, max_size=6),
    namespace=st.sampled_from([ROOT, "default", "other", "empty"]),
    labels=LABELS,
)
def test_precedence_is_that_of_a_list_of_all_who_could_speak(
    written: list[Written], namespace: str, labels: dict[str, str]
) -> None:
    found = PeerAuthentications([each.document() for each in written], ROOT)
    modes = found.workload(namespace, labels)

    for port in (80, 81, 82):
        assert modes.of(port).value == expected(written, namespace, labels, port)
