"""The configuration that serves now. A reload compiles, prepares the clusters, and makes one assignment."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pyproxy.core.loop import Clock
from pyproxy.core.streams import Streams
from pyproxy.policy.tokens import Authenticator
from pyproxy.runtime.clusters import ClusterState, Sharing
from pyproxy.runtime.counters import ClusterManagerStats
from pyproxy.runtime.keyring import KeyRing
from pyproxy.snapshot.model import Discovery, Snapshot


@dataclass(frozen=True, slots=True)
class Serving:
    """What an exchange pins when it starts: rules and the clusters that they name."""

    snapshot: Snapshot
    clusters: Mapping[str, ClusterState]
    authenticator: Authenticator | None = None
    """Verifies tokens; None: no rule asks for it."""


class Discoverer(Protocol):
    """Keeps the hosts of DNS clusters fresh."""

    def watch(self, state: ClusterState) -> None:
        """Resolve now and again; called again when the cluster's endpoints change."""
        ...

    def forget(self, state: ClusterState) -> None:
        """Stop."""
        ...


class Live:
    """Holds the one reference that a reload replaces."""

    def __init__(
        self,
        snapshot: Snapshot,
        discoverer: Discoverer,
        clock: Clock,
        rng: random.Random,
        sharing: Sharing | None = None,
        streams: Streams | None = None,
        keys: KeyRing | None = None,
    ) -> None:
        self.keys = keys or KeyRing()
        """What verifies tokens."""
        self.discoverer = discoverer
        self._clock = clock
        self._rng = rng
        self._sharing = sharing
        """With the other processes of the proxy; None where there is one."""
        self._streams = streams
        self.stats = ClusterManagerStats()
        self._judged: list[ClusterState] = []
        self.serving = Serving(snapshot, {})
        self.swap(snapshot)

    def swap(self, snapshot: Snapshot) -> None:
        """Take up a snapshot. Exchanges under way keep the one they pinned."""
        before = self.serving.clusters
        stats = self.stats
        after: dict[str, ClusterState] = {}
        for name, cluster in snapshot.clusters.items():
            state = before.get(name)
            if state is None or state.cluster.discovery is not cluster.discovery:
                rng = self._rng if self._streams is None else self._streams.cluster(name)
                state = ClusterState(cluster, self._clock, rng, self._sharing)
                unchanged = False
                stats.cluster_added += 1
            else:
                unchanged = state.cluster == cluster
                stats.cluster_modified += not unchanged
                state.reconfigure(cluster)
            after[name] = state
            if not unchanged and cluster.discovery in (Discovery.STRICT_DNS, Discovery.LOGICAL_DNS):
                self.discoverer.watch(state)
        self._judged = [state for state in after.values() if state.next_sweep]
        self.serving = Serving(snapshot, after, self._authenticator(snapshot))
        for name, state in before.items():
            if after.get(name) is not state:
                stats.cluster_removed += 1
                self.discoverer.forget(state)
                state.retire()
        stats.active_clusters = len(after)

    def _authenticator(self, snapshot: Snapshot) -> Authenticator | None:
        """The one that serves, and what it has verified, where its rules are still the same."""
        serving = self.serving
        if snapshot.token_rules == serving.snapshot.token_rules and serving.authenticator is not None:
            return serving.authenticator
        return Authenticator(snapshot.token_rules, self.keys.key_set) if snapshot.token_rules else None

    def sweep_outliers(self) -> None:
        """Many times a second: it costs one comparison a cluster that has outlier detection."""
        now = self._clock.monotonic()
        for state in self._judged:
            state.sweep_outliers(now)

    def sweep(self) -> None:
        """Housekeeping, once a second."""
        for state in self.serving.clusters.values():
            if state.hosts:
                state.sweep()
