"""AuthorizationPolicy, read slowly: one obvious function per sentence of Istio's reference, to put ours beside."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Any

Block = Mapping[str, Any]
HTTP_SOURCE = ("requestPrincipals",)
HTTP_OPERATION = ("hosts", "methods", "paths")
TRUST_DOMAINS = ("cluster.local", "old")


@dataclass(frozen=True)
class Asked:
    """A request, or with `tcp` the connection alone."""

    method: str = "GET"
    path: str = "/"
    host: str = "x"
    headers: Sequence[tuple[str, str]] = ()
    names: tuple[str, ...] | None = None
    direct_ip: str = "10.0.0.1"
    remote_ip: str = "10.0.0.1"
    destination_ip: str = "10.9.9.9"
    port: int = 80
    server_name: str = ""
    claims: Mapping[str, object] | None = None
    tcp: bool = False


@dataclass(frozen=True)
class Policy:
    """A document, in short."""

    name: str
    spec: Block
    namespace: str = "default"
    dry_run: bool = field(default=False)

    @property
    def action(self) -> str:
        return str(self.spec.get("action", "ALLOW"))


def verdict(policies: Sequence[Policy], asked: Asked) -> str | None:
    """The rule that denies, `none`; None: allowed."""
    enforced = [policy for policy in policies if not policy.dry_run]
    denying = sorted(matched(policy, asked) for policy in enforced if policy.action == "DENY")
    for rules in denying:
        if rules:
            return min(rule for found in denying for rule in found)
    allowing = [policy for policy in enforced if policy.action == "ALLOW"]
    if not allowing or any(matched(policy, asked) for policy in allowing):
        return None
    return "none"


def matched(policy: Policy, asked: Asked) -> list[str]:
    """The ids of the policy's rules that match."""
    return [
        f"ns[{policy.namespace}]-policy[{policy.name}]-rule[{index}]"
        for index, rule in enumerate(policy.spec.get("rules", ()))
        if rule_matches(policy, rule, asked)
    ]


def rule_matches(policy: Policy, rule: Block, asked: Asked) -> bool:
    if asked.tcp:
        if policy.action == "ALLOW" and asks_for_http(rule):
            return False
        rule = without_http(rule)
    sources = [each["source"] for each in rule.get("from", ())] or [{}]
    operations = [each["operation"] for each in rule.get("to", ())] or [{}]
    return (
        any(all_hold(source, SOURCE, policy, asked) for source in sources)
        and any(all_hold(operation, OPERATION, policy, asked) for operation in operations)
        and all(condition_holds(condition, policy, asked) for condition in rule.get("when", ()))
    )


def asks_for_http(rule: Block) -> bool:
    """Whether a rule says anything that a connection does not have."""
    return rule != without_http(rule)


def without_http(rule: Block) -> Block:
    def kept(block: Block, http: Sequence[str]) -> Block:
        names = {*http, *(negated(name) for name in http)}
        return {name: values for name, values in block.items() if name not in names}

    return {
        **(
            {"from": [{"source": kept(each["source"], HTTP_SOURCE)} for each in rule["from"]]} if "from" in rule else {}
        ),
        **(
            {"to": [{"operation": kept(each["operation"], HTTP_OPERATION)} for each in rule["to"]]}
            if "to" in rule
            else {}
        ),
        **(
            {"when": [each for each in rule["when"] if not each["key"].startswith("request.")]}
            if "when" in rule
            else {}
        ),
    }


def all_hold(block: Block, fields: Mapping[str, Callable[..., bool]], policy: Policy, asked: Asked) -> bool:
    for name, holds in fields.items():
        values, not_values = block.get(name, ()), block.get(negated(name), ())
        if values and not any(holds(value, policy, asked) for value in values):
            return False
        if any(holds(value, policy, asked) for value in not_values):
            return False
    return True


def negated(name: str) -> str:
    return "not" + name[0].upper() + name[1:]


def condition_holds(condition: Block, policy: Policy, asked: Asked) -> bool:
    key = condition["key"]
    holds: Callable[[str, Policy, Asked], bool]
    if key.startswith("request.headers["):
        name = key[len("request.headers[") : -1].lower()
        holds = lambda value, policy, asked: header(name, value, asked)  # noqa: E731
    elif key.startswith("request.auth.claims["):
        names = key[len("request.auth.claims[") : -1].split("][")
        holds = lambda value, policy, asked: claim(names, value, asked)  # noqa: E731
    else:
        holds = CONDITIONS[key]
    return all_hold(
        {"x": condition.get("values", ()), "notX": condition.get("notValues", ())}, {"x": holds}, policy, asked
    )


# Values


