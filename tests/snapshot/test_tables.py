"""Outbound tables: which virtual host a request meets on which port, and what happens to unknown hosts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyproxy.snapshot.hosts import covers, is_wildcard, specificity
from pyproxy.snapshot.model import PASSTHROUGH_CLUSTER, DirectResponse, Identity, Snapshot
from tests.snapshot.documents import compiled, entry, find, find_in, forward, mesh, request, rules, shares, target

REVIEWS = entry("reviews.default.svc.cluster.local", "9080/HTTP")
DETAILS = entry("details.default.svc.cluster.local", "9080/HTTP", "80/HTTP")
DATABASE = entry("database.default.svc.cluster.local", "5432/TCP", "80/HTTP")


def names(snapshot: Snapshot, table: str) -> set[str]:
    found = snapshot.route_tables[table]
    return {host.name for host in (*found.exact.values(), *found.suffixes.values())}


def to(host: str, name: str = "", hosts: str = "") -> str:
    return rules(
        f"hosts: [{hosts or host}]\nhttp:\n- name: {name or 'rule'}\n  route: [{{destination: {{host: {host}}}}}]",
        name or "rule",
    )


def test_each_http_port_has_a_table_of_the_services_on_it() -> None:
    snapshot = compiled(REVIEWS, DETAILS, DATABASE)

    assert names(snapshot, "9080") == {
        "reviews.default.svc.cluster.local:9080",
        "details.default.svc.cluster.local:9080",
    }
    assert names(snapshot, "80") == {
        "details.default.svc.cluster.local:80",
        "database.default.svc.cluster.local:80",
    }
    assert "5432" not in snapshot.route_tables
    assert snapshot.port_tables[9080] is snapshot.route_tables["9080"]


def test_a_service_without_rules_gets_the_default_route() -> None:
    route = find(compiled(DETAILS), 80, "details")

    assert route is not None
    assert (route.name, route.matches, route.virtual_service) == ("default", None, "")
    assert route.operation == "details.default.svc.cluster.local:80/*"
    assert shares(route) == {"outbound|80||details.default.svc.cluster.local": 1}


@pytest.mark.parametrize(
    ("host", "namespace", "known"),
    [
        ("details.default.svc.cluster.local", "default", True),
        ("details.default.svc.cluster.local.", "default", True),
        ("details", "default", True),
        ("details.default", "default", True),
        ("details.default.svc", "default", True),
        ("details", "books", False),
        ("details.default", "books", True),
        ("details.default.svc", "books", True),
    ],
)
def test_short_names_depend_on_the_namespace_of_the_proxy(host: str, namespace: str, known: bool) -> None:
    route = find(compiled(DETAILS, identity=Identity(namespace=namespace)), 80, host)

    assert (route is not None and route.name == "default") is known


# Unknown hosts


def test_an_unknown_host_goes_where_it_was_going() -> None:
    snapshot = compiled(DETAILS)

    route = find(snapshot, 80, "nowhere.com")

    assert route is not None
    assert route.name == "allow_any"
    assert shares(route) == {PASSTHROUGH_CLUSTER: 1}
    assert forward(route).retry is None
    assert snapshot.allow_any
    assert find_in(snapshot.route_tables["allow_any"], "nowhere.com") is route


def test_registry_only_answers_502() -> None:
    snapshot = compiled(DETAILS, mesh("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"))

    route = find(snapshot, 80, "nowhere.com")

    assert route is not None
    assert (route.name, route.action) == ("block_all", DirectResponse(502))
    assert not snapshot.allow_any


# Which VirtualService applies


def test_two_virtual_services_for_one_host_do_not_merge_the_oldest_counts() -> None:
    snapshot = compiled(REVIEWS, to("reviews", "first"), to("reviews", "second"))

    routes = snapshot.route_tables["9080"].exact[b"reviews"].routes

    assert [route.name for route in routes] == ["first"]


def test_rules_with_nothing_for_us_leave_the_host_to_younger_ones() -> None:
    nothing = rules(
        "hosts: [reviews]\nhttp:\n- match: [{sourceLabels: {app: x}}]\n  route: [{destination: {host: reviews}}]",
        "first",
    )

    route = find(compiled(REVIEWS, nothing, to("reviews", "second")), 9080, "reviews")

    assert route is not None
    assert route.name == "second"


def test_an_exact_host_beats_a_wildcard_and_a_longer_wildcard_a_shorter() -> None:
    snapshot = compiled(
        REVIEWS,
        DETAILS,
        entry("ratings.other.svc.cluster.local", "9080/HTTP"),
        to("reviews", "short", "'*.svc.cluster.local'"),
        to("reviews", "long", "'*.default.svc.cluster.local'"),
        to("reviews", "exact"),
    )

    chosen = {host: find(snapshot, 9080, host) for host in ("reviews", "details", "ratings.other")}

    assert {host: route.name for host, route in chosen.items() if route} == {
        "reviews": "exact",
        "details": "long",
        "ratings.other": "short",
    }
    assert b"*.default.svc.cluster.local" not in snapshot.route_tables["80"].exact


def test_a_private_virtual_service_comes_before_a_public_older_one() -> None:
    public = to("reviews", "public")
    private = to("reviews", "private").replace("spec:", "spec:\n  exportTo: ['.']")

    route = find(compiled(REVIEWS, public, private), 9080, "reviews")

    assert route is not None
    assert route.name == "private"


def test_a_virtual_service_of_gateways_only_is_not_for_sidecars() -> None:
    bound = to("reviews", "door").replace("spec:", "spec:\n  gateways: [door]")

    route = find(compiled(REVIEWS, bound), 9080, "reviews")

    assert route is not None
    assert route.name == "default"


def test_hosts_that_no_service_has_live_on_port_80_only() -> None:
    snapshot = compiled(REVIEWS, to("reviews", "shop", "shop.com, '*.shop.com'"))

    assert [find(snapshot, port, "shop.com").name for port in (80, 9080)] == ["shop", "allow_any"]  # type: ignore[union-attr]
    assert target(snapshot, 80, "eu.shop.com") == "outbound|9080||reviews.default.svc.cluster.local"
    assert 80 not in snapshot.outbound_ports


def test_hosts_beside_a_services_own_live_on_its_ports_too() -> None:
    snapshot = compiled(REVIEWS, to("reviews", "both", "reviews, shop.com"))

    assert target(snapshot, 9080, "shop.com") == "outbound|9080||reviews.default.svc.cluster.local"


def test_rules_for_a_service_that_is_not_on_port_80_answer_its_full_name_there() -> None:
    snapshot = compiled(REVIEWS, to("reviews"))

    assert target(snapshot, 80, "reviews.default.svc.cluster.local") == (
        "outbound|9080||reviews.default.svc.cluster.local"
    )
    assert b"reviews" not in snapshot.route_tables["80"].exact


# Wildcards, addresses, headless services, clashes


def test_a_wildcard_service_takes_what_nobody_names_exactly() -> None:
    snapshot = compiled(
        entry("*.wiki.org", resolution="NONE", name="wiki"),
        entry("en.wiki.org", name="en"),
        entry("*.en.wiki.org", name="deep"),
    )

    assert target(snapshot, 80, "de.wiki.org") == "outbound|80||*.wiki.org"
    assert target(snapshot, 80, "en.wiki.org") == "outbound|80||en.wiki.org"
    assert target(snapshot, 80, "a.en.wiki.org") == "outbound|80||*.en.wiki.org"
    assert find(snapshot, 80, "wiki.org").name == "allow_any"  # type: ignore[union-attr]


def test_a_service_answers_to_its_virtual_addresses() -> None:
    snapshot = compiled(entry("db.com", addresses="10.1.1.1, 'fd00::1', 10.2.0.0/16"))

    assert target(snapshot, 80, "10.1.1.1") == "outbound|80||db.com"
    assert target(snapshot, 80, "[fd00::1]") == "outbound|80||db.com"
    assert find(snapshot, 80, "10.2.0.1").name == "allow_any"  # type: ignore[union-attr]


def test_a_headless_service_answers_for_everything_below_its_name() -> None:
    snapshot = compiled(
        """
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, ports: [{name: http, port: 80}]}
"""
    )

    for host in ("db", "db-0.db", "db-0.db.default.svc.cluster.local"):
        assert target(snapshot, 80, host) == "outbound|80||db.default.svc.cluster.local"


def test_a_short_name_never_hides_a_service_of_that_very_name() -> None:
    snapshot = compiled(entry("shop.com.svc.cluster.local", namespace="com"), entry("shop.com"))

    assert target(snapshot, 80, "shop.com") == "outbound|80||shop.com"
    assert target(snapshot, 80, "shop.com.svc") == "outbound|80||shop.com.svc.cluster.local"


def test_host_names_are_compared_in_lower_case() -> None:
    snapshot = compiled(entry("Shop.Com", name="shop"), to("shop.com", "shop", "SHOP.com"))

    route = find(snapshot, 80, "shop.com")

    assert route is not None
    assert route.name == "shop"


# Requests that name a port, or none


@pytest.mark.parametrize(
    ("port", "host", "cluster"),
    [
        (None, "reviews", "outbound|9080||reviews.default.svc.cluster.local"),
        (None, "details", "outbound|80||details.default.svc.cluster.local"),
        (9080, "details", "outbound|9080||details.default.svc.cluster.local"),
        (80, "reviews", "outbound|9080||reviews.default.svc.cluster.local"),
        (15001, "details", "outbound|80||details.default.svc.cluster.local"),
        (5432, "database", "outbound|80||database.default.svc.cluster.local"),
        (80, "nowhere.com", PASSTHROUGH_CLUSTER),
        (None, "nowhere.com", PASSTHROUGH_CLUSTER),
    ],
)
def test_a_port_that_knows_the_host_is_taken_else_the_services_main_port(
    port: int | None, host: str, cluster: str
) -> None:
    found = compiled(REVIEWS, DETAILS, DATABASE).outbound_table(port, host.encode())

    assert found is not None
    assert shares(found.route_for(request())) == {cluster: 1}


def test_without_port_80_the_first_http_port_is_the_main_one() -> None:
    found = compiled(entry("a.com", "5432/TCP", "9080/HTTP", "8080/HTTP")).outbound_table(None, b"a.com")

    assert found is not None
    assert shares(found.route_for(request())) == {"outbound|9080||a.com": 1}


def test_the_http_proxy_has_the_same_hosts_and_those_of_rules_alone() -> None:
    snapshot = compiled(REVIEWS, to("reviews", "shop", "shop.com"))

    for table in ("any", "http_proxy"):
        assert shares(find_in(snapshot.route_tables[table], "reviews")) == {
            "outbound|9080||reviews.default.svc.cluster.local": 1
        }
        route = find_in(snapshot.route_tables[table], "shop.com")
        assert route is not None
        assert route.name == "shop"


# Egress listeners of a Sidecar

SIDECAR = """
egress:
- port: {number: 9080, protocol: HTTP, name: http}
  hosts: ['./reviews.default.svc.cluster.local']
