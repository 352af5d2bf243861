"""Istio's long names as people say them: `outbound|9080|v1|reviews.default.svc.cluster.local` is reviews v1."""

from __future__ import annotations

from typing import NamedTuple

_HOME = ".default.svc.cluster.local"
_LOCAL = ".svc.cluster.local"


class Target(NamedTuple):
    """What the name of a cluster says."""

    direction: str
    """`outbound`, `inbound`, or empty for a cluster that has no such name."""
    port: int
    subset: str
    service: str
    """Short."""

    @property
    def title(self) -> str:
        """`reviews v1`; with the port of what is no service of the mesh."""
        return f"{self.service} {self.subset}".strip()


def target_of(cluster: str) -> Target:
    """Istio's `direction|port|subset|host`; anything else is its own title."""
    parts = cluster.split("|")
    if len(parts) != 4 or not parts[1].isdigit():
        return Target("", 0, "", cluster)
    direction, port, subset, host = parts
    return Target(direction, int(port), subset, short(host) if host else f"port {port}")


def short(host: str) -> str:
    """`reviews` for a service of namespace default, `reviews.shop` for another's, the whole of any other host."""
    return host.removesuffix(_HOME).removesuffix(_LOCAL)
