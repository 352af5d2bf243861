"""Routes of VirtualServices as a sidecar in namespace default gets them."""

from __future__ import annotations

from pyproxy.core.context import RequestContext
from pyproxy.policy.balancing import Algorithm
from pyproxy.snapshot.model import DirectResponse, HashKind, Identity, PathRewrite, Redirect, Route, Template
from tests.snapshot.documents import compiled, entry, find, forward, mesh, request, rules, shares, target

REVIEWS = entry(
    "reviews.default.svc.cluster.local", "9080/HTTP", endpoints="{address: 10.0.0.1, labels: {version: v1}}"
)
RATINGS = entry("ratings.default.svc.cluster.local", "9080/HTTP", "80/HTTP")
SUBSETS = rules(
    """
host: reviews
subsets:
- {name: v1, labels: {version: v1}}
- {name: v2, labels: {version: v2}}
""",
    kind="DestinationRule",
)
V1, V2 = "outbound|9080|v1|reviews.default.svc.cluster.local", "outbound|9080|v2|reviews.default.svc.cluster.local"
PLAIN = "outbound|9080||reviews.default.svc.cluster.local"


def reviews(http: str, *others: str, identity: Identity | None = None) -> list[Route]:
    """The routes of reviews under one VirtualService for it."""
    snapshot = compiled(
        REVIEWS, SUBSETS, rules(f"hosts: [reviews]\nhttp:\n{http}"), *others, identity=identity or Identity()
    )
    host = snapshot.route_tables["9080"].exact[b"reviews"]
    return list(host.routes)


def text(template: Template | None) -> bytes:
    assert template is not None
    return template(RequestContext(request(), 0.0, 0.0))


def test_the_first_route_that_matches_is_used() -> None:
    snapshot = compiled(
        REVIEWS,
        SUBSETS,
        rules(
            """
hosts: [reviews]
http:
- match: [{headers: {end-user: {exact: jason}}}]
  route: [{destination: {host: reviews, subset: v2}}]
- route: [{destination: {host: reviews, subset: v1}}]
"""
        ),
    )

    assert target(snapshot, 9080, "reviews", request(headers={"end-user": "jason"})) == V2
    assert target(snapshot, 9080, "reviews") == V1


def test_every_match_becomes_a_route_with_the_same_action() -> None:
    routes = reviews(
        """
- name: api
  match: [{name: new, uri: {prefix: /new}}, {uri: {exact: /old}}]
  route: [{destination: {host: reviews, subset: v1}}]
"""
    )

    assert [route.name for route in routes] == ["api.new", "api"]
    assert [shares(route) for route in routes] == [{V1: 1}, {V1: 1}]
    assert [route.matched_prefix for route in routes] == [b"/new", None]
    assert routes[0].virtual_service == "rules.default"
    assert routes[0].description == "path starts /new"


def test_nothing_comes_after_the_first_route_that_takes_everything() -> None:
    routes = reviews(
        """
- name: all
  match: [{uri: {prefix: /}}, {uri: {prefix: /late}}]
  route: [{destination: {host: reviews}}]
- name: never
  route: [{destination: {host: reviews}}]
"""
    )

    assert [route.name for route in routes] == ["all"]
    assert routes[0].matches is None


def test_blocks_for_other_proxies_are_absent() -> None:
    identity = Identity(labels={"app": "productpage"})
    http = """
- name: port
  match: [{port: 80}]
  route: [{destination: {host: reviews}}]
- name: labels
  match: [{sourceLabels: {app: other}}]
  route: [{destination: {host: reviews}}]
- name: mine
  match: [{sourceLabels: {app: productpage}, sourceNamespace: default, port: 9080, uri: {prefix: /x}}]
  route: [{destination: {host: reviews}}]
- name: gateway
  match: [{gateways: [door]}]
  route: [{destination: {host: reviews}}]
"""

    assert [route.name for route in reviews(http, identity=identity)] == ["mine"]


def test_rules_of_which_nothing_is_left_leave_the_default_route() -> None:
    (route,) = reviews("- match: [{sourceLabels: {app: other}}]\n  route: [{destination: {host: reviews, subset: v1}}]")

    assert route.name == "default"
    assert shares(route) == {PLAIN: 1}
    assert route.virtual_service == ""


# Destinations and weights


def test_the_weight_of_a_single_destination_is_ignored() -> None:
    (route,) = reviews("- route: [{destination: {host: reviews}, weight: 0}]")

    assert shares(route) == {PLAIN: 1}
    assert forward(route).cumulative == ()


