from __future__ import annotations

from pyproxy.analysis.policies import (
    cluster_values,
    fault_values,
    header_values,
    redirect_values,
    retry_values,
    tls_values,
)
from pyproxy.core.tls import ClientTls, ClientTlsMode
from pyproxy.policy.circuit_breaker import CircuitBreakers
from pyproxy.policy.fault import FaultPolicy
from pyproxy.policy.outlier import OutlierPolicy
from pyproxy.policy.retry import ISTIO_DEFAULT, RetryPolicy
from pyproxy.snapshot.model import Cluster, ConnectionSettings, HeaderOps, Redirect


def test_a_cluster_without_a_rule_has_only_a_balancer() -> None:
    assert cluster_values(Cluster("c")) == {"loadBalancer": "LEAST_REQUEST"}


def test_what_a_rule_sets_is_told_in_its_own_words() -> None:
    cluster = Cluster(
        "c",
        connection=ConnectionSettings(connect_timeout=1.0, max_requests_per_connection=1),
        breakers=CircuitBreakers(max_connections=2, retry_budget_percent=20.0),
        outlier=OutlierPolicy(consecutive_5xx=3),
    )
    found = cluster_values(cluster)
    assert found["connection"] == {"connectTimeout": "1s", "maxRequestsPerConnection": 1}
    assert found["breakers"] == {"maxConnections": 2, "retryBudget": "20 %"}
    assert found["outlierDetection"] == {
        "consecutive5xxErrors": 3,
        "interval": "10s",
        "baseEjectionTime": "30s",
        "maxEjectionPercent": 10,
    }


def test_retries_tell_whose_they_are() -> None:
    assert retry_values(None) == {"attempts": 0}
    assert retry_values(ISTIO_DEFAULT)["from"] == "Istio's default"
    own = RetryPolicy(3, frozenset({"5xx"}), frozenset({429}), per_try_timeout=0.5)
    assert retry_values(own) == {"attempts": 3, "retryOn": "429,5xx", "perTryTimeout": "0.5s"}


def test_faults_redirects_headers_and_tls() -> None:
    assert fault_values(FaultPolicy(abort_status=503, abort_per_million=5000)) == {"abort": "503 for 0.5 %"}
    assert fault_values(None) == {}
    assert redirect_values(Redirect(302, uri=b"/new")) == {"status": 302, "uri": "/new"}
    ops = HeaderOps(remove=(b"a",), set=((b"b", lambda context: b""),), set_texts=("%PROTOCOL%",))
    assert header_values(ops) == {"remove": ["a"], "set": {"b": "%PROTOCOL%"}}
    assert tls_values(ClientTls(ClientTlsMode.SIMPLE, sni="s", insecure_skip_verify=True)) == {
        "mode": "SIMPLE",
        "sni": "s",
        "insecureSkipVerify": True,
    }
