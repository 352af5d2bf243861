"""What a balancer may ask of a host, and what everyone may ask of a balancer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar


class Host(Protocol):
    """One address behind a cluster. Compared by identity; its owner changes it, a balancer only reads."""

    key: str
    """`ip:port`, or what is hashed in its place."""
    weight: int
    """A host of weight 0 is never chosen."""
    active: int
    """Requests in flight."""
    healthy: bool
    """False while ejected."""
    healthy_since: float
    """When it joined: its slow start counts from here. Coming back from ejection does not change it."""
    priority: int
    locality: str
    """`region/zone/subzone`, shorter or empty."""


HostT = TypeVar("HostT", bound=Host)


class Balancer(Protocol[HostT]):
    """Chooses hosts for one cluster in one worker."""

    panic_picks: int
    """Picks made in panic, among all hosts healthy or not: Envoy's lb_healthy_panic."""

    def pick(
        self,
        hash_: int | None = None,
        tried: Collection[HostT] = (),
        reselections: int = 5,
        *,
        other_levels: bool = False,
    ) -> HostT | None:
        """The host for the next attempt; None when none may be used.

        `tried` are the hosts of earlier attempts, in order. Up to `reselections` more picks are made while the pick
        is one of them, and then the last one stands (Envoy's previous_hosts predicate with
        host_selection_retry_max_attempts); 0 lets a retry meet the same host. With `other_levels`, priorities that
        were tried get no load (previous_priorities with update_frequency 2: Istio's retryRemoteLocalities).
        """
        ...

    def refresh(self, hosts: Sequence[HostT] | None = None) -> None:
        """Take notice of health or weights that changed, or, with `hosts`, of another membership."""
        ...
