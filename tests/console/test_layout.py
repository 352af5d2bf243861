from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyproxy.console.layout import Place, arrange

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
    assert {name: place.layer for name, place in places.items()} == {
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
    assert (places["a"].order < places["b"].order) == (places["y"].order < places["x"].order)


def test_a_circle_is_cut_and_everybody_has_a_place() -> None:
    places = arrange("abc", [("a", "b"), ("b", "c"), ("c", "a"), ("b", "b")])
    assert [places[name].layer for name in "abc"] == [0, 1, 2]


def test_who_calls_nobody_stands_first_and_nothing_gives_nothing() -> None:
    assert arrange(["alone"], []) == {"alone": Place(0, 0)}
    assert arrange([], []) == {}


@given(st.lists(st.tuples(NAMES, NAMES), max_size=20))
def test_any_graph_has_places_of_its_own_for_all_and_the_same_every_time(edges: list[tuple[str, str]]) -> None:
    places = arrange(nodes(edges), edges)
    assert places.keys() == nodes(edges)
    assert len(set(places.values())) == len(places)
    assert arrange(sorted(nodes(edges), reverse=True), reversed(edges)) == places
