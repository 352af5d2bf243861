from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pyproxy.analysis.explain import Explainer, ask
from pyproxy.analysis.explanation import Explanation
from pyproxy.core.errors import CommandError
from pyproxy.istio.loader import load
from pyproxy.snapshot.compile import compile_snapshot, identity_of
from pyproxy.snapshot.model import Identity, Listening

MESH = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews}
spec:
  hosts: [reviews.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: reviews}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-v1}
spec: {address: 10.0.0.1, labels: {app: reviews, version: v1}, serviceAccount: reviews}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-v2}
spec: {address: 10.0.0.2, labels: {app: reviews, version: v2}, serviceAccount: reviews, locality: eu/a}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web}
spec: {address: 10.0.0.9, labels: {app: web}, serviceAccount: web}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy:
    connectionPool: {http: {http2MaxRequests: 7}}
    outlierDetection: {consecutive5xxErrors: 3}
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - name: jason
    match: [{headers: {end-user: {exact: jason}}, uri: {prefix: /reviews}}]
    fault: {delay: {fixedDelay: 2s, percentage: {value: 50}}}
    rewrite: {uri: /v2}
    timeout: 3s
    route: [{destination: {host: reviews, subset: v2}}]
  - name: gone
    match: [{uri: {prefix: /old}}]
    directResponse: {status: 410, body: {string: gone}}
  - name: all
    headers: {request: {set: {x-tier: gold}}}
    route:
    - {destination: {host: reviews, subset: v1}, weight: 90}
    - {destination: {host: reviews, subset: v2}, weight: 10}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict}
