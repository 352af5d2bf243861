"""AuthorizationPolicy: which attributes go with which action, and what a rule must hold."""

from __future__ import annotations

from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.rules.authorization_values import (
    check_condition,
    check_ip_blocks,
    check_not_empty,
    check_paths,
    check_ports,
    check_service_accounts,
    check_trust_domains,
)
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.visibility import check_targets
from pyproxy.istio.security import AuthorizationPolicy, Operation, Rule, Source

_IDENTITIES = (
    "principals",
    "notPrincipals",
    "requestPrincipals",
    "notRequestPrincipals",
    "namespaces",
    "notNamespaces",
    "serviceAccounts",
    "notServiceAccounts",
    "trustDomains",
    "notTrustDomains",
)
"""What an external authorizer is not told before it decides."""

_IDENTITY_KEYS = ("source.namespace", "source.serviceAccount", "source.trustDomain", "source.principal")


def check_authorization_policy(spec: AuthorizationPolicy, meta: ObjectMeta, place: Place) -> None:
    """Everything that Istio checks in an AuthorizationPolicy on its own."""
    check_targets(spec.selector, spec.target_ref, spec.target_refs, place)
    _check_action(spec, place)
    if len(spec.rules) > 512:
        place.at("rules").error(f"512 rules at most, not {len(spec.rules)}")
    for index, rule in enumerate(spec.rules):
        _check_rule(rule, spec.action or "ALLOW", place.at("rules", index))


def _check_action(spec: AuthorizationPolicy, place: Place) -> None:
    if spec.action in ("CUSTOM", "DENY") and not spec.rules:
        place.error(f"action {spec.action} without rules never acts; rules: [{{}}] acts on every request")
    if spec.action == "CUSTOM" and (spec.provider is None or not spec.provider.name):
        place.at("provider").error("action CUSTOM requires provider.name")
    if spec.action != "CUSTOM" and spec.provider is not None:
        place.at("provider").error("only action CUSTOM takes a provider")


def _check_rule(rule: Rule, action: str, place: Place) -> None:
    for name, field, values in (("from", "from_", rule.from_), ("to", "to", rule.to)):
        if field in rule.model_fields_set and not values:
            place.at(name).error("is empty: leave it out to take any")
    for index, origin in enumerate(rule.from_):
        _check_source(origin.source, action, place.at("from", index, "source"))
    for index, target in enumerate(rule.to):
        _check_operation(target.operation, place.at("to", index, "operation"))
    for index, condition in enumerate(rule.when):
        at = place.at("when", index)
        check_condition(condition, at)
        if action == "CUSTOM" and (condition.key in _IDENTITY_KEYS or condition.key.startswith("request.auth.")):
            at.at("key").error(f"{condition.key} is not supported with action CUSTOM")
    if action == "DENY" and _denies_all_tcp(rule):
        place.warning("has HTTP attributes only, so it denies every TCP connection: name the ports that are meant")


def _values(message: Source | Operation) -> dict[str, tuple[str, ...]]:
    """The fields that have values, by JSON name."""
    return {name: values for name, values in message.model_dump(by_alias=True).items() if values}


def _check_source(source: Source | None, action: str, place: Place) -> None:
    values = _values(source) if source is not None else {}
    if source is None or not values:
        place.error("is empty: name at least one attribute of the caller")
        return
    for name in ("principals", "requestPrincipals", "namespaces", "ipBlocks", "remoteIpBlocks"):
        for field in (name, _negated(name)):
            check_not_empty(values.get(field, ()), place.at(field))
            if name.endswith("pBlocks"):
                check_ip_blocks(values.get(field, ()), place.at(field))
    for field in ("serviceAccounts", "notServiceAccounts"):
        check_service_accounts(values.get(field, ()), place.at(field))
    for field in ("trustDomains", "notTrustDomains"):
        check_trust_domains(values.get(field, ()), place.at(field))
    accounts = source.service_accounts or source.not_service_accounts
    others = source.principals or source.not_principals or source.namespaces or source.not_namespaces
    if accounts and others:
        place.error("serviceAccounts excludes principals and namespaces: it says both")
    if action == "CUSTOM":
        for field in _IDENTITIES:
            if field in values:
                place.at(field).error("is not supported with action CUSTOM")


def _check_operation(operation: Operation | None, place: Place) -> None:
    values = _values(operation) if operation is not None else {}
    if not values:
        place.error("is empty: name at least one attribute of the request")
    for name in ("hosts", "ports", "methods", "paths"):
        for field in (name, _negated(name)):
            check_not_empty(values.get(field, ()), place.at(field))
    for field in ("ports", "notPorts"):
        check_ports(values.get(field, ()), place.at(field))
    for field in ("paths", "notPaths"):
        check_paths(values.get(field, ()), place.at(field))


def _negated(name: str) -> str:
    return "not" + name[0].upper() + name[1:]


def _denies_all_tcp(rule: Rule) -> bool:
    """A rule on a TCP port loses its HTTP attributes, and then what is left matches more."""
    sources = [origin.source for origin in rule.from_ if origin.source is not None]
    operations = [target.operation for target in rule.to if target.operation is not None]
    source_stays = any(set(_values(source)) & _TCP_SOURCE for source in sources)
    operation_stays = any(operation.ports or operation.not_ports for operation in operations)
    if operations:
        return not operation_stays
    return bool(sources) and not source_stays


_TCP_SOURCE = frozenset(
    (
        "principals",
        "notPrincipals",
        "namespaces",
        "notNamespaces",
        "serviceAccounts",
        "notServiceAccounts",
        "ipBlocks",
        "notIpBlocks",
        "remoteIpBlocks",
        "notRemoteIpBlocks",
    )
)
