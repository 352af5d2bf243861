"""The whole function: what it promises about its inputs and its cost."""

from __future__ import annotations

import time

from pyproxy.snapshot.compile import compile_snapshot
from pyproxy.snapshot.model import Identity, Listening
from tests.snapshot.documents import compilation, compiled, documents, entry, find, mesh, request, rules, target


def test_nothing_at_all_compiles() -> None:
    for identity in (Identity(), Identity(gateway=True)):
        found = compile_snapshot((), identity, Listening())

        assert found.problems == ()
        assert set(found.snapshot.clusters) == {
            "PassthroughCluster",
            "InboundPassthroughCluster",
            "BlackHoleCluster",
        }


def test_the_version_follows_the_documents() -> None:
    one, same, other = (compiled(entry(host)).version for host in ("a.com", "a.com", "b.com"))

    assert one == same
    assert one != other


def test_documents_are_kept_as_they_were_written_in_order() -> None:
    snapshot = compiled(entry("a.com"), entry("b.com"))

    assert [document["metadata"] for document in snapshot.documents] == [
        {"name": "a-com", "namespace": "default"},
        {"name": "b-com", "namespace": "default"},
    ]


def test_order_is_the_documents_own_not_that_of_the_sequence() -> None:
    first = rules("hosts: [a.com]\nhttp: [{name: first, route: [{destination: {host: a.com}}]}]", "b")
    second = rules("hosts: [a.com]\nhttp: [{name: second, route: [{destination: {host: a.com}}]}]", "a")
    found = documents("\n---\n".join((entry("a.com"), first, second)))

    route = find(compile_snapshot(found[::-1], Identity(), Listening()).snapshot, 80, "a.com")

    assert route is not None
    assert route.name == "first"


def test_the_mesh_tells_the_proxy_what_it_is_part_of() -> None:
    snapshot = compiled(
        mesh("trustDomain: books.example\naccessLogFile: /dev/stdout\nenableTracing: false"),
        identity=Identity(workload="w"),
    )

    assert (snapshot.identity.workload, snapshot.identity.trust_domain) == ("w", "books.example")
    for side in (snapshot.telemetry.client, snapshot.telemetry.server):
        assert [log.path for log in side.access_logs] == ["/dev/stdout"]
        assert not side.tracing.enabled


def test_a_thousand_virtual_services_compile_quickly_and_route_as_fast_as_ten() -> None:
    texts = []
    for number in range(1000):
        host = f"s{number}.default.svc.cluster.local"
        texts.append(entry(host, "8080/HTTP", endpoints="{address: 10.0.0.1}"))
        texts.append(
            rules(
                f"hosts: [s{number}]\nhttp:\n- match: [{{headers: {{end-user: {{exact: jason}}}}}}]\n"
                f"  route: [{{destination: {{host: s0}}}}]\n- route: [{{destination: {{host: s{number}}}}}]",
                f"s{number}",
            )
        )
    found = documents("\n---\n".join(texts))

    start = time.process_time()
    snapshot = compile_snapshot(found, Identity(), Listening()).snapshot
    spent = time.process_time() - start

    assert spent < 2.0
    assert target(snapshot, 8080, "s999") == "outbound|8080||s999.default.svc.cluster.local"
    assert target(snapshot, 8080, "s999", request(headers={"end-user": "jason"})) == (
        "outbound|8080||s0.default.svc.cluster.local"
    )
    assert len(snapshot.route_tables["8080"].suffix_lengths) == 0


def test_valid_documents_of_every_kind_raise_nothing() -> None:
    found = compilation(
        entry("a.com"),
        rules("hosts: [a.com]\nhttp: [{redirect: {uri: /x, redirectCode: 304}}]"),
        rules("host: nowhere\nsubsets: [{name: v1}]", kind="DestinationRule"),
        rules(
            "selector: {a: b}\nservers:\n- port: {number: 80, name: a, protocol: HTTP}\n  hosts: ['*']", kind="Gateway"
        ),
        rules("template: {serviceAccount: a}", kind="WorkloadGroup"),
        rules("rules: [{}]", kind="AuthorizationPolicy").replace("networking.istio.io", "security.istio.io"),
    )

    assert "outbound|80||a.com" in found.snapshot.clusters
