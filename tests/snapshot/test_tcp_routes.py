"""Routes by server name, and clusters by weight."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pyproxy.snapshot.tcp_routes import TcpRoutes, divided, route_to, routes_by_name

NAMED = routes_by_name(
    {name: route_to(name) for name in ("a.com", "*.a.com", "*.b.a.com", "b.a.com", "outbound_.80_.v1_.shop.mesh")}
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.com", "a.com"),
        ("x.a.com", "*.a.com"),
        ("b.a.com", "b.a.com"),
        ("x.b.a.com", "*.b.a.com"),
        ("y.x.b.a.com", "*.b.a.com"),
        ("xa.com", None),
        (".a.com", None),
        ("com", None),
        ("", None),
        ("outbound_.80_.v1_.shop.mesh", "outbound_.80_.v1_.shop.mesh"),
    ],
)
def test_the_most_specific_name_is_found(name: str, found: str | None) -> None:
    assert NAMED.find(name) == (route_to(found) if found else None)


def test_all_others_and_the_nameless_have_the_default() -> None:
    routes = routes_by_name({"a.com": route_to("one"), "*": route_to("two")})
    assert routes.by_name
    assert routes.find("b.com") == routes.find("") == route_to("two")
    assert dict(routes.all()) == {"a.com": route_to("one"), "*": route_to("two")}
    assert not TcpRoutes(default=route_to("one")).by_name


def test_weights_are_kept_to() -> None:
    route, rng = divided("rules", [("a", 3), ("none", 0), ("b", 1)]), random.Random(1)
    counts = Counter(route.choose(rng) for _ in range(4000))
    assert set(counts) == {"a", "b"}
    assert 2900 < counts["a"] < 3100


def test_a_single_cluster_needs_no_chance() -> None:
    assert divided("rules", [("a", 0)]) == route_to("a")
    assert divided("rules", [("a", 0), ("b", 5)]).choose(random.Random(1)) == "b"
    assert divided("rules", [("a", 0), ("b", 0)]).clusters == (("", 1),)
