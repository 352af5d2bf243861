"""IstioOperator: where MeshConfig lives in a file (Istio's operator/pkg/apis/types.go and values_types.proto)."""

from __future__ import annotations

from pydantic import Field

from pyproxy.istio.fields import Flag, Json, Many, Map, Message, Number, OneOfMessage, ScalarText, UInt32
from pyproxy.istio.mesh.config import MeshConfig

ISTIOD_FLAGS = frozenset(("ENABLE_HCM_INTERNAL_NETWORKS",))
"""Of istiod's feature flags those that pyproxy acts on (Istio's pilot/pkg/features)."""


class IstioOperator(Message):
    """What an installation is made of. Only the mesh's own settings matter without a control plane."""

    profile: str | None = None
    install_package_path: str | None = None
    hub: str | None = None
    tag: Json = None
    namespace: str | None = None
    revision: str | None = None
    compatibility_version: str | None = None
    mesh_config: MeshConfig | None = None
    components: Map[Json] = {}
    values: Values | None = None
    unvalidated_values: Json = None


class Values(Message):
    """The Helm values of an installation."""

    global_: GlobalConfig | None = None
    base: Json = None
    cni: Json = None
    compatibility_version: str | None = None
    default_revision: str | None = None
    experimental: Json = None
    gateway_classes: Json = None
    gateways: Json = None
    istio_cni: Json = Field(default=None, alias="istio_cni")
    istiod_remote: Json = None
    mesh_config: Json = None
    owner_name: str | None = None
    pilot: PilotConfig | None = None
    profile: str | None = None
    revision: str | None = None
    revision_tags: Many[str] = ()
    sidecar_injector_webhook: Json = None
    telemetry: Json = None
    ztunnel: Json = None


class GlobalConfig(Message):
    """Helm's `global`: the mesh's name, this cluster's network, and the proxies."""

    mesh_id: str | None = Field(default=None, alias="meshID")
    network: str | None = None
    mesh_networks: Map[Network | None] = {}
    multi_cluster: MultiClusterConfig | None = None
    proxy: ProxyConfig | None = None
    istio_namespace: str | None = None

    agentgateway: Json = None
    arch: Json = None
    ca_address: str | None = None
    ca_name: str | None = None
    cert_signers: Many[str] = ()
    config_cluster: Flag | None = None
    config_validation: Flag | None = None
    default_node_selector: Json = None
    default_pod_disruption_budget: Json = None
    default_resources: Json = None
    default_tolerations: Json = None
    enable_reader_rbac: Flag | None = Field(default=None, alias="enableReaderRBAC")
    external_istiod: Flag | None = None
    hub: str | None = None
    image_pull_policy: str | None = None
    image_pull_secrets: Many[str] = ()
    ip_families: Many[str] = ()
    ip_family_policy: str | None = None
    istiod: Json = None
    jwt_policy: str | None = None
    log_as_json: Flag | None = None
    logging: Json = None
    mount_mtls_certs: Flag | None = None
    native_nftables: Flag | None = None
    network_policy: Json = None
    omit_sidecar_injector_config_map: Flag | None = None
    operator_manage_webhooks: Flag | None = None
    pilot_cert_provider: str | None = None
    platform: str | None = None
    pod_dns_search_namespaces: Many[str] = Field(default=(), alias="podDNSSearchNamespaces")
    priority_class_name: str | None = None
    proxy_init: Json = Field(default=None, alias="proxy_init")
    reader_service_account: Json = None
    remote_pilot_address: str | None = None
    resource_scope: str | None = None
    revision: str | None = None
    sds: Json = None
    sts: Json = None
    tag: Json = None
    tracer: Json = None
    trust_bundle_name: str | None = None
    variant: str | None = None
    waypoint: Json = None


class Network(Message):
    """A network of the mesh: its endpoints, and the ways in from another (mesh/v1alpha1/network.proto)."""

    endpoints: Many[NetworkEndpoints] = ()
    gateways: Many[IstioNetworkGateway] = ()


class NetworkEndpoints(OneOfMessage):
    """Endpoints by address, or all of a registry."""

    ONE_OF = (("from_cidr", "from_registry"),)

    from_cidr: str | None = None
    from_registry: str | None = None


class IstioNetworkGateway(OneOfMessage):
    """A way into a network."""

    ONE_OF = (("registry_service_name", "address"),)

    registry_service_name: str | None = None
    address: str | None = None
    port: UInt32 | None = None
    locality: str | None = None


class PilotConfig(Message):
    """Helm's `pilot`: istiod, of which only some variables of its environment matter to a proxy."""

    env: Map[ScalarText | None] = {}

    affinity: Json = None
    autoscale_behavior: Json = None
    autoscale_enabled: Flag | None = None
    autoscale_max: UInt32 | None = None
    autoscale_min: UInt32 | None = None
    cni: Json = None
    config_map: Flag | None = None
    cpu: Json = None
    crl_config_map_name: str | None = None
    deployment_labels: Json = None
    enabled: Flag | None = None
    env_var_from: Json = None
    extra_container_args: Json = None
    hub: str | None = None
    image: str | None = None
    ip_families: Many[str] = ()
    ip_family_policy: str | None = None
    istiod_remote: Json = None
    jwks_resolver_extra_root_ca: str | None = Field(default=None, alias="jwksResolverExtraRootCA")
    keepalive_max_server_connection_age: Json = None
    memory: Json = None
    node_selector: Json = None
    pod_annotations: Json = None
    pod_labels: Json = None
    replica_count: UInt32 | None = None
    resources: Json = None
    rolling_max_surge: Json = None
    rolling_max_unavailable: Json = None
    seccomp_profile: Json = None
    service_account_annotations: Json = None
    service_annotations: Json = None
    tag: Json = None
    taint: Json = None
    tolerations: Json = None
    topology_spread_constraints: Json = None
    trace_sampling: Number | None = None
    trusted_ztunnel_namespace: str | None = None
    variant: str | None = None
    volume_mounts: Json = None
    volumes: Json = None


class MultiClusterConfig(Message):
    """This cluster among others."""

    enabled: Flag | None = None
    cluster_name: str | None = None
    global_domain_suffix: str | None = None
    include_envoy_filter: Flag | None = None


class ProxyConfig(Message):
    """Helm's `global.proxy`."""

    auto_inject: str | None = None
    cluster_domain: str | None = None
    component_log_level: str | None = None
    enable_core_dump: Flag | None = None
    exclude_inbound_ports: str | None = None
    exclude_ip_ranges: str | None = Field(default=None, alias="excludeIPRanges")
    exclude_outbound_ports: str | None = None
    hold_application_until_proxy_starts: Flag | None = None
    image: str | None = None
    include_inbound_ports: str | None = None
    include_ip_ranges: str | None = Field(default=None, alias="includeIPRanges")
    include_outbound_ports: str | None = None
    lifecycle: Json = None
    log_level: str | None = None
    outlier_log_path: str | None = None
    privileged: Flag | None = None
    readiness_failure_threshold: UInt32 | None = None
    readiness_initial_delay_seconds: UInt32 | None = None
    readiness_period_seconds: UInt32 | None = None
    resources: Json = None
    seccomp_profile: Json = None
    startup_probe: Json = None
    status_port: UInt32 | None = None
    tracer: str | None = None
