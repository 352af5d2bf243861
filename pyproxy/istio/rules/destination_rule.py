"""DestinationRule: the host, its subsets and every traffic policy in it."""

from __future__ import annotations

from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.networking.destination_rule import (
    DestinationRule,
    OutlierDetection,
    PortTrafficPolicy,
    RetryBudget,
    TrafficPolicy,
    TunnelSettings,
)
from pyproxy.istio.problems import NOT_ACTED_ON, WITHOUT_EFFECT
from pyproxy.istio.rules.amounts import check_port_selector, percent_problem, port_problem
from pyproxy.istio.rules.client_tls import check_client_tls
from pyproxy.istio.rules.connection_pool import check_connection_pool
from pyproxy.istio.rules.load_balancer import check_load_balancer
from pyproxy.istio.rules.names import (
    check_labels,
    dns_label_problem,
    fqdn_problem,
    is_ip_address,
    wildcard_domain_problem,
)
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.visibility import check_export_to, check_selector

_CONSECUTIVE = 5
"""What consecutive5xxErrors is unless it is set."""


def check_destination_rule(spec: DestinationRule, meta: ObjectMeta, place: Place) -> None:
    """Everything that Istio checks in a DestinationRule on its own."""
    place.at("host").error(wildcard_domain_problem(spec.host))
    _check_policy(spec.traffic_policy, meta, place.at("trafficPolicy"))
    seen: set[str] = set()
    for index, subset in enumerate(spec.subsets):
        at = place.at("subsets", index)
        if subset.name in seen:
            at.at("name").error(f"{subset.name} is there twice")
        seen.add(subset.name)
        at.at("name").error(dns_label_problem(subset.name))
        check_labels(subset.labels, at.at("labels"))
        _check_policy(subset.traffic_policy, meta, at.at("trafficPolicy"))
    own_only = spec.workload_selector is not None
    check_export_to(spec.export_to, meta, place.at("exportTo"), own_namespace_only=own_only)
    check_selector(spec.workload_selector, place.at("workloadSelector"))


def _check_policy(policy: TrafficPolicy | None, meta: ObjectMeta, place: Place) -> None:
    if policy is None:
        return
    if policy == TrafficPolicy():
        place.error("sets nothing: leave it out, or set at least one field")
    if policy.tunnel is not None and policy.proxy_protocol is not None:
        place.error("tunnel and proxyProtocol exclude each other: set one of them")
    _check_blocks(policy, meta, place)
    if len(policy.port_level_settings) > 4096:
        place.at("portLevelSettings").error(f"4096 ports at most, not {len(policy.port_level_settings)}")
    for index, port_policy in enumerate(policy.port_level_settings):
        _check_port_policy(port_policy, meta, place.at("portLevelSettings", index))
    if policy.tunnel is not None:
        _check_tunnel(policy.tunnel, place.at("tunnel"))
    if policy.retry_budget is not None:
        _check_budget(policy.retry_budget, place.at("retryBudget"))
        http = policy.connection_pool.http if policy.connection_pool is not None else None
        if http is not None and http.max_retries:
            place.at("connectionPool", "http", "maxRetries").warning(
                "has no effect: retryBudget takes its place", WITHOUT_EFFECT
            )


def _check_port_policy(policy: PortTrafficPolicy, meta: ObjectMeta, place: Place) -> None:
    if policy.port is None:
        place.error("port is required")
    check_port_selector(policy.port, place.at("port"))
    if policy == PortTrafficPolicy(port=policy.port):
        place.error("sets nothing: loadBalancer, connectionPool, outlierDetection or tls is required")
    _check_blocks(policy, meta, place)


def _check_blocks(policy: TrafficPolicy | PortTrafficPolicy, meta: ObjectMeta, place: Place) -> None:
    """The four blocks that the general policy and that of a port share."""
    check_outlier_detection(policy.outlier_detection, place.at("outlierDetection"))
    check_connection_pool(policy.connection_pool, place.at("connectionPool"))
    has_outliers = policy.outlier_detection is not None
    check_load_balancer(policy.load_balancer, place.at("loadBalancer"), has_outliers=has_outliers)
    check_client_tls(policy.tls, meta, place.at("tls"))


def check_outlier_detection(outliers: OutlierDetection | None, place: Place) -> None:
    """Percentages, error codes, and local failures only where they are told apart."""
    if outliers is None:
        return
    if outliers.consecutive_local_origin_failures and not outliers.split_external_local_origin_errors:
        place.at("consecutiveLocalOriginFailures").error("needs splitExternalLocalOriginErrors: true")
    place.at("maxEjectionPercent").error(percent_problem(outliers.max_ejection_percent))
    place.at("minHealthPercent").error(percent_problem(outliers.min_health_percent))
    for index, code in enumerate(outliers.outlier_detection_http_error_codes):
        if not 100 <= code <= 599:
            place.at("outlierDetectionHttpErrorCodes", index).error(f"must be a status from 100 to 599, not {code}")
    any_error = _CONSECUTIVE if outliers.consecutive_5xx_errors is None else outliers.consecutive_5xx_errors
    gateway = outliers.consecutive_gateway_errors
    if any_error and gateway and gateway >= any_error and not outliers.outlier_detection_http_error_codes:
        place.at("consecutiveGatewayErrors").warning(
            f"has no effect: {any_error} errors of any kind are enough (consecutive5xxErrors)", WITHOUT_EFFECT
        )


def _check_tunnel(tunnel: TunnelSettings, place: Place) -> None:
    if tunnel.protocol not in (None, "", "CONNECT", "POST"):
        place.at("protocol").error(f'must be CONNECT or POST, not "{tunnel.protocol}"')
    if tunnel.protocol == "POST":
        place.at("protocol").warning("POST is known, but not acted on yet", NOT_ACTED_ON)
    if not is_ip_address(tunnel.target_host):
        place.at("targetHost").error(fqdn_problem(tunnel.target_host))
    place.at("targetPort").error(port_problem(tunnel.target_port))


def _check_budget(budget: RetryBudget, place: Place) -> None:
    place.at("percent").error(percent_problem(budget.percent))
