from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.analysis.conditions import check
from pyproxy.core.http import RequestHead
from pyproxy.istio.networking.virtual_service import HTTPMatchRequest
from pyproxy.snapshot.conditions import conditions_of
from pyproxy.snapshot.matching import compile_match

WORDS = st.sampled_from(["a", "ab", "b", "A", "", "/a", "/ab", "/A/b"])
MATCHES = st.one_of(
    st.just({}),
    st.builds(lambda how, text: {how: text}, st.sampled_from(["exact", "prefix"]), WORDS.filter(bool)),
    st.builds(lambda text: {"regex": text}, st.sampled_from(["a.*", ".*", "[ab]", "*", "/a|b", "(ab)?"])),
)
NAMES = st.sampled_from(["x-one", "X-Two", "host"])
CLAUSES = st.fixed_dictionaries(
    {},
    optional={
        "uri": MATCHES.filter(lambda match: match not in ({}, {"regex": "*"})),
        "method": MATCHES,
        "authority": MATCHES,
        "headers": st.dictionaries(NAMES, MATCHES, max_size=2),
        "withoutHeaders": st.dictionaries(st.sampled_from(["x-one", "x-two"]), MATCHES, max_size=2),
        "queryParams": st.dictionaries(st.sampled_from(["q", "r"]), MATCHES, max_size=2),
        "ignoreUriCase": st.booleans(),
    },
)
LINES = st.lists(st.tuples(st.sampled_from([b"x-one", b"x-two"]), WORDS.map(str.encode)), max_size=3)
TARGETS = st.sampled_from([b"/a", b"/ab", b"/A/b", b"/", b"/a?q=a", b"/a?q=&r=ab", b"/?q"])


@given(CLAUSES, LINES, TARGETS, st.sampled_from([b"a", b"ab", b"GET"]), st.sampled_from([b"a", b"b"]))
def test_the_conditions_all_hold_when_the_route_matches(
    clause: dict[str, Any], lines: list[tuple[bytes, bytes]], target: bytes, method: bytes, authority: bytes
) -> None:
    match = HTTPMatchRequest.model_validate(clause)
    head = RequestHead(method, target, authority, lines)
    predicate = compile_match(match)
    checked = check(conditions_of(match), head)
    assert all(each.holds for each in checked) == (predicate is None or predicate(head))


@pytest.mark.parametrize(
    ("clause", "condition", "found"),
    [
        ({"uri": {"prefix": "/v2"}}, "path starts /v2", "/v1/x"),
        ({"uri": {"exact": "/V2"}, "ignoreUriCase": True}, "path = /V2 (any case)", "/v1/x"),
        ({"headers": {"End-User": {"exact": "jason"}}}, "header end-user = jason", "mary"),
        ({"headers": {"x-none": {}}}, "header x-none present", "(missing)"),
        ({"method": {"regex": "P.*"}}, "method ~ P.*", "GET"),
        ({"withoutHeaders": {"end-user": {"prefix": "m"}}}, "not header end-user starts m", "mary"),
        ({"queryParams": {"q": {"exact": "2"}}}, "query q = 2", "1"),
        (
            {"headers": {"@request.auth.claims.group": {"exact": "a"}}},
            "header @request.auth.claims.group = a",
            "(missing)",
        ),
    ],
)
def test_a_condition_that_fails_says_what_there_is(clause: dict[str, Any], condition: str, found: str) -> None:
    head = RequestHead(b"GET", b"/v1/x?q=1", b"shop", [(b"end-user", b"mary")])
    [checked] = check(conditions_of(HTTPMatchRequest.model_validate(clause)), head)
    assert (checked.condition, checked.holds, checked.found) == (condition, False, found)
