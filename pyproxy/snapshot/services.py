"""A service as the registry knows it: host, ports with their protocols, endpoints per port.

Source: Istio pkg/config/kube/conversion.go and pkg/config/protocol/instance.go for the protocol of a port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from pyproxy.snapshot.model import Endpoint, ServiceName

AUTO = "auto"
"""A port whose protocol is told from its first bytes."""
GRPC_WEB = "grpc-web"
HTTP2_PROTOCOLS = frozenset({"http2", "grpc", GRPC_WEB})
HTTP_PROTOCOLS = HTTP2_PROTOCOLS | {"http", "http_proxy"}
TLS_PROTOCOLS = frozenset({"https", "tls"})
_KNOWN = HTTP_PROTOCOLS | TLS_PROTOCOLS | {"tcp", "udp", "mongo", "redis", "mysql"}
_APP_PROTOCOLS = {"kubernetes.io/h2c": "http2", "kubernetes.io/ws": "http", "kubernetes.io/wss": "https"}
_ALWAYS_TCP = frozenset({25, 53, 3306, 27017})  # servers that speak first: nothing to sniff


def parse_protocol(word: str | None) -> str:
    """The protocol that a word names, in lower case; `auto` for no word or an unknown one."""
    lower = (word or "").lower()
    return lower if lower in _KNOWN else AUTO


def kubernetes_protocol(port: int, name: str | None, transport: str | None, app_protocol: str | None) -> str:
    """The protocol of a Kubernetes port: its appProtocol, else its name up to the first dash, else `auto`."""
    if transport == "UDP":
        return "udp"
    word = (app_protocol if app_protocol is not None else name) or ""
    if app_protocol in _APP_PROTOCOLS:
        return _APP_PROTOCOLS[app_protocol]
    if word.lower().startswith(GRPC_WEB):
        return GRPC_WEB
    found = parse_protocol(word.partition("-")[0])
    return "tcp" if found == AUTO and port in _ALWAYS_TCP else found


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a service."""

    number: int
    name: str = ""
    protocol: str = AUTO
    target: int | None = None
    """The port of the endpoints; None: the same number. With resolution NONE it replaces the client's port."""

    @property
    def http(self) -> bool:
        """HTTP, or perhaps HTTP."""
        return self.kind != "tcp"

    @property
    def kind(self) -> str:
        """What a listener makes of it: http, tcp or auto."""
        return "http" if self.protocol in HTTP_PROTOCOLS else AUTO if self.protocol == AUTO else "tcp"

    @property
    def udp(self) -> bool:
        """Not ours at all."""
        return self.protocol == "udp"


class Resolution(Enum):
    """How the endpoints of a service become addresses."""

    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"
    NONE = "NONE"
    """Where the client was going; of a Kubernetes service: headless."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service and its endpoints."""

    host: str
    """Lower case; may be a wildcard."""
    namespace: str
    name: ServiceName
    ports: tuple[ServicePort, ...]
    resolution: Resolution = Resolution.STATIC
    addresses: tuple[str, ...] = ()
    """Virtual addresses and, of a ServiceEntry, networks in CIDR form."""
    kubernetes: bool = False
    external: bool = False
    export_to: frozenset[str] = frozenset({"*"})
    endpoints: Mapping[int, tuple[Endpoint, ...]] = field(default_factory=dict)
    """By the number of the service's port."""
    aliases: tuple[str, ...] = ()
    """Hosts of ExternalName services that stand for this one."""
    selector: Mapping[str, str] | None = None
    """The labels of the workloads behind it; None or empty: it selects none."""
    subject_alt_names: tuple[str, ...] = ()
    """Names, beside its endpoints' accounts, that its certificates may carry."""
    traffic_distribution: str = ""
    """`zone` or `node` when endpoints near the client are preferred."""

    @property
    def headless(self) -> bool:
        """A Kubernetes service without an address of its own."""
        return self.kubernetes and self.resolution is Resolution.NONE

    def port(self, number: int) -> ServicePort | None:
        """The port of that number."""
        for port in self.ports:
            if port.number == number:
                return port
        return None

    def visible_to(self, namespace: str) -> bool:
        """Whether proxies of a namespace may know it."""
        return visible(self.export_to, self.namespace, namespace)


def visible(export_to: frozenset[str], owner: str, namespace: str) -> bool:
    """Whether what `owner` exports is seen by `namespace`; `~` hides it from all but does not undo `*`."""
    if "*" in export_to:
        return True
    if "~" in export_to:
        return False
    return namespace in export_to or ("." in export_to and owner == namespace)