def like(pattern: str, value: str) -> bool:
    """exact, prefix*, *suffix, or * for anything that is not empty."""
    if pattern == "*":
        return value != ""
    if pattern.startswith("*"):
        return value.endswith(pattern[1:])
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern


def principal(value: str, policy: Policy, asked: Asked) -> bool:
    parts = value.split("/")
    meant = [value]
    if len(parts) == 5 and parts[0] in TRUST_DOMAINS:
        meant = ["/".join([domain, *parts[1:]]) for domain in TRUST_DOMAINS]
    for name in asked.names or ():
        if value == "*" and name:
            return True
        if name.startswith("spiffe://") and any(like(each, name[len("spiffe://") :]) for each in meant):
            return True
    return False


def identities(asked: Asked) -> list[list[str]]:
    """trust domain, ns, namespace, sa, account of each name in Istio's form."""
    return [name[len("spiffe://") :].split("/") for name in asked.names or () if name.startswith("spiffe://")]


def namespace(value: str, policy: Policy, asked: Asked) -> bool:
    return any(fnmatchcase(parts[2], value) for parts in identities(asked))


def service_account(value: str, policy: Policy, asked: Asked) -> bool:
    wanted = value.split("/") if "/" in value else [policy.namespace, value]
    return any([parts[2], parts[4]] == wanted for parts in identities(asked))


def trust_domain(value: str, policy: Policy, asked: Asked) -> bool:
    meant = TRUST_DOMAINS if value in TRUST_DOMAINS else (value,)
    return any(fnmatchcase(parts[0], each) for parts in identities(asked) for each in meant)


def request_principal(value: str, policy: Policy, asked: Asked) -> bool:
    if asked.claims is None:
        return False
    issuer, subject = asked.claims.get("iss", ""), asked.claims.get("sub", "")
    if not isinstance(issuer, str) or not isinstance(subject, str):
        return False
    if value == "*":
        return issuer != "" and subject != ""
    wanted_issuer, _, wanted_subject = value.rpartition("/")
    if value.startswith("*"):
        return like(wanted_issuer, issuer) and subject == wanted_subject
    if value.endswith("*"):
        return issuer == wanted_issuer and like(wanted_subject, subject)
    return (issuer, subject) == (wanted_issuer, wanted_subject)


def claim(names: Sequence[str], value: str, asked: Asked) -> bool:
    found: object = asked.claims
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    values = found if isinstance(found, list) else [found]
    return any(isinstance(each, str) and like(value, each) for each in values)


def in_block(value: str, address: str) -> bool:
    network, one = ip_network(value, strict=False), ip_address(address)
    return network.version == one.version and one in network


def header(name: str, value: str, asked: Asked) -> bool:
    found = [each for key, each in asked.headers if key == name]
    return bool(found) if value == "*" else any(like(value, each) for each in found)


def path(value: str, policy: Policy, asked: Asked) -> bool:
    if "{*}" not in value and "{**}" not in value:
        return like(value, asked.path)
    pattern = "/".join(
        {"{*}": "[^/|]+", "{**}": "[^|]*"}.get(segment, re.escape(segment)) for segment in value.split("/")
    )
    return re.fullmatch(pattern, asked.path) is not None


SOURCE: Mapping[str, Callable[[str, Policy, Asked], bool]] = {
    "principals": principal,
    "requestPrincipals": request_principal,
    "namespaces": namespace,
    "serviceAccounts": service_account,
    "trustDomains": trust_domain,
    "ipBlocks": lambda value, _, asked: in_block(value, asked.direct_ip),
    "remoteIpBlocks": lambda value, _, asked: in_block(value, asked.remote_ip),
}
OPERATION: Mapping[str, Callable[[str, Policy, Asked], bool]] = {
    "hosts": lambda value, _, asked: value == "*" or like(value.lower(), asked.host.lower()),
    "methods": lambda value, _, asked: like(value, asked.method),
    "paths": path,
    "ports": lambda value, _, asked: asked.port == int(value),
}
CONDITIONS: Mapping[str, Callable[[str, Policy, Asked], bool]] = {
    "source.ip": SOURCE["ipBlocks"],
    "remote.ip": SOURCE["remoteIpBlocks"],
    "source.namespace": namespace,
    "source.principal": principal,
    "source.serviceAccount": service_account,
    "source.trustDomain": trust_domain,
    "request.auth.principal": request_principal,
    "request.auth.audiences": lambda value, _, asked: claim(["aud"], value, asked),
    "request.auth.presenter": lambda value, _, asked: claim(["azp"], value, asked),
    "destination.ip": lambda value, _, asked: in_block(value, asked.destination_ip),
    "destination.port": OPERATION["ports"],
    "connection.sni": lambda value, _, asked: like(value, asked.server_name),
    "experimental.envoy.filters.a.b[c]": lambda value, _, asked: False,
}
