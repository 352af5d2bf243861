"""Istio's resilience blocks as the Envoy configuration that istiod makes of them: a second opinion on snapshot/.

Source: Istio pilot/pkg/networking/core/cluster_traffic_policy.go, route/route.go, route/retry/retry.go.
Only what the scenarios beside this file use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.differential.envoy_process import EXTENSIONS
from tests.differential.scripted_hosts import ADDRESS

Block = Mapping[str, Any]
NO_LIMIT = 4294967295
_MAX_STREAMS = 1 << 30
_GRPC = ["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"]
_GRPC += ["PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"]
_GRPC += ["INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"]

_PREVIOUS_HOSTS = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {"@type": f"{EXTENSIONS}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
}


@dataclass(frozen=True)
class Host:
    """An endpoint of a scenario's service."""

    kind: int | str = 0
    """One of the scripted hosts, by index or name."""
    weight: int = 1
    locality: str = ""
    priority: int = 0
    """What Istio makes of its locality: given to Envoy only."""


# Connection managers

_MANAGER_FIELDS = {
    "httpStreamIdleTimeout": "stream_idle_timeout",
    "httpRequestTimeout": "request_timeout",
    "httpRequestHeadersTimeout": "request_headers_timeout",
}


def connection_settings(block: Block) -> dict[str, Any]:
    """ProxyConfig's connectionSettings. Source: Istio pilot/pkg/networking/core/connection_settings.go."""
    found: dict[str, Any] = {_MANAGER_FIELDS[name]: block[name] for name in _MANAGER_FIELDS if name in block}
    if "httpMaxStreamDuration" in block:
        found["common_http_protocol_options"] = {"max_stream_duration": block["httpMaxStreamDuration"]}
    return found


# Routes


def route_action(rule: Block, cluster: str, *, hashed: Sequence[Block] = ()) -> dict[str, Any]:
    """An HTTPRoute's own part of Envoy's RouteAction."""
    timeout = rule.get("timeout", "0s")
    action: dict[str, Any] = {"timeout": timeout, "max_grpc_timeout": timeout}
    weights = rule.get("weights")
    if weights:
        clusters = [{"name": f"{cluster}-{name}", "weight": weight} for name, weight in weights.items()]
        action["weighted_clusters"] = {"clusters": clusters}
    else:
        action["cluster"] = cluster
    retry = retry_policy(rule.get("retries"), hashed=bool(hashed))
    if retry is not None:
        action["retry_policy"] = retry
    if hashed:
        action["hash_policy"] = list(hashed)
    return action


def retry_policy(block: Block | None, *, hashed: bool = False) -> dict[str, Any] | None:
    """Outbound, with Istio's defaults; None: no retries."""
    found: dict[str, Any] = {
        "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
        "num_retries": 2,
        "host_selection_retry_max_attempts": "5",
        "retry_host_predicate": [_PREVIOUS_HOSTS],
    }
    if hashed:
        del found["retry_host_predicate"]
    if block is None:
        return found
    if not block.get("attempts"):
        return None
    found["num_retries"] = block["attempts"]
    if "retryOn" in block:
        words = block["retryOn"].split(",")
        codes = [int(word) for word in words if word.isdigit()]
        words = [word for word in words if not word.isdigit()]
        found["retry_on"] = ",".join([*words, "retriable-status-codes"] if codes else words)
        found["retriable_status_codes"] = codes
    if "perTryTimeout" in block:
        found["per_try_timeout"] = block["perTryTimeout"]
    if "backoff" in block:
        base = seconds(block["backoff"])
        found["retry_back_off"] = {"base_interval": f"{base:g}s", "max_interval": f"{base * 10:g}s"}
    ignore = block.get("retryIgnorePreviousHosts")
    if ignore is False:
        found.pop("retry_host_predicate", None)
    if block.get("retryRemoteLocalities"):
        found["retry_priority"] = {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {
                "@type": f"{EXTENSIONS}.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                "update_frequency": 2,
            },
        }
    return found


