"""Where TLS connections to a gateway go that it does not answer itself: by port and server name.

Source: Istio pilot/pkg/networking/core/gateway.go (createGatewayTCPFilterChainOpts, builtAutoPassthroughFilterChains).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pyproxy.snapshot.connections import weighted
from pyproxy.snapshot.domains import TableBuilder
from pyproxy.snapshot.hosts import covers
from pyproxy.snapshot.model import Cluster, Forward, Route, RouteTable, VirtualHost
from pyproxy.snapshot.tls import cluster_sni


class ServerNames:
    """Collects them, port by port. The first of two for one name holds."""

    def __init__(self) -> None:
        self._forwards: dict[int, dict[str, Forward]] = {}
        self.clusters: dict[str, Cluster] = {}
        """Twins of clusters that mutual TLS passes on to as it came, under the server name that leads to each."""

    def knows(self, port: int, names: Iterable[str]) -> bool:
        """Whether one of the names is taken."""
        return any(name in self._forwards.get(port, ()) for name in names)

    def add(self, port: int, names: Iterable[str], forward: Forward) -> None:
        """Lead these names to a destination."""
        for name in names:
            self._forwards.setdefault(port, {}).setdefault(name, forward)

    def pass_on(self, port: int, hosts: Sequence[str], clusters: Iterable[Cluster]) -> tuple[str, ...]:
        """AUTO_PASSTHROUGH: Istio's own server names of every cluster of the services that the hosts cover."""
        found = []
        for cluster in clusters:
            host = cluster.name.rpartition("|")[2]
            if cluster.service is None or cluster.mesh_external or not any(covers(each, host) for each in hosts):
                continue
            name = cluster_sni(cluster.port, cluster.subset, host)
            able = tuple(each for each in cluster.endpoints if each.mutual_tls)
            self.clusters[name] = replace(cluster, name=name, endpoints=able, tls=None)
            self.add(port, [name], weighted([(name, 1)]))
            found.append(name)
        return tuple(found)

    def nameless(self) -> dict[tuple[str, int], str]:
        """Where a client goes that names nobody: with a server for `*`, where that leads."""
        found = {port: forwards.get("*") for port, forwards in self._forwards.items()}
        return {("", port): to.destinations[0].cluster for port, to in found.items() if to is not None}

    def tables(self) -> dict[int, RouteTable]:
        """One for each port."""
        return {port: _table(port, forwards) for port, forwards in self._forwards.items()}


def _table(port: int, forwards: Mapping[str, Forward]) -> RouteTable:
    table = TableBuilder()
    for name, forward in forwards.items():
        route = Route("", None, forward, description="everything")
        table.add(VirtualHost(f"{name}:{port}", (name,), (route,)))
    return table.build(f"tcp:{port}", None)
