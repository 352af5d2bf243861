"""What holds for the whole mesh: MeshConfig and Helm values out of IstioOperator documents, with Istio's defaults.

Source of the defaults: Istio pkg/config/mesh/mesh.go; pilot/pkg/networking/util/proxy_headers.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

from pyproxy.core.tls import MeshTls, TlsParameters
from pyproxy.istio.mesh.config import MeshConfig, TLSConfig
from pyproxy.istio.mesh.proxy import ConnectionSettings, ProxyConfig, ProxyHeaders, SetCurrentClientCertDetails
from pyproxy.istio.operator import GlobalConfig, IstioOperator
from pyproxy.istio.resources import Document
from pyproxy.istio.rules.server_tls import CIPHERS
from pyproxy.snapshot.model import AccessLog, Direction, ForwardClientCert, HttpSettings, PathNormalization

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))  # Go's strconv.ParseBool
EVERYONE = frozenset({"*"})
MESH_CIPHERS = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
)
"""What sidecars take of each other under TLS 1.2. Source: Istio pilot/pkg/security/authn/utils/utils.go."""
# model_construct: no validator is built for messages that most runs never meet
_NO_MESH, _NO_GLOBAL = MeshConfig.model_construct(), GlobalConfig.model_construct()
_NO_PROXY = ProxyConfig.model_construct()
_NO_TLS, _NO_DETAILS = TLSConfig.model_construct(), SetCurrentClientCertDetails.model_construct()
_NO_HEADERS, _NO_CONNECTION = ProxyHeaders.model_construct(), ConnectionSettings.model_construct()


@dataclass(frozen=True)
class MeshSettings:
    """The mesh's own settings. The first IstioOperator that has a block gives the whole block."""

    config: MeshConfig = _NO_MESH
    values: GlobalConfig = field(default=_NO_GLOBAL)
    environment: Mapping[str, str | None] = field(default_factory=dict)
    """istiod's, in which Istio has its feature flags."""

    @property
    def proxy(self) -> ProxyConfig:
        """MeshConfig.defaultConfig."""
        return self.config.default_config or _NO_PROXY

    @property
    def root_namespace(self) -> str:
        """The namespace whose documents hold for all."""
        return self.config.root_namespace or "istio-system"

    @property
    def trust_domain(self) -> str:
        """The first part of every SPIFFE identity."""
        return self.config.trust_domain or "cluster.local"

    @property
    def trust_domains(self) -> tuple[str, ...]:
        """Ours, then its aliases."""
        return tuple(dict.fromkeys((self.trust_domain, *self.config.trust_domain_aliases)))

    @property
    def auto_mtls(self) -> bool:
        """Mutual TLS wherever both sides can, when no DestinationRule says."""
        return self.config.enable_auto_mtls is not False

    @property
    def mesh_tls(self) -> MeshTls:
        """What this mesh's proxies ask of each other."""
        chosen = self.config.mesh_mtls or _NO_TLS
        version = "TLSv1_3" if chosen.min_protocol_version == "TLSV1_3" else ""
        return MeshTls(self.trust_domains, TlsParameters(version, ciphers=chosen.cipher_suites or MESH_CIPHERS))

    @property
    def tls_defaults(self) -> TlsParameters:
        """Of TLS with strangers, where Gateways and DestinationRules say nothing else."""
        chosen = self.config.tls_defaults or _NO_TLS
        version = {"TLSV1_2": "TLSv1_2", "TLSV1_3": "TLSv1_3"}.get(chosen.min_protocol_version or "", "")
        return TlsParameters(version, ciphers=known_ciphers(chosen.cipher_suites))

    @property
    def domain(self) -> str:
        """What follows `.svc.` in a service's name."""
        return (self.values.proxy and self.values.proxy.cluster_domain) or "cluster.local"

    @property
    def mesh_id(self) -> str:
        """The mesh's name in telemetry; the trust domain when it has none."""
        return self.proxy.mesh_id or self.values.mesh_id or self.trust_domain

    @property
    def cluster_id(self) -> str:
        """This cluster's name in telemetry."""
        return (self.values.multi_cluster and self.values.multi_cluster.cluster_name) or "Kubernetes"

    @property
    def network(self) -> str:
        """The network that workloads are on unless they say another."""
        return self.values.network or ""

    @property
    def allow_any(self) -> bool:
        """Outbound traffic to hosts that nobody names passes through. An empty block means REGISTRY_ONLY."""
        policy = self.config.outbound_traffic_policy
        return policy is None or policy.mode in ("ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS")

    @property
    def connect_timeout(self) -> float:
        """Seconds."""
        return self.config.connect_timeout or 10.0

    @property
    def detection_timeout(self) -> float:
        """Seconds that a client has for its first bytes, where they tell the protocol; 0: as long as it likes."""
        return self.config.protocol_detection_timeout or 0.0

    @property
    def dns_refresh(self) -> float:
        """Seconds."""
        return self.config.dns_refresh_rate or 60.0

    @property
    def interception(self) -> bool:
        """Workloads' traffic is captured unless a listener says otherwise; false with interceptionMode NONE."""
        return self.proxy.interception_mode != "NONE"

    @property
    def services_export(self) -> frozenset[str]:
        """Who sees a service that does not say."""
        return frozenset(self.config.default_service_export_to) or EVERYONE

    @property
    def virtual_services_export(self) -> frozenset[str]:
        """Who sees a VirtualService that does not say."""
        return frozenset(self.config.default_virtual_service_export_to) or EVERYONE

    @property
    def destination_rules_export(self) -> frozenset[str]:
        """Who sees a DestinationRule that does not say."""
        return frozenset(self.config.default_destination_rule_export_to) or EVERYONE

    @property
    def access_log(self) -> AccessLog:
        """Where and how requests are logged when no Telemetry says."""
        config = self.config
        return AccessLog(
            path=config.access_log_file or "",
            encoding=config.access_log_encoding or "TEXT",
            format=config.access_log_format or "",
        )

    def http(self, direction: Direction) -> HttpSettings:
        """The connection manager's settings of one kind of listener."""
        headers = self.proxy.proxy_headers or _NO_HEADERS
        gateway = direction is Direction.GATEWAY
        topology = self.proxy.gateway_topology if gateway else None
        limits = _edge_defaults(self.proxy.connection_settings or _NO_CONNECTION, gateway)
        return HttpSettings(
            direction=direction,
            server_name=_server_name(headers, direction),
            use_remote_address=gateway,
            xff_trusted_hops=(topology and topology.num_trusted_proxies) or 0,
            path_normalization=self._path_normalization(limits),
            idle_timeout=3600.0 if limits.http_idle_timeout is None else limits.http_idle_timeout,
            request_headers_timeout=limits.http_request_headers_timeout or 0.0,
            stream_idle_timeout=limits.http_stream_idle_timeout or 0.0,
            attempt_count_header=not (headers.attempt_count and headers.attempt_count.disabled),
            generate_request_id=not (headers.request_id and headers.request_id.disabled),
            internal_networks=self.internal_networks if gateway or self._has_internal_networks else (),
            accept_http_10=self.proxy.proxy_metadata.get("ISTIO_META_HTTP10") == "1",
            forward_client_cert=self._forward_client_cert(headers, direction),
            client_cert_details=_client_cert_details(headers, direction),
        )

    def _forward_client_cert(self, headers: ProxyHeaders, direction: Direction) -> ForwardClientCert:
        """Gateways ask gatewayTopology alone, sidecars proxyHeaders; what leaves a workload never carries it."""
        if direction is Direction.OUTBOUND:
            return ForwardClientCert.SANITIZE
        topology = self.proxy.gateway_topology
        word = headers.forwarded_client_cert
        default = ForwardClientCert.APPEND_FORWARD
        if direction is Direction.GATEWAY:
            word = topology.forward_client_cert_details if topology is not None else None
            default = ForwardClientCert.SANITIZE_SET
        return ForwardClientCert(word) if word and word != "UNDEFINED" else default

    @property
    def internal_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Every fromCidr of meshNetworks. Source: Istio util.go, MeshNetworksToEnvoyInternalAddressConfig."""
        found = [
            _network(entry.from_cidr)
            for network in self.values.mesh_networks.values()
            for entry in (network.endpoints if network else ())
            if entry.from_cidr
        ]
        return tuple(sorted((each for each in found if each is not None), key=_network_order))

    @property
    def _has_internal_networks(self) -> bool:
        """For sidecars; gateways have them anyway. Source: Istio listener_builder.go."""
        return self.environment.get("ENABLE_HCM_INTERNAL_NETWORKS") in _TRUE

    def _path_normalization(self, limits: ConnectionSettings) -> PathNormalization:
        block = self.config.path_normalization
        word = (block and block.normalization) or "DEFAULT"
        chosen = PathNormalization.BASE if word == "DEFAULT" else PathNormalization(word)
        if limits.http_merge_slashes and chosen is PathNormalization.BASE:
            return PathNormalization.MERGE_SLASHES
        return chosen


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """None when Istio passes it over: it is no CIDR and no address."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _network_order(network: IPv4Network | IPv6Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


