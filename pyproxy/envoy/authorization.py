"""AuthorizationPolicy as Envoy's RBAC filters, for HTTP and for other connections, one for each action.

Source: Istio pilot/pkg/security/authz/builder/builder.go, model/{permission,principal}.go, matcher/*.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyproxy.envoy.authentication import JWT_FILTER
from pyproxy.envoy.ext_authz import MARK, ext_authz_filter
from pyproxy.envoy.values import TYPE, Resource, given
from pyproxy.policy.cidr import Block
from pyproxy.policy.rbac import Authorizer, Rules, RuleSet, Stage
from pyproxy.policy.rbac_terms import (
    AllOf,
    AnyOf,
    Authenticated,
    Claim,
    DestinationIp,
    DestinationPort,
    DirectIp,
    Header,
    Metadata,
    Not,
    Path,
    PathTemplate,
    RemoteIp,
    ServerName,
    Term,
    Text,
)
from pyproxy.snapshot.model import Direction, Listener, Snapshot

_ACTIONS = {"ALLOW": "ALLOW", "DENY": "DENY", "AUDIT": "LOG"}
_TEMPLATE = f"{TYPE}.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"


def filters_before_tokens(listener: Listener, snapshot: Snapshot) -> list[Resource]:
    """CUSTOM: an HTTP filter that marks and one that asks; without a usable authorizer, one that denies."""
    rules = _rule_set(listener, snapshot, tcp=False)
    if rules is None:
        return []
    if rules.misdirected is not None:
        return _http(rules.misdirected)
    custom = rules.custom
    if custom is None:
        return []
    marking: Resource = {
        "@type": f"{TYPE}.extensions.filters.http.rbac.v3.RBAC",
        "shadow_rules": _rules(Stage("DENY", None), custom.rules),
        "shadow_rules_stat_prefix": MARK,
    }
    asking = ext_authz_filter(snapshot.authorizers[custom.provider])
    return [{"name": "envoy.filters.http.rbac", "typed_config": marking}, asking]


def filters_after_tokens(listener: Listener, snapshot: Snapshot) -> list[Resource]:
    """AUDIT, DENY and ALLOW as HTTP filters."""
    rules = _rule_set(listener, snapshot, tcp=False)
    return _http(rules.authorizer) if rules is not None else []


def network_filters(listener: Listener, snapshot: Snapshot) -> list[Resource]:
    """All rules for connections that are not HTTP."""
    rules = _rule_set(listener, snapshot, tcp=True)
    if rules is None:
        return []
    authorizers = [rules.misdirected, rules.authorizer]
    return [_network(stage) for each in authorizers if each is not None for stage in each.stages]


def _rule_set(listener: Listener, snapshot: Snapshot, *, tcp: bool) -> RuleSet | None:
    """What holds on a listener: on outbound ones nothing does."""
    authorization = snapshot.authorization
    if authorization is None or listener.http.direction is Direction.OUTBOUND:
        return None
    return authorization.tcp if tcp else authorization.http


def _http(authorizer: Authorizer) -> list[Resource]:
    return [_filter("http", stage) for stage in authorizer.stages]


def _network(stage: Stage) -> Resource:
    return _filter("network", stage, stat_prefix="tcp.")


def _filter(kind: str, stage: Stage, **more: object) -> Resource:
    denies = stage.shadow is not None and stage.action == "DENY"
    config: Resource = {
        "@type": f"{TYPE}.extensions.filters.{kind}.rbac.v3.RBAC",
        **more,
        **given(
            ("rules", _rules(stage, stage.rules)),
            ("shadow_rules", _rules(stage, stage.shadow)),
            ("shadow_rules_stat_prefix", "istio_dry_run_deny_" if denies else "istio_dry_run_allow_"),
        ),
    }
    return {"name": f"envoy.filters.{kind}.rbac", "typed_config": config}


def _rules(stage: Stage, rules: Rules | None) -> Resource | None:
    if rules is None:
        return None
    policies = {
        rule.identifier: {
            "permissions": [_permission(term) for term in _alternatives(rule.permission)],
            "principals": [_principal(term) for term in _alternatives(rule.principal)],
        }
        for rule in rules.rules
    }
    return {"action": _ACTIONS[stage.action], "policies": policies}


def _alternatives(term: Term) -> Sequence[Term]:
    return term.terms if isinstance(term, AnyOf) and term.terms else (term,)


# Conditions


def _permission(term: Term) -> Resource:
    match term:
        case AllOf(terms):
            return {"and_rules": {"rules": [_permission(each) for each in terms]}} if terms else {"any": True}
        case AnyOf(terms):
            if not terms:
                return {"not_rule": {"any": True}}
            return {"or_rules": {"rules": [_permission(each) for each in terms]}}
        case Not(inner):
            return {"not_rule": _permission(inner)}
        case DestinationIp(block):
            return {"destination_ip": _range(block)}
        case DestinationPort(port):
            return {"destination_port": port}
        case ServerName(name):
            return {"requested_server_name": _string(name)}
        case Path(path):
            return {"url_path": {"path": _string(path)}}
        case PathTemplate(template):
            written = template.replace("{*}", "*").replace("{**}", "**")
            return {
                "uri_template": {
                    "name": "uri-template",
                    "typed_config": {"@type": _TEMPLATE, "path_template": written},
                }
            }
        case Metadata(name, key, values, in_lists):
            return {"metadata": _metadata(name, (key,), values, in_lists)}
    return _header(term)


def _principal(term: Term) -> Resource:
    match term:
        case AllOf(terms):
            return {"and_ids": {"ids": [_principal(each) for each in terms]}} if terms else {"any": True}
        case AnyOf(terms):
            return {"or_ids": {"ids": [_principal(each) for each in terms]}} if terms else {"not_id": {"any": True}}
        case Not(inner):
            return {"not_id": _principal(inner)}
        case Authenticated(name):
            return {"authenticated": {"principal_name": _string(name)}}
        case DirectIp(block):
            return {"direct_remote_ip": _range(block)}
        case RemoteIp(block):
            return {"remote_ip": _range(block)}
        case Claim(path, values, in_lists):
            return {"metadata": _claim(path, values, in_lists=in_lists)}
    return _header(term)


def _header(term: Term) -> Resource:
    assert isinstance(term, Header), term
    if term.value is None:
        return {"header": {"name": term.name, "present_match": True}}
    return {"header": {"name": term.name, "string_match": _string(term.value)}}


def _string(text: Text) -> Resource:
    matcher: Resource = {"safe_regex": {"regex": text.text}} if text.how == "regex" else {text.how: text.text}
    return matcher | given(("ignore_case", text.ignore_case))


def _range(block: Block) -> Resource:
    return {"address_prefix": block.text, "prefix_len": block.length}


def _claim(path: tuple[str, ...], values: tuple[Text, ...], *, in_lists: bool) -> Resource:
    value = _one_of([{"string_match": _string(each)} for each in values])
    if in_lists:
        value = _one_of([{"list_match": {"one_of": value}}, value])
    return {"filter": JWT_FILTER, "path": [{"key": key} for key in ("payload", *path)], "value": value}


def _metadata(name: str, path: tuple[str, ...], values: tuple[Text, ...], in_lists: tuple[bool, ...]) -> Resource:
    matchers: list[Resource] = [
        {"list_match": {"one_of": {"string_match": _string(value)}}} if listed else {"string_match": _string(value)}
        for value, listed in zip(values, in_lists, strict=True)
    ]
    return {"filter": name, "path": [{"key": key} for key in path], "value": _one_of(matchers)}


def _one_of(matchers: list[Resource]) -> Resource:
    return matchers[0] if len(matchers) == 1 else {"or_match": {"value_matchers": matchers}}
