"""MeshConfig (mesh/v1alpha1/config.proto); its ProxyConfig and its providers have files of their own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pyproxy.istio.fields import AnyDuration, Flag, Int32, Many, Map, Message, OneOfMessage
from pyproxy.istio.mesh.providers import ExtensionProvider
from pyproxy.istio.mesh.proxy import ProxyConfig
from pyproxy.istio.networking.destination_rule import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    LocalityLoadBalancerSetting,
    OutlierDetection,
    TcpKeepalive,
    ZoneAwareLoadBalancerSetting,
)
from pyproxy.istio.networking.virtual_service import HTTPRetry

Resource = Literal["SERVICE_REGISTRY"]

IngressControllerMode = Literal["UNSPECIFIED", "OFF", "DEFAULT", "STRICT"]

AccessLogEncoding = Literal["TEXT", "JSON"]

H2UpgradePolicy = Literal["DO_NOT_UPGRADE", "UPGRADE"]

OutboundMode = Literal["REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS"]


class OutboundTrafficPolicy(Message):
    """What sidecars do with traffic to hosts that nobody names."""

    mode: OutboundMode | None = None
    tls: ClientTLSSettings | None = None


InboundMode = Literal["PASSTHROUGH", "LOCALHOST"]


class InboundTrafficPolicy(Message):
    """What sidecars do with traffic to ports that nobody names."""

    mode: InboundMode | None = None


class CertificateData(OneOfMessage):
    """A trust anchor: as PEM or a bundle to fetch."""

    ONE_OF = (("pem", "spiffe_bundle_url"),)

    pem: str | None = None
    spiffe_bundle_url: str | None = None
    cert_signers: Many[str] = ()
    trust_domains: Many[str] = ()


class Settings(Message):
    """How a service is seen from other clusters."""

    cluster_local: Flag | None = None


class ServiceSettings(Message):
    """Settings of the services with some hosts."""

    settings: Settings | None = None
    hosts: Many[str] = ()


Scope = Literal["LOCAL", "GLOBAL"]


class ServiceScopeConfigs(Message):
    """Which services are seen across clusters."""

    namespace_selector: LabelSelector | None = None
    services_selector: LabelSelector | None = None
    scope: Scope | None = None


class CA(Message):
    """A certificate authority outside istiod."""

    address: str | None = None
    tls_settings: ClientTLSSettings | None = None
    request_timeout: AnyDuration | None = None
    istiod_side: Flag | None = None


class DefaultProviders(Message):
    """Providers for documents that name none."""

    tracing: Many[str] = ()
    metrics: Many[str] = ()
    access_logging: Many[str] = ()


NormalizationType = Literal["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]


class ProxyPathNormalization(Message):
    """What is done to a path before anything looks at it."""

    normalization: NormalizationType | None = None


TLSProtocol = Literal["TLS_AUTO", "TLSV1_2", "TLSV1_3"]


class TLSConfig(Message):
    """Versions and ciphers of TLS."""

    min_protocol_version: TLSProtocol | None = None
    ecdh_curves: Many[str] = ()
    cipher_suites: Many[str] = ()


class DefaultTrafficPolicy(Message):
    """Blocks for destinations whose DestinationRule has none."""

    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None


class MeshConfig(Message):
    """Settings of the whole mesh."""

    proxy_listen_port: Int32 | None = None
    proxy_inbound_listen_port: Int32 | None = None
    proxy_http_port: Int32 | None = None
    connect_timeout: AnyDuration | None = None
    hbone_idle_timeout: AnyDuration | None = None
    protocol_detection_timeout: AnyDuration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    ingress_class: str | None = None
    ingress_service: str | None = None
    ingress_controller_mode: IngressControllerMode | None = None
    ingress_selector: str | None = None
    enable_tracing: Flag | None = None
    access_log_file: str | None = None
    access_log_format: str | None = None
    access_log_encoding: AccessLogEncoding | None = None
    enable_envoy_access_log_service: Flag | None = None
    disable_envoy_listener_log: Flag | None = None
    default_config: ProxyConfig | None = None
    outbound_traffic_policy: OutboundTrafficPolicy | None = None
    inbound_traffic_policy: InboundTrafficPolicy | None = None
    config_sources: Many[ConfigSource] = ()
    enable_auto_mtls: Flag | None = None
    trust_domain: str | None = None
    trust_domain_aliases: Many[str] = ()
    ca_certificates: Many[CertificateData] = ()
    default_service_export_to: Many[str] = ()
    default_virtual_service_export_to: Many[str] = ()
    default_destination_rule_export_to: Many[str] = ()
    root_namespace: str | None = None
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    dns_refresh_rate: AnyDuration | None = None
    h2_upgrade_policy: H2UpgradePolicy | None = None
    inbound_cluster_stat_name: str | None = None
    outbound_cluster_stat_name: str | None = None
    certificates: Many[Certificate] = ()
    service_settings: Many[ServiceSettings] = ()
    service_scope_configs: Many[ServiceScopeConfigs] = ()
    enable_prometheus_merge: Flag | None = None
    verify_certificate_at_client: Flag | None = None
    ca: CA | None = None
    extension_providers: Many[ExtensionProvider] = ()
    default_providers: DefaultProviders | None = None
    discovery_selectors: Many[LabelSelector] = ()
    path_normalization: ProxyPathNormalization | None = None
    default_http_retry_policy: HTTPRetry | None = None
    default_inbound_http_retry_policy: HTTPRetry | None = None
    mesh_mtls: TLSConfig | None = Field(default=None, alias="meshMTLS")
    tls_defaults: TLSConfig | None = None
    default_traffic_policy: DefaultTrafficPolicy | None = None
    service_entry_visibility: ServiceEntryVisibility | None = None


class LabelSelector(Message):
    """A Kubernetes label selector."""

    match_labels: Map[str] = {}
    match_expressions: Many[LabelSelectorRequirement] = ()


class LabelSelectorRequirement(Message):
    """One expression of a label selector."""

    key: str | None = None
    operator: str | None = None
    values: Many[str] = ()


Visibility = Literal["VISIBILITY_UNSPECIFIED", "NONE", "NAMESPACE", "PUBLIC"]


class Policy(Message):
    """How visible some namespaces' service entries are."""

    visibility: Visibility | None = None
    matching_rules: Many[MatchRule] = ()


class MatchRule(Message):
    """The namespaces that are meant."""

    namespace_selector: LabelSelector | None = None


class ServiceEntryVisibility(Message):
    """Who sees a service entry that does not say so itself."""

    default_visibility: Visibility | None = None
    apply_to_sidecars: Flag | None = None
    policies: Many[Policy] = ()


class ConfigSource(Message):
    """Where istiod reads documents."""

    address: str | None = None
    tls_settings: ClientTLSSettings | None = None
    subscribed_resources: Many[Resource] = ()


class Certificate(Message):
    """A certificate that istiod writes for a control plane service."""

    secret_name: str | None = None
    dns_names: Many[str] = ()