def test_of_several_those_with_weight_zero_are_dropped_and_the_rest_need_not_make_100() -> None:
    (route,) = reviews(
        """
- route:
  - {destination: {host: reviews, subset: v1}, weight: 3}
  - {destination: {host: reviews}, weight: 0}
  - {destination: {host: reviews, subset: v2}, weight: 1}
"""
    )

    assert shares(route) == {V1: 3, V2: 1}
    assert forward(route).cumulative == (3, 4)


def test_a_destination_without_a_port_has_the_services_only_port_else_ours() -> None:
    snapshot = compiled(
        REVIEWS,
        RATINGS,
        rules("hosts: [ratings]\nhttp:\n- route: [{destination: {host: reviews}}]", "a"),
        rules("hosts: [reviews]\nhttp:\n- route: [{destination: {host: ratings}}]", "b"),
    )

    assert target(snapshot, 80, "ratings") == PLAIN
    assert target(snapshot, 9080, "reviews") == "outbound|9080||ratings.default.svc.cluster.local"


def test_a_named_port_is_taken_and_an_unknown_destination_names_no_cluster() -> None:
    snapshot = compiled(
        REVIEWS,
        RATINGS,
        rules(
            """
hosts: [reviews]
http:
- match: [{uri: {exact: /a}}]
  route: [{destination: {host: ratings, port: {number: 80}}}]
- match: [{uri: {exact: /b}}]
  route: [{destination: {host: nobody}}]
- route: [{destination: {host: reviews, subset: v9}}]
"""
        ),
    )

    assert target(snapshot, 9080, "reviews", request("/a")) == "outbound|80||ratings.default.svc.cluster.local"
    unknown = target(snapshot, 9080, "reviews", request("/b"))
    assert unknown == "outbound|9080||nobody.default.svc.cluster.local"
    assert unknown not in snapshot.clusters
    assert target(snapshot, 9080, "reviews", request("/c")) not in snapshot.clusters


# Timeouts and retries


def test_there_is_no_timeout_and_there_are_retries_by_default() -> None:
    (route,) = reviews("- route: [{destination: {host: reviews}}]")

    assert forward(route).timeout == 0.0
    retry = forward(route).retry
    assert retry is not None
    assert retry.attempts == 2
    assert retry.avoid_previous_hosts


def test_a_route_says_its_own() -> None:
    (route,) = reviews("- route: [{destination: {host: reviews}}]\n  timeout: 500ms\n  retries: {attempts: 0}")

    assert forward(route).timeout == 0.5
    assert forward(route).retry is None


def test_the_mesh_has_a_default_for_routes_that_say_nothing() -> None:
    default = mesh("defaultHttpRetryPolicy: {attempts: 7, retryOn: '5xx'}")
    snapshot = compiled(
        REVIEWS, RATINGS, default, rules("hosts: [reviews]\nhttp:\n- route: [{destination: {host: reviews}}]")
    )

    for host in ("reviews", "ratings"):
        retry = forward(find(snapshot, 9080, host)).retry
        assert retry is not None
        assert (retry.attempts, retry.retry_on) == (7, {"5xx"})


# Rewrite, redirect, direct response


def test_rewrites_of_path_and_authority() -> None:
    (route,) = reviews(
        "- match: [{uri: {prefix: /foo}}]\n  rewrite: {uri: /, authority: b.com}\n"
        "  route: [{destination: {host: reviews}}]"
    )

    assert forward(route).rewrite_path is not None
    assert forward(route).rewrite_path(b"/foo/bar") == b"//bar"
    assert forward(route).path_rewrite == PathRewrite("/")
    assert forward(route).rewrite_authority == b"b.com"


def test_a_regex_rewrites_within_the_path() -> None:
    (route,) = reviews(
        """
- match: [{uri: {prefix: /}}]
  rewrite: {uriRegexRewrite: {match: '^/service/([^/]+)(/.*)$', rewrite: '\\2/\\1'}}
  route: [{destination: {host: reviews}}]
"""
    )

    assert forward(route).rewrite_path is not None
    assert forward(route).rewrite_path(b"/service/foo/v1") == b"/v1/foo"


