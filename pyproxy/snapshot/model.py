"""What serves traffic, compiled and frozen: listeners, route tables, virtual hosts, routes, clusters, endpoints.

Nothing here looks like YAML: hosts are dict keys, durations floats in seconds, names and header values bytes.
Everything derived is inside, so that replacing one `Snapshot` by another is the whole of a reload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_address
from types import MappingProxyType
from typing import Final

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.core.text_match import TextMatch as TextMatch
from pyproxy.core.tls import ClientTls, MeshTls, MtlsMode, ServerTls
from pyproxy.policy.balancing import LoadBalancing
from pyproxy.policy.circuit_breaker import CircuitBreakers
from pyproxy.policy.cors import Cors as Cors
from pyproxy.policy.ext_authz import ExtAuthz
from pyproxy.policy.fault import FaultPolicy
from pyproxy.policy.hashing import HashKind as HashKind
from pyproxy.policy.hashing import HashPolicy as HashPolicy
from pyproxy.policy.outlier import OutlierPolicy
from pyproxy.policy.rbac import Authorization
from pyproxy.policy.retry import RetryPolicy
from pyproxy.policy.token_rules import TokenRule
from pyproxy.snapshot.reporting import AccessLog as AccessLog
from pyproxy.snapshot.reporting import Propagation as Propagation
from pyproxy.snapshot.reporting import Reporting as Reporting
from pyproxy.snapshot.reporting import SpanExport as SpanExport
from pyproxy.snapshot.reporting import SpanFormat as SpanFormat
from pyproxy.snapshot.reporting import Telemetry as Telemetry
from pyproxy.snapshot.reporting import Tracing as Tracing
from pyproxy.snapshot.tcp_routes import TcpRoute, TcpRoutes, route_to

Predicate = Callable[[RequestHead], bool]
Subnet = IPv4Network | IPv6Network
Template = Callable[[RequestContext], bytes]
"""A header value with Envoy's %COMMANDS% compiled in; a constant value is a Template too."""
EMPTY: Mapping[str, str] = MappingProxyType({})
_STRICT: Final = MtlsMode.STRICT  # an enum's member costs a call at every use


# Who we are


@dataclass(frozen=True, slots=True)
class Identity:
    """The workload that this proxy stands beside, or the gateway that it is."""

    workload: str = ""
    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    service_account: str = "default"
    locality: str = ""
    """`region/zone/subzone`, shorter or empty."""
    network: str = ""
    address: str = "127.0.0.1"
    gateway: bool = False
    cluster_id: str = "Kubernetes"
    mesh_id: str = "cluster.local"
    trust_domain: str = "cluster.local"


@dataclass(frozen=True, slots=True)
class Listening:
    """Where this process listens: what flags say, not documents. A port of 0 picks a free one."""

    address: str | None = None
    """Every listener binds on it, whatever its document says; None leaves the addresses below."""
    outbound_address: str = "127.0.0.1"
    inbound_address: str = "0.0.0.0"
    outbound_port: int = 15001
    inbound_port: int = 15006
    http_proxy_port: int | None = 15007
    """None or -1: no HTTP proxy."""
    app_address: str = "127.0.0.1"
    """Where the workload itself listens."""
    certs: str = "certs"
    """The folder of certificates: `credentials/NAME` in it is what documents call by credentialName."""


# Upstream


class Discovery(Enum):
    STATIC = "STATIC"
    STRICT_DNS = "STRICT_DNS"
    """Each endpoint's address is a host name; every address it resolves to is a host."""
    LOGICAL_DNS = "LOGICAL_DNS"
    """DNS_ROUND_ROBIN: the first address, connections kept."""
    ORIGINAL_DST = "ORIGINAL_DST"
    """Where the client's connection (or request) was going; endpoints, if any, are for clients not captured."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address behind a cluster, as configured; DNS turns one with a host name into many at run time."""

    address: str
    """IP, host name, or `unix:///path`."""
    port: int
    weight: int = 1
    labels: Mapping[str, str] = field(
        default_factory=lambda: EMPTY, hash=False
    )  # an endpoint is a key; a mapping is not
    locality: str = ""
    priority: int = 0
    network: str = ""
    service_account: str = ""
    workload: str = ""
    namespace: str = ""
    cluster_id: str = ""
    mutual_tls: bool = False
    """The endpoint's tlsMode is `istio`."""


@dataclass(frozen=True, slots=True)
class ServiceName:
    """What the metrics call the service behind a cluster."""

    host: str
    """destination_service: `reviews.default.svc.cluster.local`."""
    name: str
    """destination_service_name: metadata.name of a Service, the full host of a ServiceEntry."""
    namespace: str


