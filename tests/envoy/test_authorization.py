"""Authorization as Envoy's filters. What Envoy makes of them: tests/differential/test_authorization.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pyproxy.envoy.authorization import filters_after_tokens, filters_before_tokens, network_filters
from pyproxy.snapshot.model import Direction, HttpSettings, Listener, ListenerKind
from tests.snapshot.documents import compiled
from tests.snapshot.test_authorization import CUSTOM, policy

INBOUND = Listener("in", ListenerKind.INBOUND_CAPTURE, "0.0.0.0", 15006, HttpSettings(direction=Direction.INBOUND))
OUTBOUND = replace(INBOUND, http=HttpSettings(direction=Direction.OUTBOUND))
RULE = (
    "rules: [{from: [{source: {principals: ['*']}}], to: [{operation: {methods: [GET], notPaths: ['/a/{*}']}}],"
    " when: [{key: 'request.auth.claims[a]', values: [b]}]}]"
)


def configs(filters: list[dict[str, object]]) -> list[Any]:
    return [each["typed_config"] for each in filters]


def test_nothing_stands_before_what_goes_out() -> None:
    snapshot = compiled(policy("p", RULE))
    assert filters_after_tokens(OUTBOUND, snapshot) == []
    assert network_filters(OUTBOUND, snapshot) == []


def test_an_action_is_a_filter_and_a_rule_a_policy() -> None:
    (config,) = configs(filters_after_tokens(INBOUND, compiled(policy("p", RULE))))
    assert config["@type"] == "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
    assert config["rules"]["action"] == "ALLOW"
    template = {
        "name": "uri-template",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
            "path_template": "/a/*",
        },
    }
    value = {"string_match": {"exact": "b"}}
    claim = {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": "payload"}, {"key": "a"}],
        "value": {"or_match": {"value_matchers": [{"list_match": {"one_of": value}}, value]}},
    }
    one = {"header": {"name": ":method", "string_match": {"exact": "GET"}}}
    assert config["rules"]["policies"] == {
        "ns[default]-policy[p]-rule[0]": {
            "permissions": [
                {
                    "and_rules": {
                        "rules": [
                            {"or_rules": {"rules": [one]}},
                            {"not_rule": {"or_rules": {"rules": [{"uri_template": template}]}}},
                        ]
                    }
                }
            ],
            "principals": [
                {
                    "and_ids": {
                        "ids": [
                            {
                                "or_ids": {
                                    "ids": [{"authenticated": {"principal_name": {"safe_regex": {"regex": ".+"}}}}]
                                }
                            },
                            {"or_ids": {"ids": [{"metadata": claim}]}},
                        ]
                    }
                }
            ],
        }
    }


def test_what_is_tried_out_is_a_shadow() -> None:
    snapshot = compiled(
        policy("d", "action: DENY, rules: [{}]", dry_run=True), policy("l", "action: AUDIT, rules: [{}]")
    )
    audit, deny = configs(filters_after_tokens(INBOUND, snapshot))
    assert audit["rules"]["action"] == "LOG"
    assert "rules" not in deny
    assert deny["shadow_rules"]["policies"]["ns[default]-policy[d]-rule[0]"] == {
        "permissions": [{"any": True}],
        "principals": [{"any": True}],
    }
    assert deny["shadow_rules_stat_prefix"] == "istio_dry_run_deny_"


def test_rules_that_never_match() -> None:
    (config,) = configs(filters_after_tokens(INBOUND, compiled(policy("p", ""))))
    assert config["rules"]["policies"]["ns[default]-policy[p]-rule[0]"] == {
        "permissions": [{"not_rule": {"any": True}}],
        "principals": [{"not_id": {"any": True}}],
    }


def test_an_authorizer_that_is_not_there_denies_before_tokens_are_read() -> None:
    snapshot = compiled(policy("p", CUSTOM))
    (config,) = configs(filters_before_tokens(INBOUND, snapshot))
    assert config["rules"]["action"] == "DENY"
    assert filters_after_tokens(INBOUND, snapshot) == []


def test_connections_have_filters_of_their_own() -> None:
    snapshot = compiled(policy("p", "rules: [{to: [{operation: {ports: ['80']}}]}]"), policy("q", RULE))
    (config,) = configs(network_filters(INBOUND, snapshot))
    assert config["@type"] == "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"
    assert config["stat_prefix"] == "tcp."
    assert list(config["rules"]["policies"]) == ["ns[default]-policy[p]-rule[0]"]
