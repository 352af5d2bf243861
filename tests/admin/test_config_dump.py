from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyproxy.admin.endpoints import ADMIN, answer
from pyproxy.mtls.holding import Holding
from pyproxy.mtls.material import workload_sources
from tests.admin.fake_app import DOCUMENTS, FakeApp, compile_text
from tests.certificates import Authority

REVIEWS = "outbound|9080||reviews.default.svc.cluster.local"


def dump(app: FakeApp, **query: str) -> Any:
    page = answer(app, ADMIN, "GET", "/config_dump", query)
    assert page.status == 200, "".join(str(piece) for piece in page.pieces)
    return json.loads("".join(str(piece) for piece in page.pieces))["configs"]


def test_the_sections_are_envoys_and_then_the_documents(app: FakeApp) -> None:
    kinds = [config["@type"].rpartition(".")[2] for config in dump(app, include_eds="")]
    envoy = ["Bootstrap", "Clusters", "Endpoints", "Listeners", "ScopedRoutes", "Routes", "Secrets"]
    assert kinds == [*(f"{name}ConfigDump" for name in envoy), "DocumentsDump"]
    assert len(dump(app)) == 7  # as in Envoy, endpoints only when asked for


def test_everything_that_serves_is_there_by_name(app: FakeApp) -> None:
    _, clusters, listeners, _, routes, _, documents = dump(app)
    assert [one["cluster"]["name"] for one in clusters["dynamic_active_clusters"]] == list(app.snapshot.clusters)
    assert [one["name"] for one in listeners["dynamic_listeners"]] == [one.name for one in app.snapshot.listeners]
    tables = [one["route_config"]["name"] for one in routes["dynamic_route_configs"]]
    assert tables == [*app.snapshot.route_tables, "virtualInbound"]
    assert [one["cluster"]["name"] for one in clusters["static_clusters"]] == ["zipkin"]
    assert documents["documents"] == list(app.snapshot.documents)
    stamp = clusters["dynamic_active_clusters"][0]
    assert (stamp["version_info"], stamp["last_updated"]) == (app.snapshot.version, "2027-01-15T08:00:00.000Z")


def test_certificates_stand_there_by_path(app: FakeApp, tmp_path: Path) -> None:
    assert "transport_socket" not in json.dumps(dump(app))
    folder = Authority().workload(tmp_path)
    app.certificates.append(Holding(workload_sources(folder), None, app.clock))
    listeners = json.dumps(dump(app)[2])
    assert f'"filename": "{folder}/key.pem"' in listeners
    assert "PRIVATE KEY" not in listeners


def test_one_list_by_name(app: FakeApp) -> None:
    [found] = dump(app, resource="dynamic_active_clusters", name_regex=r".*\|9080\|\|reviews.*")
    assert found["cluster"]["name"] == REVIEWS
    [hosts] = dump(app, resource="dynamic_endpoint_configs", name_regex=r".*\|9080\|\|reviews.*")
    assert hosts["endpoint_config"]["cluster_name"] == REVIEWS


def test_a_name_must_match_whole_as_in_envoy(app: FakeApp) -> None:
    assert dump(app, resource="dynamic_active_clusters", name_regex="outbound") == []


@pytest.mark.parametrize(("query", "status"), [({"resource": "nope"}, 404), ({"mask": "clusters"}, 400)])
def test_what_there_is_not(app: FakeApp, query: dict[str, str], status: int) -> None:
    assert answer(app, ADMIN, "GET", "/config_dump", query).status == status


def test_the_hosts_of_this_moment(app: FakeApp) -> None:
    app.live.serving.clusters[REVIEWS].hosts[0].healthy = False
    [found] = dump(app, resource="dynamic_endpoint_configs", name_regex=r".*\|9080\|\|reviews.*")
    states = [
        (member["endpoint"]["address"]["socket_address"]["port_value"], member["health_status"])
        for group in found["endpoint_config"]["endpoints"]
        for member in group["lb_endpoints"]
    ]
    assert states == [(9081, "UNHEALTHY"), (9082, "HEALTHY")]


def test_no_private_key_and_no_token_is_ever_shown(tmp_path: Path) -> None:
    secrets = """
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh}
spec:
  meshConfig:
    extensionProviders:
    - name: steps
      lightstep: {service: collector.example, port: 443, accessToken: s3cret}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: careless
  annotations: {note: "-----BEGIN PRIVATE KEY-----\\nMIIE"}
spec: {hosts: [careless.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: NONE}
"""
    app = FakeApp(compile_text(tmp_path, DOCUMENTS + secrets))
    text = json.dumps(dump(app))
    assert "s3cret" not in text
    assert "MIIE" not in text
    assert '"accessToken": "[redacted]"' in text


def test_what_signs_tokens_is_not_shown_and_what_verifies_them_is(tmp_path: Path) -> None:
    keys = '{"keys": [{"kty": "oct", "k": "aHVzaA"}, {"kty": "RSA", "n": "cHVi", "e": "AQAB", "d": "aHVzaA"}]}'
    rules = f"""
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: tokens}}
spec: {{jwtRules: [{{issuer: a, jwks: '{keys}'}}]}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: own}}
spec: {{ingress: [{{port: {{number: 9080, name: http, protocol: HTTP}}, defaultEndpoint: "127.0.0.1:80"}}]}}
"""
    found = json.dumps(dump(FakeApp(compile_text(tmp_path, DOCUMENTS + rules))))
    assert "aHVzaA" not in found
    assert "cHVi" in found