spec: {selector: {matchLabels: {app: reviews}}, mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: viewers}
spec:
  selector: {matchLabels: {app: reviews}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/default/sa/web]}}]
    to: [{operation: {methods: [GET]}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: edge}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: [shop.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec: {hosts: [shop.example.com], gateways: [edge], http: [{route: [{destination: {host: reviews}}]}]}
"""


@pytest.fixture
def explain(tmp_path: Path):  # type: ignore[no-untyped-def]
    (tmp_path / "mesh.yaml").write_text(MESH)
    documents = load([tmp_path]).documents

    def explain(
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        method: str = "GET",
        workload: str = "web",
        inbound: bool = False,
        caller: str = "",
    ) -> Explanation:
        identity = identity_of(documents, workload) if workload else Identity(labels={"istio": "edge"}, gateway=True)
        snapshot = compile_snapshot(documents, identity, Listening()).snapshot
        sender = identity_of(documents, caller) if caller else None
        return Explainer(snapshot, documents).explain(ask(method, url, headers, inbound=inbound), sender)

    return explain


def test_the_first_route_that_matches_is_taken_with_all_that_it_does(explain) -> None:  # type: ignore[no-untyped-def]
    found = explain("http://reviews:9080/reviews/1", [("end-user", "jason")])
    [tried] = found.routes
    assert (tried.name, tried.virtual_service, tried.matched) == ("jason", "reviews.default", True)
    assert found.fault == {"delay": "2s for 50 %"}
    assert (found.policies["timeout"], found.policies["rewritePath"]) == ("3s", "/v2")
    [target] = found.targets
    assert (target.cluster, target.share, target.destination_rule) == (
        "outbound|9080|v2|reviews.default.svc.cluster.local",
        "100 %",
        "reviews.default",
    )
    assert target.policies["breakers"] == {"maxRequests": 7}
    [endpoint] = target.endpoints
    assert (endpoint.address, endpoint.workload, endpoint.locality) == ("10.0.0.2:9080", "reviews-v2.default", "eu/a")
    assert endpoint.connection == "mutual TLS"


def test_earlier_routes_say_why_they_did_not_match(explain) -> None:  # type: ignore[no-untyped-def]
    found = explain("http://reviews:9080/reviews/1")
    assert [(each.name, each.matched) for each in found.routes] == [("jason", False), ("gone", False), ("all", True)]
    assert [(each.condition, each.holds, each.found) for each in found.routes[0].conditions] == [
        ("path starts /reviews", True, "/reviews/1"),
        ("header end-user = jason", False, "(missing)"),
    ]
    assert [target.share for target in found.targets] == ["90 %", "10 %"]
    assert found.policies["requestHeaders"] == {"set": {"x-tier": "gold"}}


@pytest.mark.parametrize("url", ["/old/x", "reviews:9080/old/x", "http://ReViews/old/x"])
def test_a_host_may_stand_in_the_url_or_in_a_header(explain, url: str) -> None:  # type: ignore[no-untyped-def]
    found = explain(url, [("Host", "reviews")] if url.startswith("/") else [])
    assert found.answer == "410 gone"


def test_a_request_without_a_host_says_what_to_write() -> None:
    with pytest.raises(CommandError, match="give -H 'Host: reviews'"):
        ask("GET", "/x", [])


def test_the_other_sides_verdict_is_about_the_request_as_it_arrives(explain) -> None:  # type: ignore[no-untyped-def]
    side = explain("http://reviews:9080/").targets[0].server_side[0]
    assert (side.workload, side.accepts, side.connection) == ("reviews-v1.default", "STRICT", "mutual TLS")
    assert side.authorization == "allowed"
    assert side.rules == ("ALLOW: ns[default]-policy[viewers]-rule[0]",)
    side = explain("http://reviews:9080/", method="POST").targets[0].server_side[0]
    assert side.authorization == "denied: there are ALLOW policies, and no rule of theirs matches"


def test_inbound_from_a_stranger_ends_at_the_door(explain) -> None:  # type: ignore[no-untyped-def]
    found = explain("http://reviews:9080/", workload="reviews-v1", inbound=True)
    assert found.answer.startswith("none, the connection is closed: refused: plaintext")
    assert found.routes == ()


def test_inbound_from_a_workload_passes_the_gate_with_its_principal(explain) -> None:  # type: ignore[no-untyped-def]
    found = explain("http://reviews:9080/", workload="reviews-v1", inbound=True, caller="web")
    assert found.here is not None and found.here.authorization == "allowed"
    assert [target.cluster for target in found.targets] == ["inbound|9080||"]
    found = explain("http://reviews:9080/", workload="reviews-v1", inbound=True, caller="reviews-v2")
    assert found.answer == "403 RBAC: access denied"


def test_an_unknown_host_passes_through(explain) -> None:  # type: ignore[no-untyped-def]
    [target] = explain("http://elsewhere.example.com/").targets
    assert target.cluster == "PassthroughCluster"


def test_a_gateway_serves_its_own_ports_and_hosts(explain) -> None:  # type: ignore[no-untyped-def]
    found = explain("http://shop.example.com:8080/", workload="")
    assert found.targets[0].cluster == "outbound|9080||reviews.default.svc.cluster.local"
    assert explain("http://other.example.com:8080/", workload="").answer.startswith("404 NR")
    with pytest.raises(CommandError, match="no listener on port 80; its ports are 8080"):
        explain("http://shop.example.com/", workload="")


TLS = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: secure}
spec:
  selector: {istio: edge}
  servers:
  - port: {number: 8443, name: https, protocol: HTTPS}
    tls: {mode: SIMPLE, serverCertificate: a.pem, privateKey: a.key}
    hosts: [shop.example.com]
  - port: {number: 8443, name: tls, protocol: TLS}
    tls: {mode: PASSTHROUGH}
    hosts: [db.example.com]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: database}
spec:
  hosts: [database.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  addresses: [240.0.0.1]
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  endpoints: [{address: 10.0.1.1}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec: {hosts: [shop.example.com], gateways: [secure], http: [{route: [{destination: {host: database}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db}
spec:
  hosts: [db.example.com]
  gateways: [secure]
  tls: [{match: [{sniHosts: [db.example.com]}], route: [{destination: {host: database, port: {number: 5432}}}]}]
"""


@pytest.mark.parametrize(
    ("url", "answer", "clusters"),
    [
        ("https://shop.example.com:8443/", "", ["outbound|5432||database.default.svc.cluster.local"]),
        ("https://db.example.com:8443/", "", ["outbound|5432||database.default.svc.cluster.local"]),
        ("https://other.example.com:8443/", "no server here is for other.example.com", []),
        ("http://shop.example.com:8443/", "the port takes TLS alone", []),
    ],
)
def test_a_tls_port_asks_for_a_server_by_name(tmp_path: Path, url: str, answer: str, clusters: list[str]) -> None:
    (tmp_path / "mesh.yaml").write_text(TLS)
    documents = load([tmp_path]).documents
    snapshot = compile_snapshot(documents, Identity(labels={"istio": "edge"}, gateway=True), Listening()).snapshot
    found = Explainer(snapshot, documents).explain(ask("GET", url, []))
    assert answer in found.answer
    assert [target.cluster for target in found.targets] == clusters


def test_a_port_that_carries_tcp_meets_no_routes(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(TLS)
    documents = load([tmp_path]).documents
    snapshot = compile_snapshot(documents, Identity(), Listening()).snapshot
    found = Explainer(snapshot, documents).explain(ask("GET", "http://database:5432/", []))
    assert found.routes == ()
    assert found.notes == ("the connection is carried as TCP: no routes of HTTP are met",)
    assert [target.cluster for target in found.targets] == ["outbound|5432||database.default.svc.cluster.local"]
