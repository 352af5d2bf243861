from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.console.yaml_edit import NotEditable, set_faults, set_weights

TEXT = """\
# Who gets what.
kind: DestinationRule
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
    - match: [{headers: {end-user: {exact: jason}}}]   # the tester
      route:
        - destination: {host: reviews, subset: v2}
    # Everybody else.
    - name: everybody
      route:
        - destination: {host: reviews, subset: v1}
          weight: 50  # half
        - destination: {host: reviews, subset: v2}
          weight: 50
      timeout: 3s

"""
ABORT = {"percent": 12.5, "status": 500}
DELAY = {"percent": 10, "seconds": 0.25}


def http(text: str) -> list[dict[str, object]]:
    return list(list(yaml.safe_load_all(text))[1]["spec"]["http"])


def test_weights_change_and_nothing_else_does() -> None:
    changed = set_weights(TEXT, 1, 1, [90, 10])
    assert changed == TEXT.replace("weight: 50  # half", "weight: 90  # half").replace("weight: 50\n", "weight: 10\n")


def test_a_weight_that_is_not_there_is_written() -> None:
    changed = set_weights(TEXT, 1, 0, [100])
    assert "        - destination: {host: reviews, subset: v2}\n          weight: 100\n    # Everybody" in changed


def test_weights_in_braces_change_too() -> None:
    text = "spec: {http: [{route: [{destination: {host: a}, weight: 1}, {destination: {host: b}}]}]}"
    assert set_weights(text, 0, 0, [30, 70]) == (
        "spec: {http: [{route: [{destination: {host: a}, weight: 30}, {weight: 70, destination: {host: b}}]}]}"
    )


def test_faults_are_written_changed_and_taken_away() -> None:
    faulty = set_faults(TEXT, 1, 1, ABORT, DELAY)
    assert http(faulty)[1]["fault"] == {
        "delay": {"percentage": {"value": 10}, "fixedDelay": "0.25s"},
        "abort": {"percentage": {"value": 12.5}, "httpStatus": 500},
    }
    assert "# half" in faulty and "# Everybody else." in faulty
    assert http(set_faults(faulty, 1, 1, ABORT, None))[1]["fault"] == {
        "abort": {"percentage": {"value": 12.5}, "httpStatus": 500}
    }
    assert set_faults(faulty, 1, 1, None, None) == TEXT


def test_a_fault_that_begins_its_route_is_taken_away_too() -> None:
    text = "spec:\n  http:\n  - fault:\n      abort: {httpStatus: 500}\n    route:\n    - destination: {host: a}\n"
    assert set_faults(text, 0, 0, None, None) == "spec:\n  http:\n  - route:\n    - destination: {host: a}\n"


def test_comments_after_a_fault_stay() -> None:
    text = (
        "spec:\n  http:\n  - name: a\n    fault:\n      abort:\n        httpStatus: 500\n    # why\n    timeout: 1s\n"
    )
    assert set_faults(text, 0, 0, None, None) == "spec:\n  http:\n  - name: a\n    # why\n    timeout: 1s\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("spec: {http: [{name: a, route: []}]}", "braces"),
        ("spec: {http: []}", "no such route"),
        ("{", "no such route"),
    ],
)
def test_what_it_cannot_change_it_leaves_to_people(text: str, why: str) -> None:
    with pytest.raises(NotEditable, match=why):
        set_faults(text, 0, 0, ABORT, None)


def test_weights_for_destinations_that_are_others_by_now_are_refused() -> None:
    with pytest.raises(NotEditable, match="other destinations"):
        set_weights(TEXT, 1, 1, [100])


@given(st.lists(st.integers(0, 100), min_size=2, max_size=2), st.booleans(), st.booleans())
def test_what_is_written_is_what_is_read(weights: list[int], abort: bool, delay: bool) -> None:
    text = set_weights(TEXT, 1, 1, weights)
    text = set_faults(text, 1, 1, ABORT if abort else None, DELAY if delay else None)
    route = http(text)[1]
    assert [each["weight"] for each in route["route"]] == weights  # type: ignore[attr-defined]
    assert route.get("fault", {}).keys() == {name for name, on in (("abort", abort), ("delay", delay)) if on}  # type: ignore[attr-defined]
    assert set_faults(set_weights(text, 1, 1, [50, 50]), 1, 1, None, None) == TEXT
