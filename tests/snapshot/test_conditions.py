"""Match clauses in the operator's own words."""

from __future__ import annotations

import pytest

from pyproxy.istio.networking.virtual_service import HTTPMatchRequest
from pyproxy.snapshot.conditions import conditions_of
from pyproxy.snapshot.matching import compile_match
from pyproxy.snapshot.model import Conditions, TextMatch


def test_everything_that_a_clause_asks_of_a_request_is_kept() -> None:
    clause = HTTPMatchRequest.model_validate(
        {
            "uri": {"prefix": "/Api"},
            "ignoreUriCase": True,
            "method": {"exact": "GET"},
            "authority": {"prefix": "shop."},
            "headers": {"End-User": {"exact": "jason"}, "x": {}, "@request.auth.claims.Group": {"exact": "a"}},
            "withoutHeaders": {"Y": {"regex": "*"}},
            "queryParams": {"Page": {"regex": "[0-9]+"}},
            "sourceNamespace": "books",
            "port": 80,
        }
    )

    assert conditions_of(clause) == Conditions(
        path=TextMatch("prefix", "/Api"),
        ignore_case=True,
        headers=(
            (":method", TextMatch("exact", "GET")),
            (":authority", TextMatch("prefix", "shop.")),
            ("end-user", TextMatch("exact", "jason")),
            ("x", TextMatch("present")),
            ("@request.auth.claims.Group", TextMatch("exact", "a")),
        ),
        without_headers=(("y", TextMatch("present")),),
        query=(("Page", TextMatch("regex", "[0-9]+")),),
    )


@pytest.mark.parametrize("clause", [{}, {"uri": {}}, {"uri": {"prefix": "/"}}, {"uri": {"prefix": ""}}, {"port": 9}])
def test_a_clause_that_takes_everything_has_neither_predicate_nor_conditions(clause: dict[str, object]) -> None:
    match = HTTPMatchRequest.model_validate(clause)

    assert conditions_of(match) is None
    assert compile_match(match) is None


def test_a_regex_for_everything_is_kept_because_it_matches_the_whole_path() -> None:
    clause = HTTPMatchRequest.model_validate({"uri": {"regex": ".*"}})

    assert conditions_of(clause) == Conditions(path=TextMatch("regex", ".*"))


def test_a_regex_is_never_folded() -> None:
    clause = HTTPMatchRequest.model_validate({"uri": {"regex": "/a+"}, "ignoreUriCase": True})

    assert conditions_of(clause) == Conditions(path=TextMatch("regex", "/a+"))


def test_a_pseudo_header_may_be_named_twice_and_both_must_hold() -> None:
    clause = HTTPMatchRequest.model_validate({"method": {"prefix": "P"}, "headers": {":method": {"regex": ".*T"}}})

    found = conditions_of(clause)

    assert found is not None
    assert found.headers == ((":method", TextMatch("prefix", "P")), (":method", TextMatch("regex", ".*T")))
