from __future__ import annotations

from tests.analysis.conftest import Find

SERVICE = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME}
spec:
  hosts: [NAME.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.9.9, labels: {app: NAME}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: NAME}
spec: {hosts: [NAME], http: [{retries: {attempts: 2}, route: [{destination: {host: NAME}}]}]}
---
"""
CALLS = """\
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: FROM}
spec: {workloadSelector: {labels: {app: FROM}}, egress: [{hosts: [./TO.default.svc.cluster.local]}]}
---
"""


def services(*names: str) -> str:
    return "".join(SERVICE.replace("NAME", name) for name in names)


def calls(one: str, other: str) -> str:
    return CALLS.replace("FROM", one).replace("TO", other)


def test_the_worst_way_to_each_tier_is_told(find: Find) -> None:
    chain = services("a", "b", "c", "d") + calls("a", "b") + calls("b", "c") + calls("c", "d")
    found = [(each.document.name, each.message.partition(" along ")[0]) for each in find(chain)]
    assert found == [
        ("c", "one request may become 9 (3 x 3)"),
        ("d", "one request may become 27 (3 x 3 x 3)"),
    ]


def test_one_tier_alone_is_nobodys_business(find: Find) -> None:
    assert find(services("a", "b").replace("attempts: 2", "attempts: 20") + calls("a", "b")) == []


def test_where_nobody_tells_who_calls_whom_the_worst_is_told_once(find: Find) -> None:
    [found] = find(services("a", "b", "c", "d"))
    assert (found.code, found.document.name) == ("PYP0103", "d")
    assert found.message.startswith(
        "if these call one another, one request may become 27: a.default.svc.cluster.local (3"
    )
    assert find(services("a")) == []


def test_a_circle_ends(find: Find) -> None:
    assert {each.code for each in find(services("a", "b") + calls("a", "b") + calls("b", "a"))} <= {"PYP0103"}


def test_source_labels_tell_who_calls(find: Find) -> None:
    labelled = services("a", "b", "c").replace("[{retries", "[{match: [{sourceLabels: {app: CALLER}}], retries")
    first, second, third = labelled.split("---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry")
    rest = "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry"
    text = first.replace("CALLER", "z") + rest + second.replace("CALLER", "a") + rest + third.replace("CALLER", "b")
    [found] = [each for each in find(text) if each.code == "PYP0103"]
    assert found.message.startswith("one request may become 9 (3 x 3) along a.default.svc.cluster.local -> b.")