def fault_filter(block: Block) -> dict[str, Any]:
    """`fault` as a route's typed_per_filter_config."""
    found: dict[str, Any] = {"@type": f"{EXTENSIONS}.filters.http.fault.v3.HTTPFault"}
    delay, abort = block.get("delay"), block.get("abort")
    if delay is not None:
        found["delay"] = {"fixed_delay": delay["fixedDelay"], "percentage": _share(delay)}
    if abort is not None:
        found["abort"] = {"percentage": _share(abort)}
        if "httpStatus" in abort:
            found["abort"]["http_status"] = abort["httpStatus"]
        else:
            found["abort"]["grpc_status"] = _GRPC.index(abort["grpcStatus"])
    return found


def _share(block: Block) -> dict[str, Any]:
    return {"numerator": int(block.get("percentage", {}).get("value", 0) * 10_000), "denominator": "MILLION"}


# Clusters


def cluster(
    name: str, hosts: Sequence[Host], ports: Mapping[int | str, int], policy: Block, *, http: int = 1
) -> dict[str, Any]:
    """An outbound cluster under a trafficPolicy; `http`: the version that its hosts speak."""
    pool = policy.get("connectionPool", {})
    balancer = policy.get("loadBalancer", {})
    found: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": pool.get("tcp", {}).get("connectTimeout", "10s"),
        "circuit_breakers": {"thresholds": [_thresholds(pool, policy.get("retryBudget"))]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _options(
                pool, policy.get("outlierDetection", {}), http
            )
        },
        "common_lb_config": {"update_merge_window": "0s"},  # docs/decisions/0011
        **_balancing(balancer),
        "load_assignment": {"cluster_name": name, "endpoints": _endpoints(hosts, ports, balancer)},
    }
    outlier = policy.get("outlierDetection")
    if outlier is not None:
        found["outlier_detection"] = _outlier(outlier)
        found["common_lb_config"]["healthy_panic_threshold"] = {"value": outlier.get("minHealthPercent", 0)}
    locality = balancer.get("localityLbSetting", {})
    if "distribute" in locality or (outlier is not None and ("failover" in locality or "failoverPriority" in locality)):
        found["common_lb_config"]["locality_weighted_lb_config"] = {}
    return found


def _thresholds(pool: Block, budget: Block | None) -> dict[str, Any]:
    tcp, http = pool.get("tcp", {}), pool.get("http", {})
    found: dict[str, Any] = {
        "max_connections": tcp.get("maxConnections") or NO_LIMIT,
        "max_pending_requests": http.get("http1MaxPendingRequests") or NO_LIMIT,
        "max_requests": http.get("http2MaxRequests") or NO_LIMIT,
        "max_retries": http.get("maxRetries") or NO_LIMIT,
        "track_remaining": True,
    }
    if budget is not None:
        found["retry_budget"] = {
            "budget_percent": {"value": budget.get("percent", 20)},
            "min_retry_concurrency": budget.get("minRetryConcurrency", 3),
        }
    return found


def _options(pool: Block, outlier: Block, version: int) -> dict[str, Any]:
    tcp, http = pool.get("tcp", {}), pool.get("http", {})
    common: dict[str, Any] = {}
    idle = http.get("idleTimeout", tcp.get("idleTimeout"))
    if idle is not None:
        common["idle_timeout"] = idle
    if http.get("maxRequestsPerConnection"):
        common["max_requests_per_connection"] = http["maxRequestsPerConnection"]
    if "maxConnectionDuration" in tcp:
        common["max_connection_duration"] = tcp["maxConnectionDuration"]
    found: dict[str, Any] = {
        "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": common,
        "explicit_http_config": {"http_protocol_options": {}},
    }
    if version == 2:
        streams = http.get("maxConcurrentStreams") or _MAX_STREAMS
        found["explicit_http_config"] = {"http2_protocol_options": {"max_concurrent_streams": streams}}
    codes = outlier.get("outlierDetectionHttpErrorCodes")
    if codes:
        status = {"name": ":status", "string_match": {"safe_regex": {"regex": "|".join(map(str, codes))}}}
        found["outlier_detection"] = {"error_matcher": {"http_response_headers_match": {"headers": [status]}}}
    return found


