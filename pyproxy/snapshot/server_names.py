"""Where TLS connections to a gateway go that it does not answer itself: by port and server name.

Source: Istio pilot/pkg/networking/core/gateway.go (createGatewayTCPFilterChainOpts, builtAutoPassthroughFilterChains).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pyproxy.snapshot.hosts import covers
from pyproxy.snapshot.model import Cluster
from pyproxy.snapshot.tcp_routes import TcpRoute, TcpRoutes, route_to, routes_by_name
from pyproxy.snapshot.tls import cluster_sni


class ServerNames:
    """Collects them, port by port. The first of two for one name holds."""

    def __init__(self) -> None:
        self._found: dict[int, dict[str, TcpRoute]] = {}
        self.clusters: dict[str, Cluster] = {}
        """Twins of clusters that mutual TLS passes on to as it came, under the server name that leads to each."""

    def knows(self, port: int, names: Iterable[str]) -> bool:
        """Whether one of the names is taken."""
        return any(name in self._found.get(port, ()) for name in names)

    def add(self, port: int, names: Iterable[str], route: TcpRoute) -> None:
        """Lead these names to a destination."""
        for name in names:
            self._found.setdefault(port, {}).setdefault(name, route)

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
            self.add(port, [name], route_to(name))
            found.append(name)
        return tuple(found)

    def routes(self, port: int) -> TcpRoutes:
        """Of one port, all that was added so far."""
        return routes_by_name(self._found.get(port, {}))
