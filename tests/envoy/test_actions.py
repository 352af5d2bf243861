"""What a route does, in Envoy's words."""

from __future__ import annotations

from typing import Any

from pyproxy.envoy.actions import NOBODY, direct_resource, forward_resource, redirect_resource
from pyproxy.policy.hashing import HashKind
from pyproxy.policy.retry import ISTIO_DEFAULT, RetryPolicy
from pyproxy.snapshot.model import (
    Destination,
    DirectResponse,
    Forward,
    HashPolicy,
    HeaderOps,
    Mirror,
    PathRewrite,
    Redirect,
)

A = Destination("a")


def forward(*destinations: Destination, **fields: Any) -> dict[str, Any]:
    return forward_resource(Forward(destinations or (A,), **fields), lambda name: name and name + "!")


def test_one_destination_and_its_timeout() -> None:
    assert forward(timeout=1.5) == {"cluster": "a!", "timeout": "1.5s", "max_grpc_timeout": "1.5s"}
    assert forward()["timeout"] == "0s"


def test_several_share_by_weight_each_with_operations_of_its_own() -> None:
    own = Destination("b", 2, HeaderOps(remove=(b"x",)), host_rewrite=b"b.com")
    assert forward(Destination("a", 1), own)["weighted_clusters"] == {
        "clusters": [
            {"name": "a!", "weight": 1},
            {"name": "b!", "weight": 2, "host_rewrite_literal": "b.com", "request_headers_to_remove": ["x"]},
        ]
    }


def test_one_that_is_left_of_several_keeps_its_operations() -> None:
    assert "weighted_clusters" in forward(Destination("a", 1, response_headers=HeaderOps(remove=(b"x",))))
    assert forward(Destination("a", 5))["cluster"] == "a!"


def test_a_route_that_could_not_be_compiled_leads_to_a_cluster_that_nobody_has() -> None:
    assert forward(Destination(""))["cluster"] == NOBODY


def test_rewrites() -> None:
    assert forward(path_rewrite=PathRewrite("/v2"), rewrite_authority=b"b.com").items() >= {
        ("prefix_rewrite", "/v2"),
        ("host_rewrite_literal", "b.com"),
    }
    assert forward(path_rewrite=PathRewrite(r"\1", "(a)"))["regex_rewrite"] == {
        "pattern": {"regex": "(a)"},
        "substitution": r"\1",
    }


def test_istios_default_retries() -> None:
    policy = forward(retry=ISTIO_DEFAULT)["retry_policy"]
    assert policy["num_retries"] == 2
    assert policy["retry_on"] == "cancelled,connect-failure,refused-stream,retriable-status-codes,unavailable"
    assert policy["host_selection_retry_max_attempts"] == "5"
    assert [each["name"] for each in policy["retry_host_predicate"]] == ["envoy.retry_host_predicates.previous_hosts"]
    assert policy["retry_back_off"] == {"base_interval": "0.025s", "max_interval": "0.25s"}
    assert "per_try_timeout" not in policy


def test_every_field_of_a_retry_policy() -> None:
    policy = forward(
        retry=RetryPolicy(
            attempts=3,
            retry_on=frozenset({"5xx"}),
            retriable_status_codes=frozenset({503, 429}),
            per_try_timeout=2.0,
            avoid_previous_hosts=False,
            retry_remote_localities=True,
            retriable_headers=frozenset({b"x-again"}),
        )
    )["retry_policy"]
    assert policy["per_try_timeout"] == "2s"
    assert policy["retriable_status_codes"] == [429, 503]
    assert policy["retriable_headers"] == [{"name": "x-again", "present_match": True}]
    assert policy["retry_priority"]["typed_config"]["update_frequency"] == 2
    assert "retry_host_predicate" not in policy


def test_mirrors_keep_their_host_and_are_not_traced() -> None:
    (mirror,) = forward(mirrors=(Mirror("b", 50_000),))["request_mirror_policies"]
    assert mirror == {
        "cluster": "b!",
        "runtime_fraction": {"default_value": {"numerator": 50_000, "denominator": "MILLION"}},
        "trace_sampled": False,
        "disable_shadow_host_suffix_append": True,
    }


def test_what_is_hashed() -> None:
    policies = (
        HashPolicy(HashKind.HEADER, b"x-user"),
        HashPolicy(HashKind.COOKIE, b"c", "/p", 0.0, (("SameSite", "Lax"),)),
        HashPolicy(HashKind.COOKIE, b"d"),
        HashPolicy(HashKind.QUERY, b"q"),
        HashPolicy(HashKind.SOURCE_IP),
    )
    assert forward(hash_policies=policies)["hash_policy"] == [
        {"header": {"header_name": "x-user"}},
        {"cookie": {"name": "c", "path": "/p", "ttl": "0s", "attributes": [{"name": "SameSite", "value": "Lax"}]}},
        {"cookie": {"name": "d"}},
        {"query_parameter": {"name": "q"}},
        {"connection_properties": {"source_ip": True}},
    ]


def test_redirects_say_only_what_they_change() -> None:
    assert redirect_resource(Redirect(302, uri=b"/new")) == {"path_redirect": "/new", "response_code": "FOUND"}
    assert redirect_resource(Redirect(308, b"https", b"b.com", 8443, prefix_rewrite=b"/p")) == {
        "scheme_redirect": "https",
        "host_redirect": "b.com",
        "port_redirect": 8443,
        "prefix_rewrite": "/p",
        "response_code": "PERMANENT_REDIRECT",
    }


def test_a_direct_response_has_text_or_bytes_and_a_status_that_envoy_takes() -> None:
    assert direct_resource(DirectResponse(204)) == {"status": 204}
    assert direct_resource(DirectResponse(200, "ü".encode()))["body"] == {"inline_string": "ü"}
    assert direct_resource(DirectResponse(600, b"\xff"))["body"] == {"inline_bytes": "/w=="}
    assert direct_resource(DirectResponse(600))["status"] == 599