def test_redirect_and_direct_response_carry_response_headers() -> None:
    routes = reviews(
        """
- match: [{uri: {prefix: /old}}]
  redirect: {prefixRewrite: /new, redirectCode: 302}
  headers: {response: {set: {x: '1'}}}
- directResponse: {status: 418, body: {string: teapot}}
  headers: {response: {set: {x: '2'}}}
"""
    )

    assert routes[0].action == Redirect(302, prefix_rewrite=b"/new")
    assert routes[0].matched_prefix == b"/old"
    assert routes[1].action == DirectResponse(418, b"teapot")
    assert [route.response_headers and text(route.response_headers.set[0][1]) for route in routes] == [b"1", b"2"]


def test_a_redirect_code_that_envoy_cannot_send_breaks_the_route() -> None:
    (route,) = reviews("- redirect: {uri: /x, redirectCode: 305}")

    assert shares(route) == {"": 1}


def test_nobody_reads_the_cors_policy_of_an_answer_of_our_own() -> None:
    policy = "corsPolicy: {allowOrigins: [{exact: 'https://a.com'}]}"
    for action in ("redirect: {uri: /x}", "directResponse: {status: 200}"):
        (route,) = reviews(f"- {action}\n  {policy}")
        assert route.cors is None


# Headers


def test_one_destination_merges_both_levels_and_several_do_not() -> None:
    one, several = (
        reviews(
            f"""
- headers: {{request: {{set: {{x: route}}}}}}
  route:
  - destination: {{host: reviews, subset: v1}}
    weight: 1
    headers: {{request: {{set: {{x: own, host: own.com}}}}}}
{more}
"""
        )[0]
        for more in ("", "  - {destination: {host: reviews, subset: v2}, weight: 1}")
    )

    assert one.request_headers is not None
    assert [text(value) for _, value in one.request_headers.set] == [b"route", b"own"]
    assert forward(one).destinations[0].request_headers is None
    assert forward(one).rewrite_authority == b"own.com"

    assert several.request_headers is not None
    assert several.destination_headers_first
    assert [text(value) for _, value in several.request_headers.set] == [b"route"]
    own = forward(several).destinations[0]
    assert own.request_headers is not None
    assert [text(value) for _, value in own.request_headers.set] == [b"own"]
    assert own.host_rewrite == b"own.com"
    assert forward(several).rewrite_authority is None


def test_the_routes_authority_beats_a_destinations() -> None:
    (route,) = reviews(
        """
- rewrite: {authority: route.com}
  route:
  - {destination: {host: reviews, subset: v1}, weight: 1, headers: {request: {set: {host: own.com}}}}
  - {destination: {host: reviews, subset: v2}, weight: 1}
"""
    )

    assert forward(route).rewrite_authority == b"route.com"
    assert [each.host_rewrite for each in forward(route).destinations] == [None, None]


# Mirrors, faults, CORS


def test_mirrors_and_their_shares() -> None:
    routes = reviews(
        """
- match: [{uri: {exact: /one}}]
  route: [{destination: {host: reviews, subset: v1}}]
  mirror: {host: reviews, subset: v2}
- route: [{destination: {host: reviews, subset: v1}}]
  mirrors:
  - {destination: {host: reviews, subset: v2}, percentage: {value: 10}}
  - {destination: {host: nobody, port: {number: 80}}}
  - {destination: {host: reviews}, percentage: {value: 0}}
"""
    )

    assert [(mirror.cluster, mirror.per_million) for mirror in forward(routes[0]).mirrors] == [(V2, 1_000_000)]
    assert [(mirror.cluster, mirror.per_million) for mirror in forward(routes[1]).mirrors] == [
        (V2, 100_000),
        ("outbound|80||nobody.default.svc.cluster.local", 1_000_000),
    ]


def test_faults_and_cors_stand_on_the_route() -> None:
    (route,) = reviews(
        """
- fault: {abort: {httpStatus: 500, percentage: {value: 100}}}
  corsPolicy: {allowOrigins: [{exact: 'https://a.com'}]}
  route: [{destination: {host: reviews}}]
"""
    )

    assert route.fault is not None
    assert route.fault.abort_status == 500
    assert route.cors is not None


# Consistent hashing


def hashing(policy: str) -> str:
    return rules(f"host: reviews\n{policy}", "hash", kind="DestinationRule")


def test_the_hash_of_a_destinations_rule_stands_on_the_route_and_retries_stay_on_the_host() -> None:
    rule = hashing("trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: X-User}}}")
    snapshot = compiled(REVIEWS, rule, rules("hosts: [reviews]\nhttp:\n- route: [{destination: {host: reviews}}]"))

    action = forward(find(snapshot, 9080, "reviews"))

    assert [(policy.kind, policy.name) for policy in action.hash_policies] == [(HashKind.HEADER, b"x-user")]
    assert action.retry is not None
    assert not action.retry.avoid_previous_hosts
    assert snapshot.clusters[PLAIN].load_balancing.algorithm is Algorithm.RING_HASH


