"""Delegation: what a root route and its delegate's routes become together."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pyproxy.istio.networking.virtual_service import HTTPRoute
from pyproxy.snapshot.delegates import merge_routes


def merged(root: Mapping[str, object], *delegates: Mapping[str, object]) -> list[HTTPRoute]:
    routes = [HTTPRoute.model_validate(each) for each in delegates]
    return list(merge_routes(HTTPRoute.model_validate(root), routes))


def matches(root: list[dict[str, object]], leaf: list[dict[str, object]]) -> list[dict[str, object]] | None:
    """The merged matches, set fields only; None when the route is dropped."""
    found = merged({"match": root}, {"match": leaf})
    if not found:
        return None
    return [match.model_dump(exclude_defaults=True, exclude_none=True) for match in found[0].match]


@pytest.mark.parametrize(
    ("root", "leaf", "name"),
    [("r", "d", "r-d"), (None, "d", "d"), ("r", None, "r"), (None, None, None)],
)
def test_names_are_joined(root: str | None, leaf: str | None, name: str | None) -> None:
    assert merged({"name": root}, {"name": leaf})[0].name == name


def test_the_delegates_routes_come_in_order_and_with_their_own_destinations() -> None:
    to = [{"destination": {"host": "a.com"}}]

    found = merged({"match": [{"uri": {"prefix": "/"}}]}, {"name": "1", "route": to}, {"name": "2", "route": to})

    assert [route.name for route in found] == ["1", "2"]
    assert found[0].route[0].destination.host == "a.com"


def test_what_the_delegate_leaves_open_the_root_fills() -> None:
    root = {
        "timeout": "5s",
        "retries": {"attempts": 3},
        "headers": {"request": {"set": {"x": "root"}}},
        "mirrors": [{"destination": {"host": "m.com"}}],
        "rewrite": {"uri": "/root"},
    }

    (found,) = merged(root, {"timeout": "1s", "rewrite": {"uri": "/leaf"}})

    assert found.timeout == 1.0
    assert found.rewrite is not None
    assert found.rewrite.uri == "/leaf"
    assert found.retries is not None
    assert found.retries.attempts == 3
    assert found.headers is not None
    assert [mirror.destination.host for mirror in found.mirrors] == ["m.com"]


def test_a_side_without_matches_takes_the_others() -> None:
    one: list[dict[str, object]] = [{"uri": {"prefix": "/a"}}]

    assert matches(one, []) == one
    assert matches([], one) == one
    assert matches([], []) == []


def test_every_pair_that_fits_is_combined_and_the_delegate_wins_per_key() -> None:
    found = matches(
        [
            {"name": "r", "uri": {"prefix": "/a"}, "headers": {"x": {"prefix": "1"}, "y": {"exact": "r"}}, "port": 80},
            {"uri": {"prefix": "/b"}},
        ],
        [{"name": "d", "uri": {"exact": "/a/1"}, "headers": {"x": {"exact": "12"}}}],
    )

    assert found == [
        {
            "name": "r-d",
            "uri": {"exact": "/a/1"},
            "headers": {"x": {"exact": "12"}, "y": {"exact": "r"}},
            "port": 80,
        }
    ]


def test_a_delegate_match_that_fits_nowhere_drops_its_whole_route() -> None:
    assert matches([{"uri": {"prefix": "/a"}}], [{"uri": {"prefix": "/a/1"}}, {"uri": {"prefix": "/b"}}]) is None


@pytest.mark.parametrize(
    ("root", "leaf", "fits"),
    [
        ({"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/a/b"}}, True),
        ({"uri": {"prefix": "/a/b"}}, {"uri": {"prefix": "/a"}}, False),
        ({"uri": {"prefix": "/a"}}, {"uri": {"exact": "/ab"}}, True),
        ({"uri": {"prefix": "/a"}}, {"uri": {"exact": "/b"}}, False),
        ({"uri": {"exact": "/a"}}, {"uri": {"exact": "/a"}}, True),
        ({"uri": {"exact": "/a"}}, {"uri": {"exact": "/b"}}, False),
        ({"uri": {"exact": "/a"}}, {"uri": {"prefix": "/a"}}, False),
        ({"uri": {"regex": "/a"}}, {"uri": {"regex": "/a"}}, False),
        ({"uri": {"prefix": "/a"}}, {"uri": {"regex": "/a"}}, False),
        ({"uri": {"regex": "/a"}}, {}, True),
        ({"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/a"}, "ignoreUriCase": True}, False),
        ({"method": {"exact": "GET"}}, {"method": {"exact": "POST"}}, False),
        ({"headers": {"x": {"exact": "1"}}}, {"headers": {"y": {"exact": "2"}}}, True),
        ({"headers": {"x": {"exact": "1"}}}, {"headers": {"x": {"exact": "2"}}}, False),
        ({"queryParams": {"x": {"exact": "1"}}}, {"queryParams": {"x": {"exact": "2"}}}, False),
        ({"withoutHeaders": {"x": {"exact": "1"}}}, {"withoutHeaders": {"x": {"exact": "2"}}}, False),
        ({"port": 80}, {"port": 81}, False),
        ({"port": 80}, {}, True),
        ({"sourceNamespace": "a"}, {"sourceNamespace": "a"}, True),
        ({"sourceNamespace": "a"}, {}, False),
        ({}, {"sourceNamespace": "a"}, True),
        ({"sourceLabels": {"a": "1"}}, {"sourceLabels": {"a": "2"}}, False),
        ({"sourceLabels": {"a": "1"}}, {"sourceLabels": {"b": "2"}}, True),
        ({"gateways": ["a/b", "mesh"]}, {"gateways": ["mesh"]}, True),
        ({"gateways": ["mesh"]}, {"gateways": ["a/b"]}, False),
        ({"gateways": ["mesh"]}, {}, True),
    ],
)
def test_which_matches_fit_together(root: dict[str, object], leaf: dict[str, object], fits: bool) -> None:
    assert (matches([root], [leaf]) is not None) is fits
