"""Conditions in Envoy's words."""

from __future__ import annotations

import pytest

from pyproxy.envoy.matches import match_resource, string_matcher
from pyproxy.snapshot.model import Conditions, TextMatch

EXACT, PREFIX, REGEX, PRESENT = (
    TextMatch("exact", "a"),
    TextMatch("prefix", "/a"),
    TextMatch("regex", "a+"),
    TextMatch("present"),
)


@pytest.mark.parametrize(
    ("conditions", "path"),
    [
        (None, {"prefix": "/"}),
        (Conditions(), {"prefix": "/"}),
        (Conditions(path=TextMatch("exact", "/a")), {"path": "/a"}),
        (Conditions(path=PREFIX), {"prefix": "/a"}),
        (Conditions(path=PREFIX, ignore_case=True), {"prefix": "/a", "case_sensitive": False}),
        (Conditions(path=REGEX), {"safe_regex": {"regex": "a+"}}),
    ],
)
def test_a_path(conditions: Conditions | None, path: dict[str, object]) -> None:
    assert match_resource(conditions) == path


def test_headers_there_and_not_there() -> None:
    found = match_resource(
        Conditions(headers=((":method", EXACT), ("x", PRESENT)), without_headers=(("y", REGEX), ("z", PRESENT)))
    )
    assert found["headers"] == [
        {"name": ":method", "string_match": {"exact": "a"}},
        {"name": "x", "present_match": True},
        {
            "name": "y",
            "string_match": {"safe_regex": {"regex": "a+"}},
            "invert_match": True,
            "treat_missing_header_as_empty": True,
        },
        {"name": "z", "present_match": True, "invert_match": True},
    ]


def test_query_parameters() -> None:
    found = match_resource(Conditions(query=(("q", EXACT), ("Q", PRESENT))))
    assert found["query_parameters"] == [
        {"name": "q", "string_match": {"exact": "a"}},
        {"name": "Q", "present_match": True},
    ]


@pytest.mark.parametrize("name", ["@request.auth.claims.team.name", "@request.auth.claims[team][name]"])
def test_a_claim_is_asked_of_the_filter_that_would_verify_tokens(name: str) -> None:
    held = match_resource(Conditions(headers=((name, EXACT),)))
    refused = match_resource(Conditions(without_headers=((name, PRESENT),)))
    (claim,) = held["dynamic_metadata"]  # type: ignore[misc]  # a list of one
    assert claim == {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": "payload"}, {"key": "team"}, {"key": "name"}],
        "value": {
            "or_match": {
                "value_matchers": [
                    {"list_match": {"one_of": {"string_match": {"exact": "a"}}}},
                    {"string_match": {"exact": "a"}},
                ]
            }
        },
    }
    assert "headers" not in held
    (claim,) = refused["dynamic_metadata"]  # type: ignore[misc]  # a list of one
    assert claim["invert"] is True


def test_any_text_will_do() -> None:
    assert string_matcher(PRESENT) == {"safe_regex": {"regex": ".*"}}
