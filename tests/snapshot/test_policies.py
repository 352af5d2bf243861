"""Effective traffic policies and the settings that they become."""

from __future__ import annotations

import pytest

from pyproxy.istio.mesh.config import MeshConfig
from pyproxy.istio.networking.destination_rule import (
    ConnectionPoolSettings,
    ConsistentHashLB,
    LoadBalancerSettings,
    OutlierDetection,
    RetryBudget,
    TrafficPolicy,
)
from pyproxy.policy.balancing import Algorithm, SlowStart
from pyproxy.policy.circuit_breaker import UNLIMITED, CircuitBreakers
from pyproxy.policy.outlier import OutlierPolicy
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import ConnectionSettings, HashKind, HashPolicy, TcpKeepalive
from pyproxy.snapshot.policies import (
    EffectivePolicy,
    circuit_breakers,
    connection_settings,
    effective_policy,
    for_version,
    hash_policy,
    http_version,
    introduced,
    load_balancing,
    outlier_policy,
    subset_policy,
)

MESH = MeshSettings()


def mesh(**fields: object) -> MeshSettings:
    return MeshSettings(MeshConfig.model_validate(fields))


def policy(**fields: object) -> TrafficPolicy:
    return TrafficPolicy.model_validate(fields)


def pool(**fields: object) -> ConnectionPoolSettings:
    return ConnectionPoolSettings.model_validate(fields)


# Which block holds

TOP = {
    "loadBalancer": {"simple": "RANDOM"},
    "connectionPool": {"tcp": {"maxConnections": 1}},
    "outlierDetection": {"consecutive5xxErrors": 1},
    "retryBudget": {"percent": 50},
}
PORT = {"portLevelSettings": [{"port": {"number": 80}, "loadBalancer": {"simple": "ROUND_ROBIN"}}]}


def test_the_proxy_protocol_is_inherited_but_by_ports() -> None:
    rule = policy(proxyProtocol={"version": "V2"}, **PORT)
    assert introduced(ConnectionSettings(), effective_policy(rule, 81, MESH).proxy_protocol).proxy_protocol == "V2"
    assert introduced(ConnectionSettings(), effective_policy(rule, 80, MESH).proxy_protocol).proxy_protocol == ""
    base = effective_policy(rule, 81, MESH)
    assert subset_policy(base, policy(), 81).proxy_protocol == base.proxy_protocol
    assert subset_policy(base, policy(**PORT), 80).proxy_protocol == base.proxy_protocol
    own = subset_policy(base, policy(proxyProtocol={}), 81).proxy_protocol
    assert introduced(ConnectionSettings(), own).proxy_protocol == "V1"


def test_port_level_settings_replace_everything() -> None:
    found = effective_policy(policy(**TOP, **PORT), 80, MESH)

    assert found.load_balancer is not None
    assert found.load_balancer.simple == "ROUND_ROBIN"
    assert (found.connection_pool, found.outlier_detection, found.retry_budget) == (None, None, None)
    other = effective_policy(policy(**TOP, **PORT), 81, MESH)
    assert None not in (other.connection_pool, other.outlier_detection, other.retry_budget)


def test_a_subset_overrides_block_by_block_and_never_merges_within() -> None:
    base = effective_policy(policy(**TOP), 80, MESH)
    own = policy(connectionPool={"http": {"maxRetries": 3}})

    found = subset_policy(base, own, 80)

    assert found.connection_pool is own.connection_pool
    assert found.connection_pool is not None
    assert found.connection_pool.tcp is None
    assert found.load_balancer is base.load_balancer
    assert subset_policy(base, None, 80) is base


def test_a_subsets_port_entry_replaces_its_four_blocks_but_not_the_retry_budget() -> None:
    base = effective_policy(policy(**TOP), 80, MESH)

    found = subset_policy(base, policy(outlierDetection={"interval": "1s"}, **PORT), 80)

    assert found.load_balancer is not None
    assert (found.connection_pool, found.outlier_detection) == (None, None)
    assert found.retry_budget is base.retry_budget


