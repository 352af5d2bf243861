"""Which servers a gateway runs: those of the Gateway documents that select it, as far as they can share ports.

Source: Istio pilot/pkg/model/gateway.go (mergeGateways).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pyproxy.core.tls import ServerTlsMode
from pyproxy.istio.networking.gateway import Gateway, Server
from pyproxy.istio.resources import Document
from pyproxy.snapshot.model import Identity
from pyproxy.snapshot.server_tls import PASSING, mode_of
from pyproxy.snapshot.services import HTTP_PROTOCOLS, TLS_PROTOCOLS, parse_protocol


@dataclass(frozen=True, slots=True)
class GatewayServer:
    """One server of a Gateway document that selects this proxy."""

    document: Document
    index: int
    """Which of the document's servers it is."""
    server: Server
    port: int
    """The port to bind; that of the Gateway's Service may be another."""

    @property
    def gateway(self) -> str:
        """`namespace/name`."""
        return f"{self.document.namespace}/{self.document.name}"

    @property
    def protocol(self) -> str:
        """In lower case."""
        return parse_protocol(self.server.port.protocol)

    @property
    def bind(self) -> str:
        """The address; empty for all."""
        return self.server.bind or ""

    @property
    def kind(self) -> str:
        """What shares a port with it: `http`, `tls` (told apart by SNI) or `tcp`."""
        if self.protocol in HTTP_PROTOCOLS:
            return "http"
        return "tls" if self.server.tls is not None else "tcp"

    @property
    def mode(self) -> ServerTlsMode | None:
        """What it does with TLS; None for plaintext."""
        return mode_of(self.server.tls) if self.kind == "tls" and self.server.tls is not None else None

    @property
    def http(self) -> bool:
        """Whether it answers requests: HTTP, or HTTPS that ends here."""
        return self.kind == "http" or (self.protocol == "https" and self.mode not in (None, *PASSING))

    @property
    def table(self) -> str:
        """The name of its route table: shared by the plain ones of an address and port, its own for HTTPS."""
        if self.kind == "http":
            return f"http.{self.port}.{self.bind}" if self.bind else f"http.{self.port}"
        port, document = self.server.port, self.document
        return f"https.{port.number}.{port.name}.{document.name}.{document.namespace}"

    @property
    def redirects(self) -> bool:
        """Whether every request goes to https."""
        return bool(self.server.tls and self.server.tls.https_redirect)

    @property
    def hosts(self) -> list[str]:
        """The server's hosts, without the namespaces whose VirtualServices they are for."""
        return [host.lower().rpartition("/")[2] for host in self.server.hosts]

    @property
    def scoped_hosts(self) -> list[str]:
        """The server's hosts with the namespace that each is for, where it is not for all."""
        found = []
        for host in self.server.hosts:
            owner, slash, name = host.lower().rpartition("/")
            owner = self.document.namespace if owner == "." else owner
            found.append(f"{owner}/{name}" if slash and owner != "*" else name)
        return found

    def hosts_for(self, namespace: str) -> list[str]:
        """The server's hosts for VirtualServices of a namespace."""
        scoped = [host.rpartition("/") for host in self.scoped_hosts]
        return [name for owner, _, name in scoped if owner in ("", namespace)]


def gateway_servers(
    documents: Iterable[Document], identity: Identity, target_ports: Mapping[int, int]
) -> tuple[list[GatewayServer], list[tuple[Document, int, str]]]:
    """The servers to run, the oldest Gateway first; and those left out: document, index and reason.

    On one port HTTP servers live together, and so do those with TLS that differ in their hosts; nothing else does.
    """
    kept: list[GatewayServer] = []
    left: list[tuple[Document, int, str]] = []
    taken = _Taken()
    for document in documents:
        spec = document.spec
        if not isinstance(spec, Gateway) or any(identity.labels.get(k) != v for k, v in spec.selector.items()):
            continue
        for index, server in enumerate(spec.servers):
            number = server.port.number
            found = GatewayServer(document, index, server, target_ports.get(number, number))
            reason = taken.refusal(found)
            if reason:
                left.append((document, index, reason))
            else:
                kept.append(found)
    return kept, left


@dataclass(slots=True)
class _Taken:
    """What earlier servers have."""

    kinds: dict[tuple[str, int], str] = field(default_factory=dict)
    names: dict[tuple[int, str], str] = field(default_factory=dict)
    """Port and host of a server with TLS → its address."""

    def refusal(self, found: GatewayServer) -> str:
        """Why a server cannot run; empty when it can. Notes what it takes."""
        if found.protocol in TLS_PROTOCOLS and found.server.tls is None:
            return f"protocol {found.server.port.protocol} needs tls"
        twice = self._names_twice(found)
        if twice:
            return f"port {found.port} already has a server for {', '.join(twice)}"
        key = (found.bind, found.port)
        if key in self.kinds and (found.kind == "tcp" or self.kinds[key] != found.kind):
            return f"port {found.port} already belongs to another server"
        self.kinds[key] = found.kind
        return ""

    def _names_twice(self, found: GatewayServer) -> list[str]:
        """Envoy takes no two chains for one server name."""
        twice = []
        for host in found.scoped_hosts if found.server.tls is not None else ():
            if self.names.get((found.port, host)) == found.bind:
                twice.append(host)
            else:
                self.names[found.port, host] = found.bind
        return twice
