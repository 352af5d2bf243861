"""VirtualServices as rules: full names, delegates, visibility and precedence."""

from __future__ import annotations

from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.rules import Rules, collect_rules, visible_rules
from tests.snapshot.documents import documents, mesh, rules


def collected(*texts: str) -> tuple[Rules, ...]:
    found = documents("\n---\n".join(texts))
    return collect_rules(found, mesh_settings(found))


def test_short_names_are_expanded_in_the_rules_own_namespace() -> None:
    (found,) = collected(
        rules(
            """
hosts: [Reviews, shop.com]
gateways: [mesh, door, other/door]
http:
- match: [{gateways: [door]}]
  route: [{destination: {host: reviews}}, {destination: {host: reviews.prod}, weight: 1}]
  mirror: {host: ratings}
- route: [{destination: {host: shop.com}}]
  mirrors: [{destination: {host: ratings}}]
tcp:
- match: [{gateways: [door]}]
  route: [{destination: {host: reviews}}]
""",
            namespace="books",
        )
    )

    assert found.full_name == "rules.books"
    assert found.hosts == ("reviews.books.svc.cluster.local", "shop.com")
    assert found.gateways == ("mesh", "books/door", "other/door")
    first, second = found.http
    assert first.match[0].gateways == ("books/door",)
    assert [each.destination.host for each in first.route] == ["reviews.books.svc.cluster.local", "reviews.prod"]
    assert first.mirror is not None
    assert first.mirror.host == "ratings.books.svc.cluster.local"
    assert second.mirrors[0].destination.host == "ratings.books.svc.cluster.local"
    assert found.tcp[0].match[0].gateways == ("books/door",)
    assert found.tcp[0].route[0].destination.host == "reviews.books.svc.cluster.local"


def test_without_gateways_rules_are_for_the_mesh() -> None:
    (found,) = collected(rules("hosts: [a]\nhttp: [{route: [{destination: {host: a}}]}]"))

    assert found.gateways == ("mesh",)


ROOT = """
hosts: [shop.com]
http:
- name: before
  match: [{uri: {prefix: /x}}]
  route: [{destination: {host: a.com}}]
- name: root
  match: [{uri: {prefix: /api}}]
  delegate: {name: part, namespace: team}
- name: after
  route: [{destination: {host: b.com}}]
"""
PART = "http:\n- match: [{uri: {prefix: /api/v1}}]\n  route: [{destination: {host: part}}]"


def test_a_delegates_routes_stand_where_the_root_names_it_and_keep_their_namespace() -> None:
    (found,) = collected(rules(ROOT), rules(PART, "part", "team"))

    assert [route.name for route in found.http] == ["before", "root", "after"]
    assert found.http[1].route[0].destination.host == "part.team.svc.cluster.local"
    assert found.http[1].match[0].uri is not None
    assert found.http[1].match[0].uri.prefix == "/api/v1"


def test_a_delegate_that_is_missing_or_not_exported_takes_only_its_route_away() -> None:
    private = rules(f"exportTo: ['.']\n{PART}", "part", "team")

    for documents_ in ((rules(ROOT),), (rules(ROOT), private)):
        (found,) = collected(*documents_)
        assert [route.name for route in found.http] == ["before", "after"]


def route_to(name: str, namespace: str, export: str) -> str:
    spec = "hosts: [a.com]\nhttp: [{route: [{destination: {host: a.com}}]}]"
    return rules(f"exportTo: [{export}]\n{spec}" if export else spec, name, namespace)


def test_private_rules_come_first_then_those_exported_to_us_then_public_ones() -> None:
    found = collected(
        route_to("public-old", "x", ""),
        route_to("exported", "x", "books"),
        route_to("public-young", "books", "'*'"),
        route_to("elsewhere", "x", "other"),
        route_to("private", "books", "'.'"),
        route_to("private-of-others", "x", "'.'"),
    )

    assert [each.name for each in visible_rules(found, "books", "mesh")] == [
        "private",
        "exported",
        "public-old",
        "public-young",
    ]


def test_the_mesh_says_who_sees_rules_that_do_not() -> None:
    found = collected(mesh("defaultVirtualServiceExportTo: ['.']"), route_to("quiet", "x", ""))

    assert visible_rules(found, "books", "mesh") == []
    assert len(visible_rules(found, "x", "mesh")) == 1
