from __future__ import annotations

import pytest

from pyproxy.istio.networking.destination_rule import DestinationRule
from pyproxy.istio.networking.virtual_service import HTTPRoute, VirtualService
from pyproxy.istio.schema import Mismatch, nearest, parse_message
from pyproxy.istio.yaml_values import Unquoted


def mismatches(body: object, written: str | None = None) -> list[Mismatch]:
    return parse_message(HTTPRoute, body, lambda path: written)[1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"retries": {"attempts": "3"}}, 'must be a whole number, not "3": leave out the quotes'),
        ({"retries": {"attempts": 1.5}}, "must be a whole number, not 1.5"),
        ({"retries": {"attempts": 2**31}}, "must be 2147483647 or less, not 2147483648"),
        ({"match": "a"}, 'must be a list, not "a": write ["a"]'),
        ({"match": {}}, "must be a list, not a mapping"),
        ({"match": [None]}, "must be a mapping, not null"),
        ({"headers": []}, "must be a mapping, not a list"),
        ({"match": [{"ignoreUriCase": "true"}]}, 'must be true or false, not "true": leave out the quotes'),
        ({"corsPolicy": {"unmatchedPreflights": "MAYBE"}}, 'must be one of UNSPECIFIED, FORWARD, IGNORE, not "MAYBE"'),
        ({"timeout": 5}, "write a duration such as 5s, 1.5s, 100ms or 1h30m"),
        ({"timeout": "5 s"}, "write a duration such as 5s, 1.5s, 100ms or 1h30m"),
        ({"mirrorPercentage": {"value": float("nan")}}, "must be a finite number"),
        ({"directResponse": {}}, "is required"),
        ({"name": {"a": 1}}, "must be text, not a mapping"),
    ],
)
def test_what_does_not_fit_is_said_with_what_would(body: object, message: str) -> None:
    assert [mismatch.message for mismatch in mismatches(body)] == [message]


@pytest.mark.parametrize(
    ("value", "written", "message"),
    [
        (True, "on", 'must be text, and on without quotes is true in YAML: put it in quotes: "on"'),
        (1.1, "1.10", 'must be text, and 1.10 without quotes is a number in YAML: put it in quotes: "1.10"'),
        (Unquoted("012", "a number in base 8"), None, "012 without quotes is a number in base 8 in YAML"),
    ],
)
def test_what_lacks_quotes_is_said_as_it_was_written(value: object, written: str | None, message: str) -> None:
    assert mismatches({"name": value}, written)[0].message.startswith(message)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("timeuot", "did you mean timeout?"),
        ("cors_policy", "did you mean corsPolicy?"),
        ("CorsPolicy", "did you mean corsPolicy?"),
        ("direct-response", "did you mean directResponse?"),
        ("xyzzy", "accepted are corsPolicy, delegate, directResponse, fault,"),
    ],
)
def test_an_unknown_field_is_told_with_its_nearest_name(name: str, hint: str) -> None:
    (mismatch,) = mismatches({name: 1})
    assert mismatch.of_key
    assert hint in mismatch.message


def test_unknown_fields_are_found_at_any_depth() -> None:
    body = {"host": "a", "subsets": [{"name": "b", "trafficPolicy": {"portLevelSettings": [{"port": {"numbr": 1}}]}}]}
    (mismatch,) = parse_message(DestinationRule, body, lambda path: None)[1]
    assert mismatch.path == ("subsets", 0, "trafficPolicy", "portLevelSettings", 0, "port", "numbr")
    assert mismatch.message.endswith("did you mean number?")


def test_a_misspelt_required_field_is_one_mistake() -> None:
    assert len(mismatches({"route": [{"destinaton": {"host": "a"}}]})) == 1


def test_all_mismatches_come_at_once() -> None:
    body = {"hosts": [1, 2], "http": [{"timeout": 1}, {"timeout": 2}], "exportTo": {}}
    assert len(parse_message(VirtualService, body, lambda path: None)[1]) == 5


def test_what_is_right_survives_what_is_wrong() -> None:
    body = {"hosts": ["a"], "http": [{"name": "x"}], "tcp": [{"route": [{"weight": 1}]}], "exportTo": [1]}
    spec, found = parse_message(VirtualService, body, lambda path: None)
    assert len(found) == 2
    assert spec is not None
    assert (spec.hosts, spec.http[0].name, spec.tcp[0].route, spec.export_to) == (("a",), "x", (), ())


@pytest.mark.parametrize("body", [[], "a", {"subsets": []}])
def test_nothing_is_made_of_what_is_wrong_as_a_whole(body: object) -> None:
    assert parse_message(DestinationRule, body, lambda path: None)[0] is None


def test_the_nearest_name() -> None:
    assert nearest("hots", ["hosts", "http"]) == "hosts"
    assert nearest("zzz", ["hosts", "http"]) is None
