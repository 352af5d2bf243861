"""Our statistics have names that a real Envoy has, of the same kind; /clusters has Envoy's lines and fields."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pyproxy.policy.circuit_breaker import CircuitBreakers
from pyproxy.policy.outlier import OutlierPolicy
from pyproxy.runtime.counters import (
    ClusterManagerStats,
    ClusterStats,
    HostStats,
    HttpStats,
    ListenerManagerStats,
    ListenerStats,
    ServerStats,
    StatGroup,
)
from pyproxy.snapshot.model import Cluster
from pyproxy.telemetry.clusters_dump import cluster_status, clusters_text
from pyproxy.telemetry.stats import prometheus_stats, text_stats
from tests.certificates import Authority
from tests.differential.envoy_process import EXTENSIONS, Envoy, Upstreams, http_listener, loopback

pytestmark = pytest.mark.integration

NAME = "outbound|80||a"  # Envoy's own tag for a cluster ends at the first dot
FILTERS = [
    {"name": "f", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.fault.v3.HTTPFault"}},
    {"name": "c", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.cors.v3.Cors"}},
    {"name": "j", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.jwt_authn.v3.JwtAuthentication"}},
    {
        "name": "e",
        "typed_config": {
            "@type": f"{EXTENSIONS}.filters.http.ext_authz.v3.ExtAuthz",
            "http_service": {"server_uri": {"uri": "http://x", "cluster": NAME, "timeout": "1s"}},
            "filter_enabled_metadata": {"filter": "x", "path": [{"key": "y"}], "value": {"present_match": True}},
        },
    },
    *(
        {
            "name": prefix,
            "typed_config": {"@type": f"{EXTENSIONS}.filters.http.rbac.v3.RBAC", "shadow_rules_stat_prefix": prefix},
        }
        for prefix in ("istio_dry_run_allow_", "istio_dry_run_deny_", "istio_ext_authz_")
    ),
]


def _tls_socket(side: str, **common: Any) -> dict[str, Any]:
    """A transport socket: what counts TLS is not there without one."""
    kind = f"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{side}TlsContext"
    return {"name": "tls", "typed_config": {"@type": kind, "common_tls_context": common}}


@pytest.fixture(scope="module")
def upstreams(start_upstreams: Callable[[int], Upstreams]) -> Upstreams:
    return start_upstreams(1)


@pytest.fixture(scope="module")
def envoy(upstreams: Upstreams, start_envoy: Callable[[Sequence[Any], Sequence[Any]], Envoy]) -> Envoy:
    """After three requests: 200, 404 and 503."""
    endpoint = {"endpoint": {"address": loopback(upstreams.ports[0])}}
    cluster: dict[str, Any] = {
        "name": NAME,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": NAME, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "outlier_detection": {},
        "circuit_breakers": {"thresholds": [{"max_requests": 7, "track_remaining": True}]},
    }
    listener = http_listener("manager", [{"match": {"prefix": "/"}, "route": {"cluster": NAME}}], FILTERS)
    issued = Authority().issue("x")
    certificate = {
        "certificate_chain": {"inline_string": issued.pem.decode()},
        "private_key": {"inline_string": issued.key_pem.decode()},
    }
    secured = http_listener("secured", [{"match": {"prefix": "/"}, "route": {"cluster": NAME}}], FILTERS)
    secured["filter_chains"][0]["transport_socket"] = _tls_socket("Downstream", tls_certificates=[certificate])
    cluster["transport_socket_matches"] = [
        {"name": "secured", "match": {"tls": "yes"}, "transport_socket": _tls_socket("Upstream")},
    ]
    envoy = start_envoy([listener, secured], [cluster])
    client = http.client.HTTPConnection("127.0.0.1", envoy.ports["manager"], timeout=10)
    for status in ("200", "404", "503"):
        client.request("GET", "/", headers={"x-status": status})
        client.getresponse().read()
    client.close()
    return envoy


def ours() -> list[tuple[str, StatGroup]]:
    cluster, connection_manager = ClusterStats(), HttpStats()
    cluster.circuit_breakers_default_remaining_cx = cluster.circuit_breakers_default_remaining_rq = 1
    cluster.circuit_breakers_default_remaining_pending = cluster.circuit_breakers_default_remaining_retries = 1
    for status in (200, 404, 503):
        cluster.count_response(status)
        connection_manager.count_response(status)
    return [
        (NAME, cluster),
        ("manager", connection_manager),
        ("127.0.0.1_0", ListenerStats()),
        ("", ClusterManagerStats()),
        ("", ListenerManagerStats()),
        ("", ServerStats(days_until_first_cert_expiring=1)),
    ]


def test_every_name_is_envoys(envoy: Envoy) -> None:
    theirs = {line.partition(": ")[0] for line in envoy.get_admin("/stats").splitlines()}
    unheard_of = [line for line in "".join(text_stats(ours())).splitlines() if line.partition(": ")[0] not in theirs]
    assert unheard_of == []


def test_responses_are_counted_alike(envoy: Envoy) -> None:
    counted = re.compile(r"(cluster|http)\..*_rq_(\d\d\d|\dxx|completed)$")
    counts = [
        {name: value for name, _, value in (line.partition(": ") for line in lines) if counted.match(name)}
        for lines in (
            envoy.get_admin("/stats?filter=_rq_").splitlines(),
            "".join(text_stats(ours())).splitlines(),
        )
    ]
    theirs, mine = counts
    external = {name for name in theirs if ".external." in name or name.startswith(("http.admin.", "http.secured."))}
    assert mine == {name: value for name, value in theirs.items() if name not in external}


def test_counters_and_gauges_are_told_apart_alike(envoy: Envoy) -> None:
    def kinds(text: str) -> dict[str, str]:
        return {family.name: family.type for family in text_string_to_metric_families(text)}

    theirs = kinds(envoy.get_admin("/stats/prometheus"))
    mine = kinds("".join(prometheus_stats(ours())))
    # Other tags than Istio's are extracted here.
    by_status = {name for name in mine if name.endswith("_rq") or name.startswith("envoy_http_rbac")}
    assert {name: theirs.get(name) for name in mine if name not in by_status} == {
        name: kind for name, kind in mine.items() if name not in by_status
    }


@dataclass
class AHost:
    address: str
    port: int
    stats: HostStats
    hostname: str = ""
    weight: int = 1
    locality: str = ""
    priority: int = 0
    healthy: bool = True
    ejection: None = None


@dataclass
class ACluster:
    cluster: Cluster
    hosts: Sequence[AHost] = field(default_factory=list)


def test_clusters_are_shown_alike(envoy: Envoy, upstreams: Upstreams) -> None:
    breakers = CircuitBreakers(1024, 1024, 7, 3)
    stats = HostStats(cx_total=1, cx_active=1, rq_total=3, rq_success=2, rq_error=1)
    host = AHost("127.0.0.1", upstreams.ports[0], stats)
    view = ACluster(Cluster(NAME, breakers=breakers, outlier=OutlierPolicy()), [host])
    theirs = envoy.get_admin("/clusters").replace("added_via_api::false", "added_via_api::true")
    assert "".join(clusters_text([view])) == theirs
    (status,) = json.loads(envoy.get_admin("/clusters?format=json"))["cluster_statuses"]
    assert cluster_status(view) == {**status, "added_via_api": True}
