from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pyproxy.istio.kubernetes import KubernetesService
from pyproxy.istio.loader import Loaded, load
from pyproxy.istio.networking.virtual_service import VirtualService

LoadText = Callable[[str], Loaded]

VALID = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %s}
spec: {hosts: [a], http: [{route: [{destination: {host: a}}]}]}
"""


def lines(loaded: Loaded) -> list[str]:
    return [str(problem).partition("mesh.yaml:")[2] for problem in loaded.problems]


def test_a_document_is_what_it_says(load_text: LoadText) -> None:
    (document,) = load_text("""
        # a comment
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata:
          name: reviews
          namespace: shop
          labels: {team: a}
          annotations: {note: b}
        spec:
          hosts: [reviews]
          http: [{route: [{destination: {host: reviews}}]}]
        """).documents
    assert isinstance(document.spec, VirtualService)
    assert document.spec.hosts == ("reviews",)
    assert (document.api_version, document.kind) == ("networking.istio.io/v1", "VirtualService")
    assert (document.name, document.namespace, document.line, document.order) == ("reviews", "shop", 3, 0)
    assert (document.labels, document.annotations) == ({"team": "a"}, {"note": "b"})
    assert document.raw["metadata"] == {
        "name": "reviews",
        "namespace": "shop",
        "labels": {"team": "a"},
        "annotations": {"note": "b"},
    }
    assert document.resource == "VirtualService/shop/reviews"


def test_the_namespace_is_default_where_none_is_named(load_text: LoadText) -> None:
    assert load_text(VALID % "a").documents[0].namespace == "default"


def test_documents_are_ordered_by_file_and_place(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(VALID % "three")
    (tmp_path / "a.yaml").write_text("---".join([VALID % "one", VALID % "two"]))
    found = [(document.name, document.order) for document in load([tmp_path]).documents]
    assert found == [("one", 0), ("two", 1), ("three", 2)]


def test_one_bad_document_does_not_hide_the_others(load_text: LoadText) -> None:
    loaded = load_text("---".join([VALID % "one", "\nkind: [\n", "\nnothing\n", VALID % "BAD", VALID % "two"]))
    assert [document.name for document in loaded.documents] == ["one", "two"]
    assert not loaded.ok
    assert [problem.code for problem in loaded.problems] == ["PYP0002", "PYP0003", "IST0106"]


def test_every_problem_of_a_document_is_told_at_once_with_its_place(load_text: LoadText) -> None:
    loaded = load_text("""\
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata:
          name: Reviews
          lables: {a: b}
        spec:
          hosts: [on]
          http:
          - route:
            - destination: {host: "*"}
              weigth: 3
            timeout: 5
            retries: {attempts: -1}
        """)
    place = "VirtualService/default/Reviews"
    assert lines(loaded) == [
        f"4:9 {place} metadata.name: must be lower-case letters, digits, - and ., 253 characters at most",
        f"5:3 {place} metadata.lables: unknown field lables; did you mean labels?",
        f'7:11 {place} spec.hosts[0]: must be text, and on without quotes is true in YAML: put it in quotes: "on"',
        f"10:27 {place} spec.http[0].route[0].destination.host: a destination is one service: * is not accepted",
        f"11:7 {place} spec.http[0].route[0].weigth: unknown field weigth; did you mean weight?",
        f"12:14 {place} spec.http[0].timeout: write a duration such as 5s, 1.5s, 100ms or 1h30m",
        f"13:25 {place} spec.http[0].retries.attempts: may not be negative, but is -1",
    ]


def test_the_rules_say_nothing_that_a_mismatch_may_have_caused(load_text: LoadText) -> None:
    loaded = load_text("""\
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: a}
        spec:
          hots: [a]
          http: [{rout: [{destination: {host: a}}]}]
        """)
    assert [problem.message for problem in loaded.problems] == [
        "unknown field hots; did you mean hosts?",
        "unknown field rout; did you mean route?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: VirtualService", "apiVersion: is required, as in apiVersion: networking.istio.io/v1"),
        ("apiVersion: v1", "kind: is required, as in kind: VirtualService"),
        ("{apiVersion: 1, kind: Service}", "apiVersion: must be text"),
        ("[a, b]", "a document is a mapping"),
        ("text", "a document is a mapping"),
    ],
)
def test_what_is_no_resource_is_told(load_text: LoadText, text: str, message: str) -> None:
    (problem,) = load_text(text).problems
    assert problem.severity == "error"
    assert message in str(problem)


def test_a_field_beside_spec_is_told(load_text: LoadText) -> None:
    loaded = load_text(VALID % "a" + "hosts: [b]\n")
    assert lines(loaded) == [
        "6:1 VirtualService/default/a hosts: unknown field hosts; does it belong under spec?",
    ]


def test_a_spec_that_is_no_mapping_is_told(load_text: LoadText) -> None:
    text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: [a]"
    assert lines(load_text(text)) == ["4:7 VirtualService/default/a spec: must be a mapping, not a list"]


def test_a_document_needs_a_name_but_an_installation_does_not(load_text: LoadText) -> None:
    assert lines(load_text("apiVersion: security.istio.io/v1\nkind: PeerAuthentication")) == [
        "1:1 PeerAuthentication/default metadata.name: is required: a document is known by its name"
    ]
    assert load_text("apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator").ok


def test_a_key_that_is_there_twice_is_an_error(load_text: LoadText) -> None:
    loaded = load_text(VALID % "a" + "kind: VirtualService\n")
    assert lines(loaded) == ["6:1 VirtualService/default/a: kind is there twice"]
    assert loaded.documents == ()


def test_what_does_not_apply_is_not_looked_into(load_text: LoadText) -> None:
    loaded = load_text("apiVersion: apps/v1\nkind: Deployment\nspec: {on: 012, a: !x 1, a: 2}")
    assert loaded.ok
    assert [(problem.severity, problem.code) for problem in loaded.problems] == [("info", "PYP0004")]


def test_a_service_from_kubectl_is_one(load_text: LoadText) -> None:
    (document,) = load_text("""\
        apiVersion: v1
        kind: Service
        metadata:
          name: a
          creationTimestamp: 2026-01-02T03:04:05Z
          uid: 1
          ownerReferences: [{anything: [1]}]
        spec: {ports: [{port: 80, targetPort: http}]}
        status: {loadBalancer: {}}
        """).documents
    assert isinstance(document.spec, KubernetesService)
    assert document.spec.ports[0].target_port == "http"


def test_nothing_at_all_is_fine(tmp_path: Path) -> None:
    assert load([tmp_path]) == Loaded((), ())
    assert load([]).ok


def test_a_path_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    loaded = load([tmp_path / "nothing"])
    assert not loaded.ok
    assert [problem.code for problem in loaded.problems] == ["PYP0001"]
