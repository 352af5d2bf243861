"""Where connections go that are not HTTP: by server name, and of several clusters by weight."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from pyproxy.policy.weights import choose_weighted

IDLE_TIMEOUT: Final = 3600.0
"""Seconds that Envoy's TCP proxy lets both sides be silent when nobody says."""


@dataclass(frozen=True, slots=True)
class TcpRoute:
    """One TCP proxy of Envoy's: its clusters and how it keeps connections. Seconds; 0 is none."""

    name: str
    """Envoy's `stat_prefix`: the cluster, or the VirtualService that divides connections among several."""
    clusters: tuple[tuple[str, int], ...]
    """With their weights, which say nothing where there is one cluster."""
    idle_timeout: float = IDLE_TIMEOUT
    max_duration: float = 0.0
    tunnel: str = ""
    """`host:port` to ask for with CONNECT, since the clusters are HTTP proxies; empty: they are where it ends."""
    by_source: bool = False
    """The client's address is what the balancer hashes."""
    cumulative: tuple[int, ...] = ()
    """Running sums of the weights of several clusters."""

    def choose(self, rng: random.Random) -> str:
        """The cluster for a new connection."""
        if not self.cumulative:
            return self.clusters[0][0]
        return self.clusters[choose_weighted(self.cumulative, rng)][0]


@dataclass(frozen=True, slots=True)
class TcpRoutes:
    """The routes of one place, by server name as Envoy looks one up. Names are lower case."""

    exact: Mapping[str, TcpRoute] = field(default_factory=dict)
    suffixes: Mapping[str, TcpRoute] = field(default_factory=dict)
    """`*.foo.com` under `.foo.com`."""
    default: TcpRoute | None = None
    """For all other names, and for connections that name nobody."""

    @property
    def by_name(self) -> bool:
        """Whether the server name has to be known."""
        return bool(self.exact or self.suffixes)

    def find(self, name: str) -> TcpRoute | None:
        """Exact, then the longest suffix, then the default. Source: Envoy filter_chain_manager_impl.cc."""
        found = self.exact.get(name)
        dot = name.find(".", 1)
        while found is None and dot > 0:
            found = self.suffixes.get(name[dot:])
            dot = name.find(".", dot + 1)
        return found or self.default

    def all(self) -> Iterable[tuple[str, TcpRoute]]:
        """Names, with `*.` before suffixes, and what they lead to; the default under `*`."""
        yield from self.exact.items()
        yield from ((f"*{suffix}", route) for suffix, route in self.suffixes.items())
        if self.default is not None:
            yield "*", self.default


def route_to(cluster: str) -> TcpRoute:
    """Everything to one cluster."""
    return TcpRoute(cluster, ((cluster, 1),))


def divided(name: str, clusters: Sequence[tuple[str, int]]) -> TcpRoute:
    """To several by weight, under a name of its own; none of weight 0, and the weight of a single one says nothing."""
    if len(clusters) == 1:
        return route_to(clusters[0][0])
    chosen = tuple(each for each in clusters if each[1]) or (("", 1),)
    sums = tuple(accumulate(weight for _, weight in chosen))
    return TcpRoute(name, chosen, cumulative=sums if len(chosen) > 1 else ())


def routes_by_name(found: Mapping[str, TcpRoute]) -> TcpRoutes:
    """From names, wildcards among them; `*` and nothing stand for all others."""
    exact, suffixes = {}, {}
    for name, route in found.items():
        if name.startswith("*."):
            suffixes[name[1:]] = route
        elif name not in ("", "*"):
            exact[name] = route
    return TcpRoutes(exact, suffixes, found.get("", found.get("*")))