@dataclass(frozen=True, slots=True)
class TcpKeepalive:
    """Seconds and a count; None leaves the system's value."""

    probes: int | None = None
    time: int | None = None
    interval: int | None = None


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How connections to a cluster are made, kept and closed. Seconds; 0 is none or unlimited."""

    connect_timeout: float = 10.0
    idle_timeout: float = 300.0
    max_connection_duration: float = 0.0
    max_requests_per_connection: int = 0
    max_concurrent_streams: int = 0
    """Of one HTTP/2 connection."""
    ping_interval: float = 0.0
    """An HTTP/2 connection is asked for a sign of life so often."""
    ping_timeout: float = 0.0
    """It has so long to give it."""
    keepalive: TcpKeepalive | None = None
    proxy_protocol: str = ""
    """`V1` or `V2`: each connection begins with that header. Empty: without."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A group of endpoints under one policy, by Istio's name: `outbound|9080|v1|reviews.default.svc.cluster.local`."""

    name: str
    discovery: Discovery = Discovery.STATIC
    endpoints: tuple[Endpoint, ...] = ()
    service: ServiceName | None = None
    port: int = 0
    subset: str = ""
    protocol: str = "http"
    """Protocol of the service port: http, http2, grpc, tcp, tls, auto ..."""
    http_version: str = "1"
    """Towards the endpoints: `1`, `2`, or `downstream` for whatever the client spoke."""
    load_balancing: LoadBalancing = LoadBalancing()
    connection: ConnectionSettings = ConnectionSettings()
    breakers: CircuitBreakers = CircuitBreakers()
    outlier: OutlierPolicy | None = None
    dns_refresh: float = 60.0
    """Seconds between look-ups when the answer says no time to live."""
    original_port: int | None = None
    """ORIGINAL_DST: replaces the port that the client used (ServiceEntry targetPort with resolution NONE)."""
    mesh_external: bool = False
    destination_rule: str = ""
    """`name.namespace` of the DestinationRule in force, for people."""
    tls: ClientTls | None = None
    """None: plaintext."""


# Routing


@dataclass(frozen=True, slots=True)
class HeaderOps:
    """One level of header operations, in Envoy's order: remove, then set, then add."""

    remove: tuple[bytes, ...] = ()
    set: tuple[tuple[bytes, Template], ...] = ()
    add: tuple[tuple[bytes, Template], ...] = ()
    set_texts: tuple[str, ...] = ()
    """What the templates of `set` were compiled from; `add_texts` likewise."""
    add_texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Destination:
    """One weighted destination of a route."""

    cluster: str
    weight: int = 1
    request_headers: HeaderOps | None = None
    response_headers: HeaderOps | None = None
    host_rewrite: bytes | None = None
    """From `headers.request.set` of `host` or `:authority` at this level."""


@dataclass(frozen=True, slots=True)
class Mirror:
    cluster: str
    per_million: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Redirect:
    """Answers with a Location. None keeps the request's own part."""

    status: int = 301
    scheme: bytes | None = None
    authority: bytes | None = None
    port: int | None = None
    port_from_listener: bool = False
    uri: bytes | None = None
    """Replaces the path; the query is kept unless `uri` brings its own."""
    prefix_rewrite: bytes | None = None


@dataclass(frozen=True, slots=True)
class DirectResponse:
    status: int
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class PathRewrite:
    """What `Forward.rewrite_path` was compiled from: `text` takes the place of what matched, or of what is found."""

    text: str
    pattern: str = ""
    """RE2; what it finds is replaced, and `text` may name its groups. Empty: what the route matched is replaced."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Sends the request to a destination chosen by weight."""

    destinations: tuple[Destination, ...]
    """At least one; never one of weight 0 among several."""
    cumulative: tuple[int, ...] = ()
    """Running sums of weight, for several destinations; the last is the total."""
    rewrite_path: Callable[[bytes], bytes] | None = None
    """Path without query → new path; the exchange keeps the query."""
    path_rewrite: PathRewrite | None = None
    """`rewrite_path` in the operator's words."""
    rewrite_authority: bytes | None = None
    timeout: float = 0.0
    """Seconds; 0 is none."""
    retry: RetryPolicy | None = None
    mirrors: tuple[Mirror, ...] = ()
    hash_policies: tuple[HashPolicy, ...] = ()


