"""What happens to headers before routing, and header operations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.context import RequestContext
from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.proxy.headers import (
    REQUEST_FATES,
    apply_ops,
    keep_original,
    mutate_request,
    rewrite_target,
    trusted_client,
)
from pyproxy.snapshot.model import Direction, HeaderOps, HttpSettings
from pyproxy.wire.format import compile_header_value

SIDECAR = HttpSettings()
EDGE = HttpSettings(direction=Direction.GATEWAY, use_remote_address=True)
BEHIND_ONE = HttpSettings(direction=Direction.GATEWAY, use_remote_address=True, xff_trusted_hops=1)


def mutated(settings: HttpSettings, *lines: tuple[bytes, bytes], tls: bool = False) -> RequestHead:
    """A head after the change, as the codec would have noted it."""
    notable = {name: value for name, value in reversed(lines) if name in REQUEST_FATES}
    kept = [line for line in lines if line[0] != b"te"]
    head = RequestHead(b"GET", b"/", b"x", list(kept), notable=notable)
    mutate_request(head, settings, "10.0.0.9", tls)
    return head


def test_a_sidecar_keeps_what_was_forwarded_and_says_the_scheme_if_nobody_did() -> None:
    assert mutated(SIDECAR).headers == [(b"x-forwarded-proto", b"http")]
    assert mutated(SIDECAR, tls=True).headers == [(b"x-forwarded-proto", b"https")]
    assert (mutated(SIDECAR).scheme, mutated(SIDECAR, tls=True).scheme) == (b"http", b"https")
    lines = ((b"x-forwarded-for", b"1.2.3.4"), (b"x-forwarded-proto", b"https"), (b"x-request-id", b"a"))
    head = mutated(SIDECAR, *lines)
    assert head.headers == list(lines)
    assert head.scheme == b"https"


def test_an_edge_says_itself_who_the_client_is() -> None:
    head = mutated(
        EDGE,
        (b"x-forwarded-for", b"1.2.3.4"),
        (b"x-forwarded-proto", b"https"),
        (b"x-request-id", b"a"),
        (b"x-envoy-external-address", b"6.6.6.6"),
        (b"x-envoy-original-path", b"/admin"),
        (b"accept", b"*/*"),
    )
    assert head.headers == [
        (b"accept", b"*/*"),
        (b"x-forwarded-for", b"1.2.3.4,10.0.0.9"),
        (b"x-forwarded-proto", b"http"),
        (b"x-envoy-external-address", b"10.0.0.9"),
    ]
    assert b"x-request-id" not in head.notable


def test_behind_a_trusted_hop_it_is_believed() -> None:
    head = mutated(BEHIND_ONE, (b"x-forwarded-for", b"6.6.6.6,1.2.3.4"), (b"x-forwarded-proto", b"https"))
    assert (b"x-envoy-external-address", b"1.2.3.4") in head.headers
    assert (b"x-forwarded-proto", b"https") in head.headers


def test_of_te_only_trailers_stays() -> None:
    assert (b"te", b"trailers") in mutated(SIDECAR, (b"te", b"gzip, Trailers")).headers
    assert all(name != b"te" for name, _ in mutated(SIDECAR, (b"te", b"gzip")).headers)


@pytest.mark.parametrize(
    ("referer", "kept"),
    [(b"http://a/b", True), (b"/relative", True), (b"a b", False), (b"http:/a", False), (b":a", False)],
)
def test_a_referer_that_no_url_can_be_goes(referer: bytes, kept: bool) -> None:
    assert (b"referer" in dict(mutated(SIDECAR, (b"referer", referer)).headers)) is kept


@pytest.mark.parametrize(
    ("forwarded", "settings", "client"),
    [
        (b"", SIDECAR, "peer"),
        (b"1.2.3.4", SIDECAR, "1.2.3.4"),
        (b"1.1.1.1, 2.2.2.2", SIDECAR, "2.2.2.2"),
        (b"1.1.1.1,2.2.2.2", EDGE, "peer"),
        (b"1.1.1.1,2.2.2.2", BEHIND_ONE, "2.2.2.2"),
        (b"::1", SIDECAR, "::1"),
        (b"unknown", SIDECAR, "peer"),
    ],
)
def test_the_client_as_far_as_it_can_be_trusted(forwarded: bytes, settings: HttpSettings, client: str) -> None:
    assert trusted_client(forwarded, "peer", settings) == client


# Operations


def operated(lines: Headers, *, remove: tuple[str, ...] = (), **values: dict[str, str]) -> Headers:
    compiled = {
        kind: tuple((name.encode(), compile_header_value(value)) for name, value in pairs.items())
        for kind, pairs in values.items()
    }
    ops = HeaderOps(remove=tuple(name.encode() for name in remove), **compiled)
    head = RequestHead(b"GET", b"/p", b"x", list(lines))
    apply_ops(head, ops, RequestContext(head, 0.0, 0.0))
    return head.headers


def test_remove_then_set_then_add() -> None:
    lines = [(b"a", b"1"), (b"b", b"1"), (b"b", b"2"), (b"c", b"1")]
    assert operated(lines, remove=("a",), set={"b": "3", "d": "4"}, add={"c": "5", "a": "6"}) == [
        (b"c", b"1"),
        (b"b", b"3"),
        (b"d", b"4"),
        (b"c", b"5"),
        (b"a", b"6"),
    ]


def test_values_see_what_remove_has_left_and_nothing_of_set_and_add_and_empty_ones_are_not_written() -> None:
    lines = [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]
    values = {"was-a": "%REQ(a)%", "b": "%REQ(nowhere)%", "c": "%REQ(b)%", "was-c": "%REQ(c)%"}
    assert operated(lines, remove=("a",), set=values) == [(b"b", b"2"), (b"c", b"2"), (b"was-c", b"3")]


KEYS = st.sampled_from(["x-a", "x-b", "x-c", "x-d"])
TEXTS = st.sampled_from(["1", "2", "3", ""])


@given(
    st.lists(st.tuples(KEYS.map(str.encode), TEXTS.map(str.encode)), max_size=8),
    st.sets(KEYS),
    st.dictionaries(KEYS, TEXTS, max_size=3),
    st.dictionaries(KEYS, TEXTS, max_size=3),
)
def test_any_operations_leave_the_rest_as_it_was(
    lines: Headers, remove: set[str], set_: dict[str, str], add: dict[str, str]
) -> None:
    after = operated(lines, remove=tuple(remove), set=set_, add=add)
    named = {name.encode() for name in remove | set_.keys() | add.keys()}
    assert [line for line in after if line[0] not in named] == [line for line in lines if line[0] not in named]
    for name in map(str.encode, remove | set_.keys() | add.keys()):
        was = [] if name.decode() in remove else [value for key, value in lines if key == name]
        told = set_.get(name.decode(), "").encode()
        expected = [told] if told else was
        more = add.get(name.decode(), "").encode()
        assert [value for key, value in after if key == name] == expected + ([more] if more else [])


def test_of_two_values_to_set_the_later_holds() -> None:
    twice = HeaderOps(set=((b"a", lambda ctx: b"1"), (b"a", lambda ctx: b"2")))
    head = RequestHead(b"GET", b"/", b"x", [(b"a", b"0")])
    apply_ops(head, twice, RequestContext(head, 0.0, 0.0))
    assert head.headers == [(b"a", b"2")]


def test_what_is_added_to_a_header_of_one_line_follows_a_comma() -> None:
    lines = [(b"user-agent", b"curl"), (b"accept", b""), (b"x-a", b"1")]
    assert operated(lines, add={"user-agent": "us", "accept": "*/*", "x-a": "2", "via": "us"}) == [
        (b"user-agent", b"curl,us"),
        (b"accept", b"*/*"),
        (b"x-a", b"1"),
        (b"x-a", b"2"),
        (b"via", b"us"),
    ]


def test_a_length_that_was_taken_away_frames_no_more() -> None:
    head = ResponseHead(200, [(b"content-length", b"5")], {b"content-length": b"5"})
    context = RequestContext(RequestHead(b"GET", b"/", b"x", []), 0.0, 0.0)
    apply_ops(head, HeaderOps(remove=(b"x",)), context)
    assert b"content-length" in head.notable
    apply_ops(head, HeaderOps(remove=(b"content-length",)), context)
    assert b"content-length" not in head.notable


def test_what_a_rewrite_replaces_is_told_in_place_of_what_the_client_told() -> None:
    head = RequestHead(b"GET", b"/", b"x", [(b"x-envoy-original-path", b"/lie"), (b"a", b"1")])
    head.notable[b"x-envoy-original-path"] = b"/lie"
    keep_original(head, b"x-envoy-original-path", b"/true")
    keep_original(head, b"x-envoy-original-host", b"x")
    assert head.headers == [(b"a", b"1"), (b"x-envoy-original-path", b"/true"), (b"x-envoy-original-host", b"x")]


def test_a_rewrite_keeps_the_query() -> None:
    assert rewrite_target(b"/a?b=c", lambda path: b"/new" + path) == b"/new/a?b=c"
    assert rewrite_target(b"/a", lambda path: b"/") == b"/"