- hosts: ['./details.default.svc.cluster.local']
"""


def test_a_port_of_an_egress_listener_is_its_alone() -> None:
    snapshot = compiled(REVIEWS, DETAILS, DATABASE, rules(SIDECAR, kind="Sidecar"))

    assert names(snapshot, "9080") == {"reviews.default.svc.cluster.local:9080"}
    assert names(snapshot, "80") == {"details.default.svc.cluster.local:80"}
    assert find_in(snapshot.route_tables["any"], "details").name == "default"  # type: ignore[union-attr]
    assert find_in(snapshot.route_tables["any"], "database").name == "allow_any"  # type: ignore[union-attr]


def test_without_a_listener_for_every_port_any_has_what_the_others_import() -> None:
    sidecar = rules(
        "egress:\n- port: {number: 9080, protocol: HTTP, name: http}\n  hosts: ['./reviews.*']".replace(
            ".*", ".default.svc.cluster.local"
        ),
        kind="Sidecar",
    )
    snapshot = compiled(REVIEWS, DETAILS, sidecar)

    assert find_in(snapshot.route_tables["any"], "reviews").name == "default"  # type: ignore[union-attr]
    assert find_in(snapshot.route_tables["any"], "details").name == "allow_any"  # type: ignore[union-attr]


def test_a_unix_socket_and_a_proxy_port_reach_services_on_every_port() -> None:
    snapshot = compiled(
        REVIEWS,
        DETAILS,
        rules(
            """
