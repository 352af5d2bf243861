from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pyproxy.policy.ejections import Ejected
from pyproxy.policy.outlier import OutlierPolicy
from pyproxy.runtime.counters import HostStats
from pyproxy.snapshot.model import Cluster
from pyproxy.telemetry.clusters_dump import cluster_status, clusters_text

NAME = "outbound|80||x"


@dataclass
class AHost:
    address: str = "127.0.0.1"
    port: int = 19001
    hostname: str = ""
    stats: HostStats = field(default_factory=HostStats)
    weight: int = 1
    locality: str = ""
    priority: int = 0
    healthy: bool = True
    ejection: Ejected | None = None


@dataclass
class ACluster:
    cluster: Cluster = field(default_factory=lambda: Cluster(NAME))
    hosts: Sequence[AHost] = ()


def test_text_lists_ceilings_and_every_host() -> None:
    host = AHost(stats=HostStats(rq_total=95, cx_active=2), locality="eu/a/b", hostname="x.local")
    assert "".join(clusters_text([ACluster(hosts=[host])])).splitlines() == [
        f"{NAME}::{line}"
        for line in (
            f"observability_name::{NAME}",
            "default_priority::max_connections::4294967295",
            "default_priority::max_pending_requests::4294967295",
            "default_priority::max_requests::4294967295",
            "default_priority::max_retries::4294967295",
            "high_priority::max_connections::1024",
            "high_priority::max_pending_requests::1024",
            "high_priority::max_requests::1024",
            "high_priority::max_retries::3",
            "added_via_api::true",
            "127.0.0.1:19001::cx_active::2",
            "127.0.0.1:19001::cx_connect_fail::0",
            "127.0.0.1:19001::cx_total::0",
            "127.0.0.1:19001::rq_active::0",
            "127.0.0.1:19001::rq_error::0",
            "127.0.0.1:19001::rq_pending_active::0",
            "127.0.0.1:19001::rq_success::0",
            "127.0.0.1:19001::rq_timeout::0",
            "127.0.0.1:19001::rq_total::95",
            "127.0.0.1:19001::hostname::x.local",
            "127.0.0.1:19001::health_flags::healthy",
            "127.0.0.1:19001::weight::1",
            "127.0.0.1:19001::region::eu",
            "127.0.0.1:19001::zone::a",
            "127.0.0.1:19001::sub_zone::b",
            "127.0.0.1:19001::canary::false",
            "127.0.0.1:19001::priority::0",
            "127.0.0.1:19001::success_rate::-1",
            "127.0.0.1:19001::local_origin_success_rate::-1",
        )
    ]


def test_an_ejected_host_says_so() -> None:
    ejected = AHost("::1", 80, healthy=False, ejection=Ejected(12.34, 2))
    view = ACluster(Cluster(NAME, outlier=OutlierPolicy()), [ejected])
    text = "".join(clusters_text([view]))
    assert f"{NAME}::[::1]:80::health_flags::/failed_outlier_check\n" in text
    assert f"{NAME}::outlier::success_rate_average::-1\n" in text
    (host,) = cluster_status(view)["host_statuses"]  # type: ignore[misc, attr-defined]
    assert host["health_status"] == {"failed_outlier_check": True, "eds_health_status": "HEALTHY"}
    assert f"{NAME}::[::1]:80::ejection_seconds_left::12.3\n{NAME}::[::1]:80::times_ejected::2\n" in text
    assert host["ejection"] == {"seconds_left": 12.3, "times": 2}


def test_json_is_protobufs_with_nothing_where_there_is_nothing() -> None:
    status = cluster_status(ACluster(hosts=[AHost(stats=HostStats(rq_total=3, cx_active=1)), AHost("unix:///s", 0)]))
    host, socket = status.pop("host_statuses")  # type: ignore[misc, attr-defined]
    assert host == {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 19001}},
        "stats": [
            {"name": "cx_connect_fail"},
            {"name": "cx_total"},
            {"name": "rq_error"},
            {"name": "rq_success"},
            {"name": "rq_timeout"},
            {"value": "3", "name": "rq_total"},
            {"type": "GAUGE", "value": "1", "name": "cx_active"},
            {"type": "GAUGE", "name": "rq_active"},
            {"type": "GAUGE", "name": "rq_pending_active"},
        ],
        "health_status": {"eds_health_status": "HEALTHY"},
        "weight": 1,
        "locality": {},
    }
    assert socket["address"] == {"pipe": {"path": "/s"}}
    most = {"max_connections": 2**32 - 1, "max_pending_requests": 2**32 - 1, "max_requests": 2**32 - 1}
    least = {"max_connections": 1024, "max_pending_requests": 1024, "max_requests": 1024, "max_retries": 3}
    assert status == {
        "name": NAME,
        "added_via_api": True,
        "circuit_breakers": {"thresholds": [{**most, "max_retries": 2**32 - 1}, {"priority": "HIGH", **least}]},
        "observability_name": NAME,
    }