def _server_name(headers: ProxyHeaders, direction: Direction) -> bytes:
    """The `server` header; empty leaves the upstream's own. Outbound says `envoy`, a slip that Istio keeps."""
    if headers.server is not None:
        if headers.server.disabled:
            return b""
        if headers.server.value:
            return headers.server.value.encode()
    return b"envoy" if direction is Direction.OUTBOUND else b"istio-envoy"


def _client_cert_details(headers: ProxyHeaders, direction: Direction) -> tuple[str, ...]:
    """In Envoy's order. Source: listener_inbound.go (buildSidecarInboundHTTPOpts), gateway.go."""
    if direction is Direction.GATEWAY:
        return ("Cert", "Subject", "URI", "DNS")
    asked = headers.set_current_client_cert_details or _NO_DETAILS
    wanted = {
        "Cert": bool(asked.cert),
        "Subject": asked.subject is not False,
        "URI": asked.uri is not False,
        "DNS": asked.dns is not False,
    }
    return tuple(name for name, shown in wanted.items() if shown)


def known_ciphers(names: Iterable[str]) -> tuple[str, ...]:
    """The ciphers that Envoy has, each once; Istio leaves out any other."""
    return tuple(dict.fromkeys(name for name in names if name in CIPHERS))


def _edge_defaults(limits: ConnectionSettings, gateway: bool) -> ConnectionSettings:
    """Profile EDGE fills what a gateway leaves open. Source: Istio pilot/pkg/networking/core/connection_settings.go."""
    if limits.profile != "EDGE" or not gateway:
        return limits
    edge = {
        "http_idle_timeout": 3600.0,
        "http_stream_idle_timeout": 300.0,
        "http_request_timeout": 300.0,
        "http_request_headers_timeout": 60.0,
        "http_merge_slashes": True,
    }
    return limits.model_copy(update={name: value for name, value in edge.items() if getattr(limits, name) is None})


def mesh_settings(documents: Iterable[Document]) -> MeshSettings:
    """The mesh's settings: of several IstioOperator documents the oldest that has a block gives it."""
    operators = [document.spec for document in documents if isinstance(document.spec, IstioOperator)]
    config = next((found.mesh_config for found in operators if found.mesh_config), _NO_MESH)
    values = next((found.values.global_ for found in operators if found.values and found.values.global_), _NO_GLOBAL)
    pilot = next((found.values.pilot for found in operators if found.values and found.values.pilot), None)
    return MeshSettings(config, values, pilot.env if pilot is not None else {})
