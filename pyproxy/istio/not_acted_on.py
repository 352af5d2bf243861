"""What pyproxy knows of Istio's API and does not act on yet. A feature that lands takes its line out of here.

Whoever sets one of these gets one warning for it, so that nothing in a document is passed over in silence.
"""

from __future__ import annotations

from pyproxy.istio import operator
from pyproxy.istio.fields import Message
from pyproxy.istio.mesh import config, providers, proxy
from pyproxy.istio.networking.destination_rule import (
    LoadBalancerSettings,
    RetryBudget,
)
from pyproxy.istio.networking.gateway import Server, ServerTLSSettings
from pyproxy.istio.networking.proxy_config import ProxyConfig
from pyproxy.istio.networking.sidecar import IstioIngressListener
from pyproxy.istio.security import JWTRule, RequestAuthentication
from pyproxy.istio.smi import TrafficSplit


def _all_but(model: type[Message], *acted_on: str) -> frozenset[str]:
    return frozenset(model.model_fields) - frozenset(acted_on)


KINDS_NOT_ACTED_ON = frozenset(("WorkloadGroup",))

FIELDS_NOT_ACTED_ON: dict[type[Message], frozenset[str]] = {
    LoadBalancerSettings: frozenset(("zone_aware_lb_setting", "backend_utilization")),
    RetryBudget: frozenset(("budget_interval",)),
    IstioIngressListener: frozenset(("tls",)),
    Server: frozenset(("default_endpoint",)),
    ServerTLSSettings: frozenset(("ecdh_curves",)),
    ProxyConfig: frozenset(("environment_variables", "image")),
    RequestAuthentication: frozenset(("target_ref", "target_refs")),
    JWTRule: frozenset(("presence",)),
    TrafficSplit: frozenset(("matches",)),
    config.MeshConfig: _all_but(
        config.MeshConfig,
        "access_log_encoding",
        "access_log_file",
        "access_log_format",
        "connect_timeout",
        "default_config",
        "default_destination_rule_export_to",
        "default_http_retry_policy",
        "default_providers",
        "default_inbound_http_retry_policy",
        "default_service_export_to",
        "default_traffic_policy",
        "default_virtual_service_export_to",
        "dns_refresh_rate",
        "enable_auto_mtls",
        "enable_tracing",
        "extension_providers",
        "h2_upgrade_policy",
        "locality_lb_setting",
        "mesh_mtls",
        "outbound_traffic_policy",
        "path_normalization",
        "protocol_detection_timeout",
        "root_namespace",
        "tcp_keepalive",
        "tls_defaults",
        "trust_domain",
        "trust_domain_aliases",
    ),
    providers.ExtensionProvider: _all_but(
        providers.ExtensionProvider,
        "name",
        "envoy_ext_authz_http",
        "envoy_file_access_log",
        "opentelemetry",
        "prometheus",
        "zipkin",
    ),
    providers.OpenTelemetryTracingProvider: frozenset(
        ("grpc", "resource_detectors", "service_attribute_enrichment", "dynatrace_sampler")
    ),
    providers.EnvoyExternalAuthorizationHttpProvider: frozenset(("clear_route_cache",)),
    config.OutboundTrafficPolicy: frozenset(("tls",)),
    config.TLSConfig: frozenset(("ecdh_curves",)),
    proxy.ProxyConfig: _all_but(
        proxy.ProxyConfig,
        "concurrency",
        "connection_settings",
        "gateway_topology",
        "interception_mode",
        "mesh_id",
        "proxy_headers",
        "proxy_metadata",
        "service_cluster",
        "tracing",
        "tracing_service_name",
    ),
    proxy.ConnectionSettings: _all_but(
        proxy.ConnectionSettings,
        "profile",
        "http_idle_timeout",
        "http_merge_slashes",
        "http_request_headers_timeout",
        "http_stream_idle_timeout",
    ),
    proxy.ProxyHeaders: _all_but(
        proxy.ProxyHeaders,
        "attempt_count",
        "forwarded_client_cert",
        "request_id",
        "server",
        "set_current_client_cert_details",
    ),
    proxy.SetCurrentClientCertDetails: frozenset(("chain",)),
    proxy.Topology: _all_but(proxy.Topology, "num_trusted_proxies", "forward_client_cert_details"),
    proxy.Tracing: _all_but(
        proxy.Tracing, "custom_tags", "enable_istio_tags", "max_path_tag_length", "sampling", "zipkin"
    ),
}

FIELDS_OF_THE_INSTALLATION: dict[type[Message], frozenset[str]] = {
    operator.IstioOperator: _all_but(operator.IstioOperator, "mesh_config", "values"),
    operator.Values: _all_but(operator.Values, "global_", "pilot"),
    operator.PilotConfig: _all_but(operator.PilotConfig, "env"),
    operator.GlobalConfig: _all_but(
        operator.GlobalConfig, "mesh_id", "network", "mesh_networks", "multi_cluster", "proxy"
    ),
    operator.Network: frozenset(("gateways",)),
    operator.NetworkEndpoints: frozenset(("from_registry",)),
    operator.MultiClusterConfig: _all_but(operator.MultiClusterConfig, "cluster_name"),
    operator.ProxyConfig: _all_but(operator.ProxyConfig, "cluster_domain"),
}
"""What an IstioOperator says to its installer. There is none here: one notice each."""