def test_the_mesh_fills_blocks_that_are_missing() -> None:
    settings = mesh(
        defaultTrafficPolicy={"connectionPool": {"tcp": {"maxConnections": 9}}, "outlierDetection": {"interval": "9s"}}
    )

    own = effective_policy(policy(connectionPool={"tcp": {"maxConnections": 1}}), 80, settings)
    none = effective_policy(None, 80, settings)

    assert circuit_breakers(own.connection_pool, None).max_connections == 1
    assert own.outlier_detection is not None
    assert own.outlier_detection.interval == 9.0
    assert circuit_breakers(none.connection_pool, None).max_connections == 9


# Connection pool


def test_an_unset_pool_has_istios_defaults() -> None:
    assert connection_settings(None, MESH) == ConnectionSettings(connect_timeout=10.0, idle_timeout=3600.0)
    assert circuit_breakers(None, None) == CircuitBreakers()
    assert CircuitBreakers().max_requests == UNLIMITED


def test_zero_means_unset() -> None:
    zeros = pool(
        tcp={"maxConnections": 0},
        http={"http1MaxPendingRequests": 0, "http2MaxRequests": 0, "maxRetries": 0, "maxRequestsPerConnection": 0},
    )

    assert circuit_breakers(zeros, None) == CircuitBreakers()
    assert connection_settings(zeros, MESH).max_requests_per_connection == 0


def test_limits_and_times() -> None:
    found = pool(
        tcp={"maxConnections": 1, "connectTimeout": "1s", "maxConnectionDuration": "60s", "idleTimeout": "5s"},
        http={"http1MaxPendingRequests": 2, "http2MaxRequests": 3, "maxRetries": 4, "maxRequestsPerConnection": 1},
    )

    assert circuit_breakers(found, None) == CircuitBreakers(1, 2, 3, 4)
    settings = connection_settings(found, MESH)
    assert (settings.connect_timeout, settings.max_connection_duration, settings.idle_timeout) == (1.0, 60.0, 5.0)
    assert settings.max_requests_per_connection == 1


@pytest.mark.parametrize(
    ("fields", "idle"),
    [
        ({"http": {"idleTimeout": "7s"}, "tcp": {"idleTimeout": "5s"}}, 7.0),
        ({"tcp": {"idleTimeout": "0s"}}, 0.0),
        ({"tcp": {"maxConnections": 1}}, 3600.0),
    ],
)
def test_the_http_idle_timeout_beats_that_of_tcp(fields: dict[str, object], idle: float) -> None:
    assert connection_settings(pool(**fields), MESH).idle_timeout == idle


def test_keepalive_is_the_meshs_with_what_the_rule_changes() -> None:
    settings = mesh(tcpKeepalive={"probes": 3, "time": "60s"}, connectTimeout="2s")

    found = connection_settings(pool(tcp={"tcpKeepalive": {"time": "30s", "interval": "10s"}}), settings)

    assert found.keepalive == TcpKeepalive(probes=3, time=30, interval=10)
    assert found.connect_timeout == 2.0
    assert connection_settings(pool(tcp={"tcpKeepalive": {}}), MESH).keepalive == TcpKeepalive()
    assert connection_settings(None, MESH).keepalive is None


def test_a_retry_budget_has_defaults() -> None:
    found = circuit_breakers(None, RetryBudget())

    assert (found.retry_budget_percent, found.retry_budget_min_concurrency) == (20.0, 3)
    given = circuit_breakers(None, RetryBudget(percent=0.0, min_retry_concurrency=9))
    assert (given.retry_budget_percent, given.retry_budget_min_concurrency) == (0.0, 9)