@dataclass(frozen=True, slots=True)
class Conditions:
    """What `Route.matches` was compiled from: all of it must hold. Names of headers are lower case.

    `:method`, `:authority` and `:scheme` stand among the headers; so do `@request.auth.claims` of a token.
    """

    path: TextMatch | None = None
    """Of the path without its query; None when any will do."""
    ignore_case: bool = False
    """Of an exact path or a prefix."""
    headers: tuple[tuple[str, TextMatch], ...] = ()
    without_headers: tuple[tuple[str, TextMatch], ...] = ()
    """No line of that name meets the match. A missing one counts as empty; where presence is asked, as missing."""
    query: tuple[tuple[str, TextMatch], ...] = ()
    """The first parameter of that name, not decoded."""


@dataclass(frozen=True, slots=True)
class Route:
    """One match and what to do: the first route of a virtual host whose predicate holds is used."""

    name: str
    matches: Predicate | None
    """None matches everything."""
    action: Forward | Redirect | DirectResponse
    matched_prefix: bytes | None = None
    """The prefix in `uri.prefix`, for rewrite and redirect."""
    request_headers: HeaderOps | None = None
    response_headers: HeaderOps | None = None
    destination_headers_first: bool = True
    """Several destinations: the destination's operations run before the route's."""
    fault: FaultPolicy | None = None
    cors: Cors | None = None
    description: str = ""
    """The match in words, for `proxy-config routes` and `explain`."""
    virtual_service: str = ""
    """`name.namespace`, for people."""
    operation: str = ""
    """Envoy's decorator operation: the span's name."""
    conditions: Conditions | None = None
    """`matches` in the operator's words."""


