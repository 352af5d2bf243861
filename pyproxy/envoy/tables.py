"""Which names lead to which virtual host, table by table, as Envoy's domains say it.

A port in a request's host does not count where the listener knows the port: by the connection's own destination, or
because it serves one port only. Where requests are addressed to the proxy itself it does: there every table of a port
is merged into one, under names with ports (docs/decisions/0006).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

from pyproxy.snapshot.model import (
    PASSTHROUGH_CLUSTER,
    ListenerKind,
    RouteTable,
    Snapshot,
    VirtualHost,
)
from pyproxy.snapshot.tables import ANY, HTTP_PROXY
from pyproxy.snapshot.tcp_routes import TcpRoute, TcpRoutes, route_to

INBOUND = ListenerKind.INBOUND_CAPTURE.value
"""The table for requests to the inbound port itself; the snapshot has none of that name."""
INBOUND_PLAIN = f"{INBOUND};plaintext"
"""The same for those who come without TLS, where some ports take none such."""
BLOCKED = route_to("")
"""In the place of a route: CONNECT is answered with 502."""


@dataclass(frozen=True, slots=True)
class Table:
    """Domains, `*.foo.com`, `foo:*` and `*` among them, and what they lead to."""

    name: str
    domains: Mapping[str, VirtualHost]
    names_ports: bool = False
    tunnels: Mapping[str, TcpRoute] = field(default_factory=dict)
    """Domain → where CONNECT leads, or BLOCKED; empty where CONNECT is not served."""

    def grouped(self) -> Iterator[tuple[VirtualHost, TcpRoute | None, list[str]]]:
        """Virtual hosts, where CONNECT leads from there, and all the names of both together."""
        groups: dict[tuple[int, TcpRoute | None], tuple[VirtualHost, TcpRoute | None, list[str]]] = {}
        for domain, host in self.domains.items():
            tunnel = self.tunnels.get(domain)
            groups.setdefault((id(host), tunnel), (host, tunnel, []))[2].append(domain)
        yield from groups.values()


def tables_of(snapshot: Snapshot) -> dict[str, Table]:
    """Every table of the snapshot, with ports and CONNECT where they count; and one for the inbound port itself."""
    tables = {name: plain_table(table) for name, table in snapshot.route_tables.items()}
    if ANY in tables:
        addressed = _addressed(snapshot)
        tables[ANY] = Table(ANY, addressed, names_ports=True)
        tables[HTTP_PROXY] = _with_tunnels(snapshot, addressed)
        tables[INBOUND] = inbound_table(snapshot)
        if plaintext_finds_less(snapshot):
            tables[INBOUND_PLAIN] = inbound_table(snapshot, plain=True)
    return tables


def plain_table(table: RouteTable) -> Table:
    """One table as it is looked up in, where ports do not count: quick, however large it is."""
    return Table(table.name, _domains(table))


def inbound_table(snapshot: Snapshot, *, plain: bool = False) -> Table:
    """What a request to the inbound port itself finds; `plain`: one that came without TLS."""
    domains = _inbound(snapshot)
    if plain:
        domains = {domain: host for domain, host in domains.items() if snapshot.takes_plaintext(None, _port(domain))}
    return Table(INBOUND_PLAIN if plain else INBOUND, domains, names_ports=True)


def plaintext_finds_less(snapshot: Snapshot) -> bool:
    """Whether some port of the workload takes mutual TLS alone."""
    return any(not snapshot.takes_plaintext(None, port) for port in snapshot.inbound_ports)


def _port(domain: str) -> int | None:
    port = domain.rpartition(":")[2]
    return int(port) if port.isdigit() else None


def _domains(table: RouteTable) -> dict[str, VirtualHost]:
    """What the table itself looks up: a virtual host may list names that belong to another."""
    domains = {name.decode(): host for name, host in table.exact.items()}
    domains |= {f"*{suffix.decode()}": host for suffix, host in table.suffixes.items()}
    return domains | ({} if table.default is None else {"*": table.default})


def _addressed(snapshot: Snapshot) -> dict[str, VirtualHost]:
    """`Snapshot.outbound_table` as domains: the table of the port that the host names, or else the merged one.

    What Envoy has no domain for is a wildcard with a port that nobody declared: such a host counts as unknown.
    """
    merged = snapshot.route_tables[ANY]
    domains: dict[str, VirtualHost] = {}
    for port, table in snapshot.port_tables.items():
        domains |= {f"{name.decode()}:{port}": host for name, host in table.exact.items()}
        domains |= {f"*{suffix.decode()}:{port}": host for suffix, host in table.suffixes.items()}
    for name, host in merged.exact.items():
        domains |= {name.decode(): host, f"{name.decode()}:*": host}
    for suffix, host in merged.suffixes.items():
        domains[f"*{suffix.decode()}"] = host
        for port in snapshot.port_tables:
            domains.setdefault(f"*{suffix.decode()}:{port}", host)
    for name in merged.exact:
        if any(name[-length:] in merged.suffixes for length in merged.suffix_lengths):
            for port, table in snapshot.port_tables.items():  # else the wildcard with that port would come first
                domains.setdefault(f"{name.decode()}:{port}", table.named(name) or merged.exact[name])
    return domains | ({} if merged.default is None else {"*": merged.default})


def _with_tunnels(snapshot: Snapshot, addressed: Mapping[str, VirtualHost]) -> Table:
    """The same with CONNECT, whose target always names a port: to a TCP service of that name, else to an HTTP one."""
    unknown = route_to(PASSTHROUGH_CLUSTER) if snapshot.allow_any else BLOCKED
    domains = dict(addressed)
    default = domains.pop("*", None)
    for port, routes in snapshot.tcp_names.items():
        for domain, _ in routes.all():
            plain = addressed.get(domain) or addressed.get(f"{domain}:*") or default
            if plain is not None:
                domains.setdefault(f"{domain}:{port}", plain)
    tunnels = {domain: _tunnel(snapshot, domain, host) or unknown for domain, host in domains.items()}
    if default is not None:
        domains["*"], tunnels["*"] = default, unknown
    return Table(HTTP_PROXY, domains, names_ports=True, tunnels=tunnels)


def _tunnel(snapshot: Snapshot, domain: str, host: VirtualHost) -> TcpRoute | None:
    name, _, port = domain.rpartition(":")
    if not name or not port.isdigit():
        return None
    found = snapshot.connect_route(name, int(port))
    if found is None and host.service is not None:
        found = route_to(f"outbound|{port}||{host.service.host}")
        return found if found.name in snapshot.clusters else None
    return found


def _inbound(snapshot: Snapshot) -> dict[str, VirtualHost]:
    """`Snapshot.inbound_table` as domains: the port that the host names, else the lowest; else nothing."""
    found: dict[str, VirtualHost] = {}
    for name, table in snapshot.route_tables.items():
        if name.startswith("inbound|") and table.default is not None:
            found[f"*:{name.split('|')[1]}"] = table.default
    lowest = next((domain for port in sorted(snapshot.inbound_ports) if (domain := f"*:{port}") in found), None)
    return found if lowest is None else found | {"*": found[lowest]}


def names_by_route(routes: TcpRoutes, names: Container[str] | None = None) -> Iterator[tuple[TcpRoute, list[str]]]:
    """Routes, each with the server names that lead to it; of a Gateway's server those that are its own."""
    found: dict[TcpRoute, list[str]] = {}
    for name, route in routes.all():
        if names is None or name in names:
            found.setdefault(route, []).append(name)
    yield from found.items()
