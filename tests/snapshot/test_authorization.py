"""Documents → rules by action and protocol. What the rules mean: tests/policy/test_rbac.py."""

from __future__ import annotations

from typing import Any

from pyproxy.policy.rbac import Authorization, Stage
from pyproxy.policy.rbac_matchers import Facts
from pyproxy.snapshot.authorization import compile_authorization
from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.model import Identity
from tests.snapshot.documents import compiled, documents

CUSTOM = "action: CUSTOM, provider: {name: ext}, rules: [{to: [{operation: {paths: [/a]}}]}]"


def policy(name: str, spec: str, *, namespace: str = "default", dry_run: bool = False) -> str:
    annotations = ', annotations: {"istio.io/dry-run": "true"}' if dry_run else ""
    return (
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        f"metadata: {{name: {name}, namespace: {namespace}{annotations}}}\nspec: {{{spec}}}"
    )


def authorization(*texts: str, **providers: Any) -> Authorization:
    found = documents("\n---\n".join(texts))
    made = compile_authorization(found, Identity(), mesh_settings(found), **providers)
    assert made is not None
    return made


def shown(stages: tuple[Stage, ...]) -> list[tuple[str, list[str] | None, list[str] | None]]:
    """Action, ids that are enforced, ids that are tried out."""
    return [
        (
            stage.action,
            None if stage.rules is None else [rule.identifier for rule in stage.rules.rules],
            None if stage.shadow is None else [rule.identifier for rule in stage.shadow.rules],
        )
        for stage in stages
    ]


def test_without_policies_there_is_nothing_to_ask() -> None:
    snapshot = compiled(policy("p", "", namespace="elsewhere"))
    assert snapshot.authorization is None
    assert not snapshot.guarded


def test_a_snapshot_has_the_policies_of_its_proxy() -> None:
    snapshot = compiled(policy("p", ""))
    assert snapshot.guarded
    assert snapshot.authorization is not None
    assert shown(snapshot.authorization.http.authorizer.stages) == [
        ("ALLOW", ["ns[default]-policy[p]-rule[0]"], None),
    ]


def test_stages_are_audit_deny_allow_and_ids_name_the_rule() -> None:
    made = authorization(
        policy("a", "rules: [{}, {}]"),
        policy("d", "action: DENY, rules: [{}]", namespace="istio-system"),
        policy("l", "action: AUDIT, rules: [{}]"),
    )
    assert shown(made.http.authorizer.stages) == [
        ("AUDIT", ["ns[default]-policy[l]-rule[0]"], None),
        ("DENY", ["ns[istio-system]-policy[d]-rule[0]"], None),
        ("ALLOW", ["ns[default]-policy[a]-rule[0]", "ns[default]-policy[a]-rule[1]"], None),
    ]


def test_no_rules_match_nothing_and_one_that_is_empty_everything() -> None:
    nothing = authorization(policy("p", ""))
    everything = authorization(policy("p", "rules: [{}]"))
    assert nothing.http.authorizer.judge(Facts()).denied_by == "none"
    assert everything.http.authorizer.judge(Facts()).denied_by is None


def test_what_is_tried_out_stands_apart() -> None:
    made = authorization(
        policy("t", "rules: [{}]", dry_run=True), policy("d", "action: DENY, rules: [{}]", dry_run=True)
    )
    assert shown(made.http.authorizer.stages) == [
        ("DENY", None, ["ns[default]-policy[d]-rule[0]"]),
        ("ALLOW", None, ["ns[default]-policy[t]-rule[0]"]),
    ]
    assert made.http.authorizer.judge(Facts()).denied_by is None


def test_on_connections_what_only_requests_have_takes_a_rule_away_or_makes_it_wider() -> None:
    rule = "rules: [{to: [{operation: {paths: [/a], ports: ['80']}}]}]"
    allowing = authorization(policy("p", rule)).tcp.authorizer
    denying = authorization(policy("p", "action: DENY, " + rule)).tcp.authorizer
    assert shown(allowing.stages) == [("ALLOW", [], None)]
    assert allowing.judge(Facts(destination_port=80)).denied_by == "none"
    assert denying.judge(Facts(destination_port=80)).denied_by == "ns[default]-policy[p]-rule[0]"
    assert denying.judge(Facts(destination_port=81)).denied_by is None


def test_the_external_authorizer_is_asked_by_its_rules() -> None:
    made = authorization(policy("p", CUSTOM), http_providers=["ext"], tcp_providers=["ext"])
    assert made.http.custom is not None
    assert made.http.custom.provider == "ext"
    assert [rule.identifier for rule in made.http.custom.rules.rules] == [
        "istio-ext-authz-ext-ns[default]-policy[p]-rule[0]"
    ]
    assert made.http.misdirected is None


def test_connections_do_not_ask_an_authorizer_of_http() -> None:
    made = authorization(policy("p", CUSTOM), http_providers=["ext"])
    assert (made.tcp.custom, made.tcp.misdirected) == (None, None)


def test_an_authorizer_that_is_not_there_or_one_too_many_denies_what_it_would_be_asked() -> None:
    unknown = authorization(policy("p", CUSTOM)).http.misdirected
    both = authorization(
        policy("p", CUSTOM), policy("q", CUSTOM.replace("ext", "other")), http_providers=["ext", "other"]
    ).http.misdirected
    assert unknown is not None
    assert both is not None
    suffix = "-rule[0]-deny-due-to-bad-CUSTOM-action"
    assert shown(unknown.stages) == [("DENY", [f"istio-ext-authz-ext-ns[default]-policy[p]{suffix}"], None)]
    assert len(shown(both.stages)[0][1] or ()) == 2
