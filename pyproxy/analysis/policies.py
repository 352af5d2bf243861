"""What holds on a route and towards a cluster, as plain values for people and programs: only what somebody set."""

from __future__ import annotations

from collections.abc import Mapping

from pyproxy.core.tls import ClientTls
from pyproxy.policy.circuit_breaker import UNLIMITED, CircuitBreakers
from pyproxy.policy.fault import FaultPolicy
from pyproxy.policy.retry import ISTIO_DEFAULT, RetryPolicy
from pyproxy.snapshot.model import Cluster, ConnectionSettings, Forward, HeaderOps, Redirect, Route

Values = Mapping[str, object]
"""Name → text, number or nested values, ready for JSON."""
_NO_CONNECTION = ConnectionSettings()


def fault_values(fault: FaultPolicy | None) -> Values:
    """Shares in percent, times in seconds."""
    if fault is None:
        return {}
    found: dict[str, object] = {}
    if fault.delay_per_million:
        found["delay"] = f"{fault.delay:g}s for {fault.delay_per_million / 10_000:g} %"
    if fault.abort_per_million:
        status = fault.abort_status if fault.abort_grpc_status is None else f"gRPC {fault.abort_grpc_status}"
        found["abort"] = f"{status} for {fault.abort_per_million / 10_000:g} %"
    return found


def retry_values(retry: RetryPolicy | None) -> Values:
    """The whole policy, and whether it is Istio's own."""
    if retry is None:
        return {"attempts": 0}
    words = retry.retry_on | {str(code) for code in retry.retriable_status_codes}
    found: dict[str, object] = {"attempts": retry.attempts, "retryOn": ",".join(sorted(words))}
    if retry.per_try_timeout:
        found["perTryTimeout"] = f"{retry.per_try_timeout:g}s"
    if retry == ISTIO_DEFAULT:
        found["from"] = "Istio's default"
    return found


def header_values(ops: HeaderOps | None) -> Values:
    """Header operations in the order in which they run."""
    if ops is None:
        return {}
    found: dict[str, object] = {
        "remove": [name.decode() for name in ops.remove],
        "set": _lines(ops.set, ops.set_texts),
        "add": _lines(ops.add, ops.add_texts),
    }
    return {name: value for name, value in found.items() if value}


def _lines(operations: tuple[tuple[bytes, object], ...], texts: tuple[str, ...]) -> dict[str, str]:
    return {name.decode(): text for (name, _), text in zip(operations, texts, strict=False)}


def route_values(route: Route) -> Values:
    """Everything that a route that forwards does beside forwarding."""
    action = route.action
    assert isinstance(action, Forward)
    found: dict[str, object] = {
        "timeout": f"{action.timeout:g}s" if action.timeout else "none",
        "retries": retry_values(action.retry),
    }
    if action.path_rewrite is not None:
        how = f"{action.path_rewrite.pattern} -> " if action.path_rewrite.pattern else ""
        found["rewritePath"] = how + action.path_rewrite.text
    if action.rewrite_authority is not None:
        found["rewriteAuthority"] = action.rewrite_authority.decode()
    if action.mirrors:
        found["mirrors"] = {each.cluster: f"{each.per_million / 10_000:g} %" for each in action.mirrors}
    if action.hash_policies:
        found["hash"] = [f"{each.kind.value} {each.name.decode()}".strip() for each in action.hash_policies]
    found["requestHeaders"] = header_values(route.request_headers)
    found["responseHeaders"] = header_values(route.response_headers)
    found["cors"] = "yes" if route.cors is not None else ""
    return {name: value for name, value in found.items() if value not in ({}, "")}


def redirect_values(action: Redirect) -> Values:
    """The parts that change."""
    found = {
        "status": action.status,
        "scheme": action.scheme,
        "authority": action.authority,
        "port": action.port,
        "uri": action.uri,
        "prefixRewrite": action.prefix_rewrite,
    }
    return {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in found.items()
        if value is not None
    }


def cluster_values(cluster: Cluster) -> Values:
    """Balancing, connections, breakers, outlier detection, TLS."""
    balancing = cluster.load_balancing
    found: dict[str, object] = {
        "loadBalancer": balancing.algorithm.value + (" (warm-up)" if balancing.slow_start is not None else ""),
        "connection": _connection(cluster.connection),
        "breakers": _breakers(cluster.breakers),
        "outlierDetection": _outlier(cluster),
        "tls": tls_values(cluster.tls),
    }
    if balancing.locality_weights:
        found["localityWeights"] = dict(balancing.locality_weights)
    return {name: value for name, value in found.items() if value not in ({}, "")}


def _connection(settings: ConnectionSettings) -> Values:
    names = {
        "connect_timeout": "connectTimeout",
        "idle_timeout": "idleTimeout",
        "max_connection_duration": "maxConnectionDuration",
        "max_requests_per_connection": "maxRequestsPerConnection",
        "max_concurrent_streams": "maxConcurrentStreams",
    }
    counts = ("max_requests_per_connection", "max_concurrent_streams")
    found: dict[str, object] = {}
    for name, shown in names.items():
        value = getattr(settings, name)
        if value != getattr(_NO_CONNECTION, name):
            found[shown] = value if name in counts else f"{value:g}s"
    return found


def _breakers(breakers: CircuitBreakers) -> Values:
    ceilings = {
        "maxConnections": breakers.max_connections,
        "maxPendingRequests": breakers.max_pending_requests,
        "maxRequests": breakers.max_requests,
        "maxRetries": breakers.max_retries,
    }
    found: dict[str, object] = {name: value for name, value in ceilings.items() if value != UNLIMITED}
    if breakers.retry_budget_percent is not None:
        found["retryBudget"] = f"{breakers.retry_budget_percent:g} %"
    return found


def _outlier(cluster: Cluster) -> Values:
    policy = cluster.outlier
    if policy is None:
        return {}
    found: dict[str, object] = {}
    if policy.enforcing_5xx:
        found["consecutive5xxErrors"] = policy.consecutive_5xx
    if policy.enforcing_gateway:
        found["consecutiveGatewayErrors"] = policy.consecutive_gateway
    if policy.split_local_origin:
        found["consecutiveLocalOriginFailures"] = policy.consecutive_local_origin
    return found | {
        "interval": f"{policy.interval:g}s",
        "baseEjectionTime": f"{policy.base_ejection_time:g}s",
        "maxEjectionPercent": policy.max_ejection_percent,
    }


def tls_values(tls: ClientTls | None) -> Values:
    """Nothing for plaintext."""
    if tls is None:
        return {}
    found: dict[str, object] = {"mode": tls.mode.value + (" (automatic)" if tls.automatic else "")}
    if tls.sni:
        found["sni"] = tls.sni
    if tls.subject_alt_names:
        found["subjectAltNames"] = list(tls.subject_alt_names)
    if tls.insecure_skip_verify:
        found["insecureSkipVerify"] = True
    return found