egress:
- port: {number: 3128, protocol: HTTP_PROXY, name: proxy}
  hosts: ['*/*']
- port: {number: 0, protocol: HTTP, name: socket}
  bind: unix:///tmp/mesh.sock
  hosts: ['./reviews.default.svc.cluster.local']
""",
            kind="Sidecar",
        ),
    )

    assert shares(find_in(snapshot.route_tables["3128"], "details")) == {
        "outbound|80||details.default.svc.cluster.local": 1
    }
    assert shares(find_in(snapshot.route_tables["unix:///tmp/mesh.sock"], "reviews")) == {
        "outbound|9080||reviews.default.svc.cluster.local": 1
    }


def test_an_egress_proxy_takes_what_is_unknown() -> None:
    sidecar = rules(
        """
egress: [{hosts: ['*/*']}]
outboundTrafficPolicy:
  mode: ALLOW_ANY
  egressProxy: {host: out.istio-system.svc.cluster.local, port: {number: 3128}}
""",
        kind="Sidecar",
    )

    assert target(compiled(DETAILS, sidecar), 80, "nowhere.com") == (
        "outbound|3128||out.istio-system.svc.cluster.local"
    )


# Against a slow oracle

parts = st.sampled_from(["a", "b", "c-b"])
exact_hosts = st.lists(parts, min_size=1, max_size=3).map(lambda labels: ".".join(labels) + ".com")
all_hosts = st.one_of(exact_hosts, exact_hosts.map(lambda host: f"*.{host}"))


@settings(max_examples=60, deadline=None)
@given(st.lists(all_hosts, min_size=1, max_size=6, unique=True), st.lists(all_hosts, max_size=4), exact_hosts)
def test_lookup_agrees_with_reading_all_domains(services: list[str], ruled: list[str], host: str) -> None:
    documents = [entry(each, name=f"s{index}") for index, each in enumerate(services)]
    documents += [to("a.com", f"r{index}", f"'{each}'") for index, each in enumerate(ruled)]
    table = compiled(*documents).route_tables["80"]

    domains = [*services]
    for each in ruled:
        if not any(covers(each, one) or covers(one, each) for one in services if is_wildcard(each) or each == one):
            domains.append(each)
    fitting = [each for each in domains if covers(each, host)]

    found = table.virtual_host_for(host.encode())
    assert found is not None
    assert found.name == (f"{min(fitting, key=specificity)}:80" if fitting else "allow_any")
