"""Host names: short forms, wildcards, and which name is the more specific."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.snapshot.hosts import (
    HostIndex,
    covers,
    expand,
    expand_gateway,
    intersection,
    is_address,
    matches,
    specificity,
)


@pytest.mark.parametrize(
    ("host", "full"),
    [
        ("reviews", "reviews.books.svc.cluster.local"),
        ("reviews.prod", "reviews.prod"),
        ("*", "*"),
        ("*.foo.com", "*.foo.com"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
    ],
)
def test_a_name_without_a_dot_belongs_to_the_namespace_of_the_rule(host: str, full: str) -> None:
    assert expand(host, "books", "cluster.local") == full


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("mesh", "mesh"),
        ("door", "books/door"),
        ("./door", "books/door"),
        ("other/door", "other/door"),
        ("door.other.svc.cluster.local", "other/door"),
        ("door.other", "other/door"),
    ],
)
def test_gateways_are_named_by_namespace_and_name(name: str, full: str) -> None:
    assert expand_gateway(name, "books") == full


@pytest.mark.parametrize(
    ("outer", "inner", "covered"),
    [
        ("*.foo.com", "a.foo.com", True),
        ("*.foo.com", "a.b.foo.com", True),
        ("*.foo.com", "foo.com", False),
        ("*.foo.com", "*.b.foo.com", True),
        ("*.b.foo.com", "*.foo.com", False),
        ("*", "*.com", True),
        ("*-bar.com", "foo-bar.com", True),
        ("foo.com", "foo.com", True),
        ("foo.com", "*.com", False),
    ],
)
def test_a_wildcard_covers_what_ends_like_it(outer: str, inner: str, covered: bool) -> None:
    assert covers(outer, inner) is covered


def test_matching_asks_either_way() -> None:
    assert matches("bar.com", "*.com")
    assert matches("*.com", "*.foo.com")
    assert not matches("*.foo.com", "*.bar.com")


@pytest.mark.parametrize(
    ("some", "others", "shared"),
    [
        (["foo.com", "bar.com"], ["*.com"], ["foo.com", "bar.com"]),
        (["foo.com", "*.net"], ["*.com", "bar.net"], ["foo.com", "bar.net"]),
        (["foo.com", "*.net"], ["*.bar.net"], ["*.bar.net"]),
        (["foo.com"], ["bar.com"], []),
        (["*"], ["a.com", "*.b.com"], ["a.com", "*.b.com"]),
    ],
)
def test_the_narrower_name_of_each_pair_is_shared(some: list[str], others: list[str], shared: list[str]) -> None:
    assert intersection(some, others) == shared


def test_addresses_are_told_from_names() -> None:
    assert is_address("10.0.0.1")
    assert is_address("fe80::1")
    assert not is_address("10.0.0.1.example.com")
    assert not is_address("1password.com")
    assert not is_address("")


labels = st.sampled_from(["a", "b", "x-b", "com", "net"])
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
patterns = st.one_of(names, names.map(lambda name: f"*.{name}"), names.map(lambda name: f"*-{name}"), st.just("*"))


@given(st.lists(patterns, max_size=8), patterns)
def test_the_index_finds_what_a_walk_over_all_names_finds(known: list[str], host: str) -> None:
    index: HostIndex[str] = HostIndex()
    for each in known:
        index.add(each, each)

    if host.startswith("*"):
        fitting = [each for each in known if each.startswith("*") and covers(each, host)]
    else:
        fitting = [each for each in known if covers(each, host)]

    assert index.most_specific(host) == (min(fitting, key=specificity) if fitting else None)


def test_the_first_value_of_a_name_stays() -> None:
    index: HostIndex[int] = HostIndex()
    index.add("*.foo.com", 1)
    index.add("*.foo.com", 2)

    assert index.get("*.foo.com") == 1
    assert list(index) == [1]
