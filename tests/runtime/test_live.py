"""What a reload replaces, and what it leaves alone."""

from __future__ import annotations

import random

from pyproxy.core.loop import SystemClock
from pyproxy.runtime.clusters import ClusterState
from pyproxy.runtime.live import Live
from pyproxy.snapshot.model import Cluster, ConnectionSettings, Discovery, Endpoint, Identity, Snapshot

ONE, OTHER = Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 80)


class FakeDiscoverer:
    """Notes what it is asked to watch."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def watch(self, state: ClusterState) -> None:
        self.calls.append(("watch", state.name))

    def forget(self, state: ClusterState) -> None:
        self.calls.append(("forget", state.name))


def snapshot(*clusters: Cluster) -> Snapshot:
    return Snapshot(Identity(), (), {}, {cluster.name: cluster for cluster in clusters})


def live(*clusters: Cluster) -> tuple[Live, FakeDiscoverer]:
    discoverer = FakeDiscoverer()
    return Live(snapshot(*clusters), discoverer, SystemClock(), random.Random(1)), discoverer


def test_one_assignment_and_who_pinned_the_old_keeps_it() -> None:
    found, _ = live(Cluster("a", endpoints=(ONE,)))
    pinned = found.serving
    found.swap(snapshot(Cluster("b", endpoints=(ONE,))))
    assert list(pinned.clusters) == ["a"]
    assert list(found.serving.clusters) == ["b"]
    stats = found.stats
    assert (stats.active_clusters, stats.cluster_added, stats.cluster_removed) == (1, 2, 1)


def test_a_cluster_that_stays_keeps_its_state() -> None:
    found, _ = live(Cluster("a", endpoints=(ONE, OTHER)))
    state = found.serving.clusters["a"]
    host = state.hosts[0]
    host.begin_request()
    found.swap(snapshot(Cluster("a", endpoints=(ONE,), connection=ConnectionSettings(connect_timeout=1))))
    assert found.serving.clusters["a"] is state
    assert state.hosts == [host]
    assert (host.active, state.ceilings.requests) == (1, 1)
    assert state.cluster.connection.connect_timeout == 1
    assert found.stats.cluster_modified == 1


def test_a_cluster_that_finds_its_hosts_another_way_is_a_new_one() -> None:
    found, _ = live(Cluster("a", endpoints=(ONE,)))
    state = found.serving.clusters["a"]
    found.swap(snapshot(Cluster("a", Discovery.STRICT_DNS, (Endpoint("a.example", 80),))))
    assert found.serving.clusters["a"] is not state


def test_names_are_looked_up_when_they_come_or_change_and_forgotten_when_they_go() -> None:
    dns = Cluster("a", Discovery.STRICT_DNS, (Endpoint("a.example", 80),))
    found, discoverer = live(dns, Cluster("b", endpoints=(ONE,)))
    assert discoverer.calls == [("watch", "a")]
    found.swap(snapshot(dns))
    assert ("watch", "a") not in discoverer.calls[1:]
    found.swap(snapshot(Cluster("a", Discovery.STRICT_DNS, (Endpoint("b.example", 80),))))
    assert discoverer.calls[-1] == ("watch", "a")
    found.swap(snapshot())
    assert discoverer.calls[-1] == ("forget", "a")