@dataclass(frozen=True, slots=True)
class VirtualHost:
    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...]
    service: ServiceName | None = None
    workload_port: int = 0
    """The workload's port behind an inbound table; 0: known by the connection alone."""
    grpc_web: bool = False
    """Its port says so: calls of gRPC-Web are translated."""

    def route_for(self, head: RequestHead) -> Route | None:
        """The first route that the request matches."""
        for route in self.routes:
            matches = route.matches
            if matches is None or matches(head):
                return route
        return None


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Virtual hosts of one listener port. Looking one up costs the same with ten as with ten thousand."""

    name: str
    exact: Mapping[bytes, VirtualHost]
    """By lower-case host without port."""
    suffixes: Mapping[bytes, VirtualHost] = field(default_factory=dict)
    """`*.foo.com` under `.foo.com`; `*-bar.com` under `-bar.com`."""
    suffix_lengths: tuple[int, ...] = ()
    """Lengths of the keys of `suffixes`, longest first."""
    default: VirtualHost | None = None
    """`*`, or allow_any, or block_all; None: 404 NR."""

    def virtual_host_for(self, host: bytes) -> VirtualHost | None:
        """Exact, then the longest suffix, then the default. `host` is lower case, without port."""
        found = self.exact.get(host)
        if found is not None:
            return found
        size = len(host)
        for length in self.suffix_lengths:
            if length < size:
                found = self.suffixes.get(host[-length:])
                if found is not None:
                    return found
        return self.default

    def named(self, host: bytes) -> VirtualHost | None:
        """As `virtual_host_for`, without the default: None for a host that nobody names."""
        found = self.virtual_host_for(host)
        return None if found is self.default else found


# Listening


class Direction(Enum):
    OUTBOUND = "outbound"
    INBOUND = "inbound"
    GATEWAY = "gateway"


class ListenerKind(Enum):
    OUTBOUND_CAPTURE = "virtualOutbound"
    INBOUND_CAPTURE = "virtualInbound"
    HTTP_PROXY = "http_proxy"
    NAMED = "named"
    """A Sidecar's ingress or egress listener, or a Gateway's server."""


class PathNormalization(Enum):
    NONE = "NONE"
    BASE = "BASE"
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


class ForwardClientCert(Enum):
    """What becomes of x-forwarded-client-cert, by Envoy's names. Without a client certificate it is taken off."""

    SANITIZE = "SANITIZE"
    FORWARD_ONLY = "FORWARD_ONLY"
    APPEND_FORWARD = "APPEND_FORWARD"
    SANITIZE_SET = "SANITIZE_SET"
    ALWAYS_FORWARD_ONLY = "ALWAYS_FORWARD_ONLY"
    """As it came, also where the client showed no certificate."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What the HTTP connection manager of a listener does. Seconds; 0 is none."""

    direction: Direction = Direction.OUTBOUND
    server_name: bytes = b"envoy"
    use_remote_address: bool = False
    xff_trusted_hops: int = 0
    path_normalization: PathNormalization = PathNormalization.BASE
    idle_timeout: float = 3600.0
    request_headers_timeout: float = 0.0
    stream_idle_timeout: float = 0.0
    max_request_headers_kb: int = 60
    max_headers: int = 100
    attempt_count_header: bool = True
    generate_request_id: bool = True
    https_redirect: bool = False
    proxy_100_continue: bool = True
    internal_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """A request from one of them is internal: its x-envoy-* headers are heard."""
    accept_http_10: bool = False
    """Off as in Istio; ProxyConfig's proxyMetadata ISTIO_META_HTTP10 "1" turns it on."""
    forward_client_cert: ForwardClientCert = ForwardClientCert.SANITIZE
    client_cert_details: tuple[str, ...] = ("Subject", "URI", "DNS")
    """What x-forwarded-client-cert says beside By and Hash, in this order; `Cert` comes first where it is asked for."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One address to bind and what is behind it."""

    name: str
    kind: ListenerKind
    address: str
    """IP or `unix:///path`."""
    port: int
    http: HttpSettings
    route_table: str = ""
    """The table that serves its requests; empty for the capture ports, which choose by original destination."""
    protocol: str = "http"
    """http, tcp, or auto (look at the first bytes)."""
    tcp: TcpRoutes = TcpRoutes()
    """Where connections go that are not HTTP; empty for the capture ports."""
    server_tls: tuple[ServerTls, ...] = ()
    """A Gateway's: the one whose hosts fit the SNI best; empty: plaintext."""
    mutual_tls: MtlsMode = MtlsMode.DISABLE
    """A Sidecar's ingress listener; the inbound capture port asks `Snapshot.inbound_mtls`."""
    workload_port: int = 0
    """A Sidecar's ingress listener: the port that PeerAuthentication and AuthorizationPolicy mean."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One compiled mesh, seen from one proxy."""

    identity: Identity
    listeners: tuple[Listener, ...]
    route_tables: Mapping[str, RouteTable]
    """`9080`: the outbound table of a port; `http_proxy`; `any`: requests addressed to the outbound port itself;
    `inbound|9080||`: an inbound port; a Gateway's `http.8080`; `allow_any`: outbound ports nobody declared."""
    clusters: Mapping[str, Cluster]
    outbound_ports: Mapping[int, str] = field(default_factory=dict)
    """Service port → protocol (http, tcp, auto) for captured outbound connections; absent: unknown traffic."""
    inbound_ports: Mapping[int, str] = field(default_factory=dict)
    """Workload port → protocol for captured inbound connections; absent: InboundPassthroughCluster."""
    tcp_routes: Mapping[tuple[str, int], TcpRoutes] = field(default_factory=dict)
    """(destination address, port) → routes for captured TCP; ("", port) for any address."""
    tcp_subnets: Mapping[int, tuple[tuple[Subnet, TcpRoutes], ...]] = field(default_factory=dict)
    """Port → destination subnets, the longest first, with routes of their own."""
    allow_any: bool = True
    """outboundTrafficPolicy ALLOW_ANY: unknown destinations pass through."""
    unknown_cluster: str = ""
    """Where captured connections go that no route knows and that are not HTTP; empty: as `allow_any` says."""
    telemetry: Telemetry = Telemetry()
    version: str = ""
    """Digest of the documents it came from."""
    documents: tuple[Mapping[str, object], ...] = ()
    """The documents as loaded, for /config_dump."""
    port_tables: Mapping[int, RouteTable] = field(default_factory=dict)
    """The outbound tables of `route_tables` once more, by the number of their port."""
    address_protocols: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """(service address, port) → protocol, where it differs from `outbound_ports`."""
    tcp_names: Mapping[int, TcpRoutes] = field(default_factory=dict)
    """Port → services by the host of a CONNECT."""
    detection_timeout: float = 0.0
    """Seconds until a client that says nothing counts as one of TCP, where the first bytes decide; 0: never."""
    authorization: Authorization | None = None
    """AuthorizationPolicy documents that hold for requests into this workload; None: there are none."""
    mesh_tls: MeshTls = MeshTls()
    inbound_mtls: Mapping[int, MtlsMode] = field(default_factory=dict)
    """Workload port → what the inbound capture port takes for it, where that is not `inbound_mtls_default`."""
    inbound_mtls_default: MtlsMode = MtlsMode.PERMISSIVE
    token_rules: tuple[TokenRule, ...] = ()
    """RequestAuthentication for this workload."""

    def outbound_table(self, port: int | None, host: bytes) -> VirtualHost | None:
        """The virtual host for a request whose URL or Host may name a port; `host` is lower case, without port.

        The table of that port if it names the host; else the host in `any`: there a service answers as on port 80, or
        as on its first HTTP port when it has no 80. Costs two dict look-ups, however many services there are.
        """
        if port is not None:
            table = self.port_tables.get(port)
            if table is not None:
                found = table.named(host)
                if found is not None:
                    return found
        return self.route_tables["any"].virtual_host_for(host)

    authorizers: Mapping[str, ExtAuthz] = field(default_factory=dict)
    """External ones, by the names that rules of `authorization` have for them."""

    @property
    def guarded(self) -> bool:
        """Whether requests into this workload pass the gate at all."""
        return self.authorization is not None or bool(self.token_rules)

    def inbound_table(self, captured: int | None, named: int | None, host: bytes) -> VirtualHost | None:
        """The virtual host for a request to the inbound port: by its original port, or, called by name, by Host's.

        A request that names no port of the workload's goes to the lowest one. One that was on its way to a port that
        nobody declared goes on to it, and only such a one: a stranger's Host must not choose a destination from here.
        """
        for port in (captured, named):
            table = self.route_tables.get(f"inbound|{port}||") if port is not None else None
            if table is not None:
                return table.virtual_host_for(host)
        if captured is not None:
            table = self.route_tables.get(INBOUND_PASSTHROUGH_CLUSTER)
            return table.virtual_host_for(host) if table is not None else None
        for port in sorted(self.inbound_ports):
            table = self.route_tables.get(f"inbound|{port}||")
            if table is not None:  # a port that carries no HTTP has none
                return table.virtual_host_for(host)
        return None

    def inbound_mode(self, port: int | None) -> MtlsMode:
        """What the inbound capture port takes on a connection to a workload's port.

        None is one that was not redirected: until its requests name a port, it may be for any of the workload's.
        """
        if port is not None:
            return self.inbound_mtls.get(port, self.inbound_mtls_default)
        found: MtlsMode | None = None
        for each in self.inbound_ports:
            mode = self.inbound_mtls.get(each, self.inbound_mtls_default)
            if found is not None and mode is not found:
                return MtlsMode.PERMISSIVE
            found = mode
        return self.inbound_mtls_default if found is None else found

    def takes_plaintext(self, captured: int | None, named: int | None) -> bool:
        """Whether a request to the inbound port may come without TLS: to the port that `inbound_table` finds for it.

        Asked of each, as a connection may be older than the documents, or its requests for several ports.
        """
        if not self.inbound_mtls:
            return self.inbound_mtls_default is not _STRICT
        candidates = (captured, named) if captured is not None else (named, *sorted(self.inbound_ports))
        found = next((port for port in candidates if f"inbound|{port}||" in self.route_tables), None)
        asked = (port for port in (captured, found) if port is not None)
        return all(self.inbound_mtls.get(port, self.inbound_mtls_default) is not _STRICT for port in asked)

    def outbound_protocol(self, address: str, port: int) -> str:
        """What a captured connection to an address carries: http, tcp, auto; empty: nobody declared the port."""
        return self.address_protocols.get((address, port)) or self.outbound_ports.get(port, "")

    def tcp_place(self, address: str, port: int) -> TcpRoutes | None:
        """The routes for a captured connection to an address; None: unknown. Its own, its subnet's, the port's."""
        found = self.tcp_routes.get((address, port))
        if found is not None:
            return found
        subnets = self.tcp_subnets.get(port)
        if subnets is not None:
            destination = ip_address(address)
            for subnet, routes in subnets:
                if destination in subnet:
                    return routes
        return self.tcp_routes.get(("", port))

    def tcp_route(self, address: str, port: int, name: str = "") -> TcpRoute | None:
        """The route for a captured connection that is not HTTP; None: unknown. `name` is its SNI in lower case."""
        routes = self.tcp_place(address, port)
        return routes.find(name) if routes is not None else None

    @property
    def unknown_route(self) -> TcpRoute:
        """The route for captured connections that `tcp_route` does not know."""
        return route_to(self.unknown_cluster or (PASSTHROUGH_CLUSTER if self.allow_any else BLACKHOLE_CLUSTER))

    def connect_route(self, name: str, port: int) -> TcpRoute | None:
        """The route for CONNECT to a service, by name in lower case; None: unknown."""
        routes = self.tcp_names.get(port)
        return routes.find(name) if routes is not None else None


PASSTHROUGH_CLUSTER = "PassthroughCluster"
BLACKHOLE_CLUSTER = "BlackHoleCluster"
INBOUND_PASSTHROUGH_CLUSTER = "InboundPassthroughCluster"
