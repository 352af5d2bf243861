from __future__ import annotations

import random

from pyproxy.core.streams import Lent, Streams


def draws(stream: random.Random, count: int = 20) -> list[float]:
    return [stream.random() for _ in range(count)]


def test_a_seed_repeats_every_stream() -> None:
    assert draws(Streams(7).route("a:80", "r")) == draws(Streams(7).route("a:80", "r"))
    assert draws(Streams(7).cluster("c")) == draws(Streams(7).cluster("c"))


def test_seeds_routes_and_hosts_differ() -> None:
    streams = Streams(7)
    found = [
        draws(streams.route("a:80", "r")),
        draws(streams.route("a:80", "s")),
        draws(streams.route("b:80", "r")),
        draws(Streams(8).route("a:80", "r")),
        draws(Streams("7/1").route("a:80", "r")),
    ]
    assert len({tuple(each) for each in found}) == len(found)


def test_what_one_route_draws_is_its_own_affair() -> None:
    alone, among = Streams(7), Streams(7)
    expected = draws(alone.route("a:80", "r"))
    found = []
    for _ in range(20):
        draws(among.route("a:80", "other"), 3)
        found.append(among.route("a:80", "r").random())
    assert found == expected


def test_a_cluster_draws_from_the_route_that_asks() -> None:
    streams = Streams(7)
    own, cluster = draws(Streams(7).cluster("c")), streams.cluster("c")

    assert draws(cluster, 5) == own[:5]
    cluster.lend(random.Random(1))
    assert draws(cluster, 5) == draws(random.Random(1), 5)
    assert cluster.getrandbits(64) >= 0
    cluster.lend(None)
    assert draws(cluster, 5) == own[5:10]


def test_a_bound_method_follows_what_is_lent() -> None:
    cluster = Lent(random.Random(1))
    draw = cluster.random  # balancers keep it
    cluster.lend(random.Random(2))
    assert draw() == random.Random(2).random()