# Outlier detection


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, OutlierPolicy()),
        ({"consecutiveErrors": 1}, OutlierPolicy()),
        ({"consecutive5xxErrors": 2}, OutlierPolicy(consecutive_5xx=2)),
        ({"consecutive5xxErrors": 0}, OutlierPolicy(consecutive_5xx=0, enforcing_5xx=0)),
        ({"consecutiveGatewayErrors": 3}, OutlierPolicy(consecutive_gateway=3, enforcing_gateway=100)),
        ({"consecutiveGatewayErrors": 0}, OutlierPolicy(consecutive_gateway=0, enforcing_gateway=0)),
        (
            {"interval": "1s", "baseEjectionTime": "400s"},
            OutlierPolicy(interval=1.0, base_ejection_time=400.0, max_ejection_time=400.0),
        ),
        ({"maxEjectionPercent": 0}, OutlierPolicy(max_ejection_percent=10)),
        ({"maxEjectionPercent": 100}, OutlierPolicy(max_ejection_percent=100)),
        (
            {"splitExternalLocalOriginErrors": True, "consecutiveLocalOriginFailures": 2},
            OutlierPolicy(split_local_origin=True, consecutive_local_origin=2),
        ),
        ({"splitExternalLocalOriginErrors": True}, OutlierPolicy(split_local_origin=True)),
        ({"outlierDetectionHttpErrorCodes": [500, 418]}, OutlierPolicy(error_codes=frozenset({500, 418}))),
    ],
)
def test_outlier_detection(fields: dict[str, object], expected: OutlierPolicy) -> None:
    assert outlier_policy(OutlierDetection.model_validate(fields)) == expected


def test_panic_is_off_with_outlier_detection_unless_min_health_percent_says_otherwise() -> None:
    assert outlier_policy(None) is None
    assert load_balancing(EffectivePolicy()).panic_threshold == 50.0
    assert load_balancing(EffectivePolicy(outlier_detection=OutlierDetection())).panic_threshold == 0.0
    thirty = OutlierDetection(min_health_percent=30)
    assert load_balancing(EffectivePolicy(outlier_detection=thirty)).panic_threshold == 30.0


# Load balancing


def balanced(**fields: object) -> object:
    return load_balancing(EffectivePolicy(load_balancer=LoadBalancerSettings.model_validate(fields)))


@pytest.mark.parametrize(
    ("word", "algorithm"),
    [
        (None, Algorithm.LEAST_REQUEST),
        ("UNSPECIFIED", Algorithm.LEAST_REQUEST),
        ("LEAST_CONN", Algorithm.LEAST_REQUEST),
        ("LEAST_REQUEST", Algorithm.LEAST_REQUEST),
        ("ROUND_ROBIN", Algorithm.ROUND_ROBIN),
        ("RANDOM", Algorithm.RANDOM),
        ("PASSTHROUGH", Algorithm.PASSTHROUGH),
    ],
)
def test_simple_balancers(word: str | None, algorithm: Algorithm) -> None:
    settings = LoadBalancerSettings.model_validate({"simple": word})

    assert load_balancing(EffectivePolicy(load_balancer=settings)).algorithm is algorithm


@pytest.mark.parametrize(
    ("fields", "algorithm", "ring", "table"),
    [
        ({}, Algorithm.RING_HASH, 1024, 65537),
        ({"minimumRingSize": 7}, Algorithm.RING_HASH, 7, 65537),
        ({"ringHash": {"minimumRingSize": 9}}, Algorithm.RING_HASH, 9, 65537),
        ({"ringHash": {}}, Algorithm.RING_HASH, 1024, 65537),
        ({"maglev": {}}, Algorithm.MAGLEV, 1024, 65537),
        ({"maglev": {"tableSize": 251}}, Algorithm.MAGLEV, 1024, 251),
    ],
)
def test_consistent_hashing(fields: dict[str, object], algorithm: Algorithm, ring: int, table: int) -> None:
    block = LoadBalancerSettings.model_validate({"consistentHash": {"useSourceIp": True, **fields}})

    found = load_balancing(EffectivePolicy(load_balancer=block))

    assert (found.algorithm, found.ring_minimum_size, found.maglev_table_size) == (algorithm, ring, table)