def _outlier(block: Block) -> dict[str, Any]:
    found: dict[str, Any] = {"enforcing_success_rate": 0}
    if "consecutive5xxErrors" in block:
        count = block["consecutive5xxErrors"]
        found |= {"consecutive_5xx": count, "enforcing_consecutive_5xx": 100 if count else 0}
    if "consecutiveGatewayErrors" in block:
        count = block["consecutiveGatewayErrors"]
        found |= {"consecutive_gateway_failure": count, "enforcing_consecutive_gateway_failure": 100 if count else 0}
    if block.get("splitExternalLocalOriginErrors"):
        found |= {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": block.get("consecutiveLocalOriginFailures", 5),
            "enforcing_consecutive_local_origin_failure": 100,
            "enforcing_local_origin_success_rate": 0,
        }
    names = {"interval": "interval", "baseEjectionTime": "base_ejection_time"}
    found |= {name: block[key] for key, name in names.items() if key in block}
    if block.get("maxEjectionPercent"):
        found["max_ejection_percent"] = block["maxEjectionPercent"]
    return found


def _balancing(block: Block) -> dict[str, Any]:
    hashing = block.get("consistentHash")
    if hashing is not None:
        if "maglev" in hashing:
            return {
                "lb_policy": "MAGLEV",
                "maglev_lb_config": {"table_size": hashing["maglev"].get("tableSize", 65537)},
            }
        size = hashing.get("ringHash", {}).get("minimumRingSize", 1024)
        return {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": size}}
    kind = block.get("simple", "LEAST_REQUEST")
    warmup = block.get("warmup")
    if warmup is None:
        return {"lb_policy": kind}
    config = {"slow_start_window": warmup["duration"]}
    percent = {"value": warmup.get("minimumPercent", 10)}
    slow_start = {
        **config,
        "min_weight_percent": percent,
        "aggression": {"default_value": warmup.get("aggression", 1.0), "runtime_key": "unused"},
    }
    return {"lb_policy": kind, f"{kind.lower()}_lb_config": {"slow_start_config": slow_start}}


def _endpoints(hosts: Sequence[Host], ports: Mapping[int | str, int], balancer: Block) -> list[dict[str, Any]]:
    """Grouped by locality and priority, as Istio does."""
    groups: dict[tuple[str, int], list[Host]] = {}
    for host in hosts:
        groups.setdefault((host.locality, host.priority), []).append(host)
    return [
        {
            "priority": priority,
            "locality": dict(zip(("region", "zone", "sub_zone"), place.split("/"), strict=False)) if place else {},
            "load_balancing_weight": _locality_weight(place, members, balancer),
            "lb_endpoints": [
                {"endpoint": {"address": _address(ports[host.kind])}, "load_balancing_weight": host.weight}
                for host in members
            ],
        }
        for (place, priority), members in groups.items()
    ]


def _locality_weight(place: str, members: Sequence[Host], balancer: Block) -> int:
    for entry in balancer.get("localityLbSetting", {}).get("distribute", ()):
        for pattern, share in entry["to"].items():
            if place.startswith(pattern.rstrip("*")):
                return int(share)
    return sum(host.weight for host in members)


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": ADDRESS, "port_value": port}}


def hash_policies(policy: Block) -> list[dict[str, Any]]:
    """consistentHash as a route's hash_policy."""
    block = policy.get("loadBalancer", {}).get("consistentHash")
    if block is None:
        return []
    if "httpHeaderName" in block:
        return [{"header": {"header_name": block["httpHeaderName"]}}]
    if "httpQueryParameterName" in block:
        return [{"query_parameter": {"name": block["httpQueryParameterName"]}}]
    if "httpCookie" in block:
        cookie = block["httpCookie"]
        return [{"cookie": {key: cookie[key] for key in ("name", "path", "ttl") if key in cookie}}]
    return [{"connection_properties": {"source_ip": True}}]


def seconds(text: str) -> float:
    """Of `100ms`, `2s` or `3m`."""
    number, unit = re.fullmatch(r"([\d.]+)(ms|s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"ms": 0.001, "s": 1.0, "m": 60.0}[unit]


def in_seconds(block: Any) -> Any:
    """The same with every duration in seconds: Envoy's JSON knows no other unit."""
    if isinstance(block, dict):
        return {key: in_seconds(value) for key, value in block.items()}
    if isinstance(block, list):
        return [in_seconds(value) for value in block]
    if isinstance(block, str) and re.fullmatch(r"\d+(ms|m)", block):
        return f"{seconds(block):g}s"
    return block
