from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyproxy.console.layout import Arrangement, Place, arrange

BOOKSHOP = [
    ("gateway", "productpage"),
    ("productpage", "details"),
    ("productpage", "reviews-v1"),
    ("productpage", "reviews-v2"),
    ("reviews-v2", "ratings"),
]
NAMES = st.sampled_from("abcdefgh")


def nodes(edges: list[tuple[str, str]]) -> set[str]:
    return {name for edge in edges for name in edge}


def test_callers_stand_before_whom_they_call() -> None:
    places = arrange(nodes(BOOKSHOP), BOOKSHOP)
    assert {name: place.layer for name, place in places.nodes.items()} == {
        "gateway": 0,
        "productpage": 1,
        "details": 2,
        "reviews-v1": 2,
        "reviews-v2": 2,
        "ratings": 3,
    }


def test_lines_do_not_cross_where_they_need_not() -> None:
    crossed = [("a", "y"), ("b", "x"), ("a", "x2"), ("b", "x")]
    places = arrange(nodes(crossed), crossed)
    at = {name: place.across for name, place in places.nodes.items()}
    assert (at["a"] < at["b"]) == (at["y"] < at["x"])


def test_an_edge_that_passes_a_layer_has_a_place_of_its_own_there() -> None:
    nodes, bends = arrange("abcd", [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")])
    assert [place.layer for place in bends["a", "d"]] == [1, 2]
    assert bends.keys() == {("a", "d")}
    passing = {place.layer: place.across for place in bends["a", "d"]}
    assert {passing[1], nodes["b"].across} == {0.6667, 0.1667} or {passing[1], nodes["b"].across} == {0.3333, 0.8333}


def test_a_circle_is_cut_and_everybody_has_a_place() -> None:
    places = arrange("abc", [("a", "b"), ("b", "c"), ("c", "a"), ("b", "b")])
    assert [places.nodes[name].layer for name in "abc"] == [0, 1, 2]


def test_who_calls_nobody_stands_first_and_nothing_gives_nothing() -> None:
    assert arrange(["alone"], []) == Arrangement({"alone": Place(0, 0.5)}, {})
    assert arrange([], []) == Arrangement({}, {})


@given(st.lists(st.tuples(NAMES, NAMES), max_size=20))
def test_any_graph_has_places_of_its_own_for_all_and_the_same_every_time(edges: list[tuple[str, str]]) -> None:
    places = arrange(nodes(edges), edges)
    taken = [*places.nodes.values(), *(place for bends in places.bends.values() for place in bends)]
    assert places.nodes.keys() == nodes(edges)
    assert len(set(taken)) == len(taken)
    assert arrange(sorted(nodes(edges), reverse=True), reversed(edges)) == places