@pytest.mark.parametrize(
    ("fields", "slow_start"),
    [
        ({"warmup": {"duration": "60s"}}, SlowStart(60.0, 10.0, 1.0)),
        ({"warmup": {"duration": "60s", "minimumPercent": 0, "aggression": 2}}, SlowStart(60.0, 0.0, 2.0)),
        ({"warmupDurationSecs": "30s"}, SlowStart(30.0)),
        ({"simple": "RANDOM", "warmup": {"duration": "60s"}}, None),
        ({"simple": "ROUND_ROBIN", "warmup": {"duration": "60s"}}, SlowStart(60.0)),
        ({}, None),
    ],
)
def test_warm_up_is_for_round_robin_and_least_request(fields: dict[str, object], slow_start: SlowStart | None) -> None:
    settings = LoadBalancerSettings.model_validate(fields)

    assert load_balancing(EffectivePolicy(load_balancer=settings)).slow_start == slow_start


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"httpHeaderName": "X-User"}, HashPolicy(HashKind.HEADER, b"x-user")),
        ({"httpQueryParameterName": "Q"}, HashPolicy(HashKind.QUERY, b"Q")),
        ({"useSourceIp": True}, HashPolicy(HashKind.SOURCE_IP)),
        ({"httpCookie": {"name": "c"}}, HashPolicy(HashKind.COOKIE, b"c")),
        (
            {
                "httpCookie": {
                    "name": "c",
                    "ttl": "30s",
                    "path": "/p",
                    "attributes": [{"name": "SameSite", "value": "Lax"}],
                }
            },
            HashPolicy(HashKind.COOKIE, b"c", "/p", 30.0, (("SameSite", "Lax"),)),
        ),
        ({}, None),
    ],
)
def test_what_is_hashed(fields: dict[str, object], expected: HashPolicy | None) -> None:
    assert hash_policy(ConsistentHashLB.model_validate(fields)) == expected


@pytest.mark.parametrize(
    ("http", "protocol", "upgrade", "sidecar", "version"),
    [
        ({}, "http", None, True, "1"),
        ({}, "grpc", None, True, "2"),
        ({}, "auto", None, True, "downstream"),
        ({}, "auto", None, False, "1"),
        ({}, "http", "UPGRADE", True, "2"),
        ({}, "tcp", "UPGRADE", True, "1"),
        ({"h2UpgradePolicy": "UPGRADE"}, "http", None, True, "2"),
        ({"h2UpgradePolicy": "UPGRADE"}, "auto", None, True, "2"),
        ({"h2UpgradePolicy": "DO_NOT_UPGRADE"}, "auto", None, True, "downstream"),
        ({"h2UpgradePolicy": "DO_NOT_UPGRADE"}, "http", "UPGRADE", True, "1"),
        ({"h2UpgradePolicy": "DO_NOT_UPGRADE"}, "http2", None, True, "2"),
        ({"useClientProtocol": True}, "http2", "UPGRADE", True, "downstream"),
    ],
)
def test_the_http_version_towards_endpoints(
    http: dict[str, object], protocol: str, upgrade: str | None, sidecar: bool, version: str
) -> None:
    settings = mesh(h2UpgradePolicy=upgrade)

    assert http_version(pool(http=http), protocol, settings, sidecar=sidecar) == version


def test_streams_and_pings_are_limited_where_it_is_always_http2() -> None:
    http = {"maxConcurrentStreams": 5, "http2KeepAlive": {"interval": "3s", "timeout": "1s"}}
    given = connection_settings(pool(http=http), mesh())

    for version, limited in (("2", (5, 3.0, 1.0)), ("downstream", (0, 0.0, 0.0)), ("1", (0, 0.0, 0.0))):
        found = for_version(given, version)
        assert (found.max_concurrent_streams, found.ping_interval, found.ping_timeout) == limited
