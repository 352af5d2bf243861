from __future__ import annotations

from collections.abc import Callable

from pyproxy.analysis.subject import Subject, carries, listed, scopes
from tests.analysis.conftest import REVIEWS

ENTRY = """\
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {address: 10.0.0.5}
"""


def test_workloads_are_entries_and_listed_endpoints(subject_of: Callable[[str], Subject]) -> None:
    subject = subject_of(REVIEWS + ENTRY)
    assert [(each.namespace, each.entry_name) for each in subject.workloads] == [
        ("shop", "web"),
        ("default", "reviews-0"),
    ]
    assert subject.selected({"app": "reviews"}, "shop") == []
    assert len(subject.selected({"app": "reviews"}, None)) == 1


def test_a_service_is_meant_by_its_short_name_in_its_own_namespace(subject_of: Callable[[str], Subject]) -> None:
    subject = subject_of(REVIEWS)
    assert subject.service("reviews", "default") is not None
    assert subject.service("reviews", "shop") is None
    assert subject.service("Reviews.default.svc.cluster.local", "shop") is not None


def test_small_words() -> None:
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")
    assert scopes([".", "other"], "own") == {"own", "other"}
    assert scopes([], "own") == {"*"}
    assert carries({"a": "1", "b": "2"}, {"b": "2"})
    assert not carries({"a": "1"}, {"b": "2"})