def test_a_services_default_route_hashes_too_but_its_retries_move_on() -> None:
    rule = hashing("trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: user, ttl: 0s, path: /}}}}")

    action = forward(find(compiled(REVIEWS, rule), 9080, "reviews"))

    (policy,) = action.hash_policies
    assert (policy.kind, policy.name, policy.cookie_ttl, policy.cookie_path) == (HashKind.COOKIE, b"user", 0.0, "/")
    assert action.retry is not None
    assert action.retry.avoid_previous_hosts


def test_the_more_particular_hash_comes_first_and_weighted_routes_have_all() -> None:
    rule = hashing(
        """
trafficPolicy:
  loadBalancer: {consistentHash: {httpHeaderName: top}}
  portLevelSettings:
  - {port: {number: 9080}, loadBalancer: {consistentHash: {httpHeaderName: port}}}
subsets:
- {name: v1}
- name: v2
  trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}
"""
    )
    snapshot = compiled(
        REVIEWS,
        rule,
        rules(
            """
hosts: [reviews]
http:
- route:
  - {destination: {host: reviews, subset: v1}, weight: 1}
  - {destination: {host: reviews, subset: v1, port: {number: 9080}}, weight: 1}
  - {destination: {host: reviews, subset: v2}, weight: 1}
"""
        ),
    )

    action = forward(find(snapshot, 9080, "reviews"))

    assert [(policy.kind, policy.name) for policy in action.hash_policies] == [
        (HashKind.HEADER, b"top"),
        (HashKind.HEADER, b"port"),
        (HashKind.SOURCE_IP, b""),
    ]
    assert action.retry is not None
    assert action.retry.avoid_previous_hosts


# Span names


def test_a_span_is_called_after_the_one_destination_or_else_the_virtual_service() -> None:
    routes = reviews(
        """
- match: [{uri: {prefix: /a}}]
  route: [{destination: {host: reviews, subset: v1}}]
- match: [{uri: {exact: /b}}]
  route: [{destination: {host: reviews, subset: v1}, weight: 1}, {destination: {host: reviews, subset: v2}, weight: 1}]
- match: [{uri: {regex: '/c+'}}]
  redirect: {uri: /d}
- route: [{destination: {host: reviews}}]
"""
    )

    assert [route.operation for route in routes] == [
        "reviews.default.svc.cluster.local:9080/a*",
        "rules:9080/b",
        "rules:9080/c+",
        "reviews.default.svc.cluster.local:9080/*",
    ]


def test_rules_that_stand_on_two_ports_are_the_same_but_for_span_names() -> None:
    snapshot = compiled(
        entry("two.default.svc.cluster.local", "80/HTTP", "81/HTTP"),
        REVIEWS,
        rules(
            """
hosts: [two]
http:
- match: [{uri: {prefix: /a}}]
  route: [{destination: {host: reviews}, weight: 1}, {destination: {host: reviews, subset: v1}, weight: 1}]
- match: [{port: 81}]
  route: [{destination: {host: reviews}}]
- route: [{destination: {host: two}}]
"""
        ),
    )

    ports = {port: find(snapshot, port, "two") for port in (80, 81)}
    assert shares(ports[80]) == {"outbound|80||two.default.svc.cluster.local": 1}
    assert shares(ports[81]) == {PLAIN: 1}
    spans = [route.operation for port in (80, 81) if (route := find(snapshot, port, "two", request("/a")))]
    assert spans == ["rules:80/a*", "rules:81/a*"]


def test_portable_rules_are_compiled_once_for_all_ports() -> None:
    snapshot = compiled(
        entry("two.default.svc.cluster.local", "80/HTTP", "81/HTTP"),
        REVIEWS,
        rules(
            """
hosts: [two]
http:
- match: [{uri: {prefix: /a}}]
  route: [{destination: {host: reviews}, weight: 1}, {destination: {host: reviews, subset: v1}, weight: 1}]
- route: [{destination: {host: reviews}}]
"""
        ),
    )

    assert find(snapshot, 80, "two") is find(snapshot, 81, "two")
    spans = [route.operation for port in (80, 81) if (route := find(snapshot, port, "two", request("/a")))]
    assert spans == ["rules:80/a*", "rules:81/a*"]
