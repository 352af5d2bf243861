"""One resolver for all workers: what is told, when, and what a worker makes of it."""

from __future__ import annotations

import random

import pytest

from pyproxy.core.loop import SystemClock
from pyproxy.runtime.clusters import ClusterState
from pyproxy.snapshot.model import Cluster, Discovery, Endpoint
from pyproxy.workers.discovery import AnswerTeller, Place, ToldDiscovery

ONE, OTHER = Endpoint("one.example", 80), Endpoint("other.example", 81)


def state(*endpoints: Endpoint) -> ClusterState:
    cluster = Cluster("x", discovery=Discovery.STRICT_DNS, endpoints=endpoints or (ONE, OTHER))
    return ClusterState(cluster, SystemClock(), random.Random(1))


def keys(of: ClusterState) -> list[str]:
    return [host.key for host in of.hosts]


def test_an_answer_is_told_when_it_is_another() -> None:
    told: list[tuple[str, list[Place]]] = []
    teller, resolved = AnswerTeller(lambda name, places: told.append((name, places))), state()
    resolved.set_hosts([(ONE, "10.0.0.1"), (OTHER, "10.0.0.2")])
    teller.on_answer(resolved)
    teller.on_answer(resolved)
    assert told == [("x", [("one.example", 80, "10.0.0.1"), ("other.example", 81, "10.0.0.2")])]
    resolved.set_hosts([])
    teller.on_answer(resolved)
    assert told[1:] == [("x", [])]
    assert teller.told == {"x": []}
    teller.keep(["y"])
    assert teller.told == {}


@pytest.mark.parametrize("early", [True, False])
def test_a_worker_has_the_hosts_that_it_is_told_sooner_or_later(early: bool) -> None:
    discovery, follower = ToldDiscovery(), state()
    if early:
        discovery.on_told("x", [("one.example", 80, "10.0.0.1")])
    discovery.watch(follower)
    assert follower.ready is early
    if not early:
        discovery.on_told("x", [("one.example", 80, "10.0.0.1")])
    assert follower.ready
    assert keys(follower) == ["10.0.0.1:80"]
    discovery.on_told("x", [("one.example", 80, "10.0.0.1"), ("gone.example", 9, "10.0.0.9")])
    assert keys(follower) == ["10.0.0.1:80"]


def test_a_cluster_that_is_gone_is_told_nothing() -> None:
    discovery, before, after = ToldDiscovery(), state(), state(OTHER)
    discovery.watch(before)
    discovery.on_told("x", [("one.example", 80, "10.0.0.1"), ("other.example", 81, "10.0.0.2")])
    discovery.watch(after)  # another cluster of the same name
    discovery.forget(before)
    assert keys(after) == ["10.0.0.2:81"]
    discovery.forget(after)
    discovery.on_told("x", [])
    assert keys(after) == ["10.0.0.2:81"]
