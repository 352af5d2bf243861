"""What a sidecar serves outbound: a route table for each HTTP port, and one for requests that name no port.

Source: Istio pilot/pkg/networking/core/httproute.go, pilot/pkg/networking/core/route/route.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pyproxy.snapshot.attachment import HTTP_PORT, Attachment
from pyproxy.snapshot.clusters import cluster_name
from pyproxy.snapshot.domains import TableBuilder, domains_of, host_domain
from pyproxy.snapshot.hosts import MESH
from pyproxy.snapshot.model import (
    BLACKHOLE_CLUSTER,
    PASSTHROUGH_CLUSTER,
    Destination,
    DirectResponse,
    Forward,
    Route,
    RouteTable,
    VirtualHost,
)
from pyproxy.snapshot.routes import Place, Routes
from pyproxy.snapshot.services import GRPC_WEB, Service
from pyproxy.snapshot.sidecars import Scope

ANY, HTTP_PROXY, ALLOW_ANY = "any", "http_proxy", "allow_any"


def catch_all(scope: Scope) -> VirtualHost:
    """The virtual host of requests to hosts that nobody names: on to where they were going, or 502."""
    if not scope.allow_any:
        refuse = Route("block_all", None, DirectResponse(502), description="everything")
        return VirtualHost("block_all", ("*",), (refuse,))
    forward = Forward((Destination(unknown_cluster(scope)),))
    on = Route("allow_any", None, forward, matched_prefix=b"/", description="everything")
    return VirtualHost("allow_any", ("*",), (on,))


def unknown_cluster(scope: Scope) -> str:
    """Where traffic goes that nobody names: nowhere, to the Sidecar's egressProxy, or on to where it was going."""
    proxy = scope.egress_proxy
    if not scope.allow_any:
        return BLACKHOLE_CLUSTER
    if proxy is None:
        return PASSTHROUGH_CLUSTER
    return cluster_name((proxy.port and proxy.port.number) or 0, proxy.subset or "", proxy.host.lower())


class OutboundTables:
    """Compiles the outbound tables of one sidecar."""

    def __init__(self, scope: Scope, routes: Routes, namespace: str, domain: str) -> None:
        self._scope = scope
        self._routes = routes
        self._namespace = namespace
        self._domain = domain
        self._default = catch_all(scope)
        self._domains: dict[str, tuple[list[str], list[str]]] = {}

    def compile(self) -> tuple[dict[str, RouteTable], dict[int, RouteTable]]:
        """All tables by name, and those of ports once more by number."""
        ports: dict[int, RouteTable] = {}
        merged: dict[str, RouteTable] = {}
        for egress in self._scope.egress:
            attachment = Attachment(egress)
            if egress.port is None:
                for port in _http_ports(egress.services):
                    if port not in ports:
                        ports[port] = self._table(attachment, port)
            elif egress.names_no_port:
                name = str(egress.port or egress.listener.bind or "")
                inner = {port: self._table(attachment, port) for port in _http_ports(egress.services)}
                merged[name] = self._merged(name, egress.services, inner)
            elif egress.port not in ports:
                ports[egress.port] = self._table(attachment, egress.port)
        any_table = self._merged(ANY, self._unnamed_services(), ports)
        tables = {str(port): table for port, table in ports.items()} | merged
        tables[ALLOW_ANY] = RouteTable(ALLOW_ANY, {}, default=self._default)
        tables |= {ANY: any_table, HTTP_PROXY: replace(any_table, name=HTTP_PROXY)}
        return tables, ports

    def _unnamed_services(self) -> Iterable[Service]:
        """What a request without a port may reach: what the listener without a port imports, if there is one."""
        last = self._scope.egress[-1]
        return last.services if last.port is None else self._scope.services.values()

    # One port

    def _table(self, attachment: Attachment, port: int) -> RouteTable:
        """Virtual hosts with rules first, in the order of the rules; then the services that none is for."""
        services = attachment.by_port.get(port, {})
        left = {host: service for host, service in services.items() if _serves_http(service, port)}
        table = TableBuilder(left)
        for attached in attachment.on_port(port):
            chosen = [service for service in attached.services if _serves_http(service, port)]
            if not chosen and port != HTTP_PORT:
                continue
            routes = self._routes.compile(attached.rules, Place(port, MESH))
            if not routes:
                continue
            for host in attached.hosts:
                self._add_host(table, host, port, routes)
            for service in chosen:
                left.pop(service.host, None)
                self._add_service(table, service, port, routes)
        for service in left.values():
            number = service.port(port)
            if number is not None:
                self._add_service(table, service, port, (self._routes.default(service, number),))
        return table.build(str(port), self._default)

    def _add_host(self, table: TableBuilder, host: str, port: int, routes: tuple[Route, ...]) -> None:
        name = f"{host}:{port}"
        domains = table.free(name, (host_domain(host),))
        if domains:
            table.add(VirtualHost(name, domains, routes))

    def _add_service(self, table: TableBuilder, service: Service, port: int, routes: tuple[Route, ...]) -> None:
        name = f"{service.host}:{port}"
        known = self._domains.get(service.host)
        if known is None:
            known = self._domains[service.host] = domains_of(service, self._namespace, self._domain)
        domains = table.free(name, *known)
        if domains:
            number = service.port(port)
            web = number is not None and number.protocol == GRPC_WEB
            table.add(VirtualHost(name, domains, routes, service.name, grpc_web=web))

    # No port

    def _merged(self, name: str, services: Iterable[Service], ports: Mapping[int, RouteTable]) -> RouteTable:
        """Every service as on port 80, or else on its first HTTP port; then the hosts that only rules name."""
        table = TableBuilder()
        for service in services:
            host = _virtual_host(service, ports)
            if host is not None:
                table.add(host)
        by_rule = ports.get(HTTP_PORT)
        if by_rule is not None:
            for host in (*by_rule.exact.values(), *by_rule.suffixes.values()):
                table.add(host)
        return table.build(name, self._default)


def _http_ports(services: Iterable[Service]) -> Iterator[int]:
    """The ports with HTTP services, and always 80, for hosts that only rules name."""
    found = {HTTP_PORT: None}
    for service in services:
        for port in service.ports:
            if port.http:
                found[port.number] = None
    yield from found


def _serves_http(service: Service, number: int) -> bool:
    port = service.port(number)
    return port is not None and port.http


def _virtual_host(service: Service, ports: Mapping[int, RouteTable]) -> VirtualHost | None:
    """The service's own virtual host on port 80, or else on its first HTTP port; None when another has its name."""
    numbers = [port.number for port in service.ports if port.http]
    for number in sorted(numbers, key=lambda each: each != HTTP_PORT):
        table = ports.get(number)
        host = table and table.named(service.host.encode())
        if host and host.name == f"{service.host}:{number}":
            return host
    return None
