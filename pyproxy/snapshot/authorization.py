"""AuthorizationPolicy documents → who may do what here: one set of rules for HTTP, one for connections that are not.

Source: Istio pilot/pkg/security/authz/builder/builder.go, pilot/pkg/model/authorization.go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pyproxy.istio.resources import Document
from pyproxy.istio.security import AuthorizationPolicy
from pyproxy.policy.rbac import Action, Authorization, Authorizer, CustomRules, Rules, RuleSet, Stage
from pyproxy.policy.rbac_terms import AllOf, Not, Rule
from pyproxy.snapshot.authorization_terms import HttpOnly, Terms
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import Identity
from pyproxy.snapshot.policy_scope import attaches
from pyproxy.snapshot.trust_domains import TrustDomains

DRY_RUN = "istio.io/dry-run"
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_NEVER = Not(AllOf())
_ORDER: tuple[Action, ...] = ("AUDIT", "DENY", "ALLOW")
_MISDIRECTED = "-deny-due-to-bad-CUSTOM-action"


def compile_authorization(
    documents: Sequence[Document],
    identity: Identity,
    mesh: MeshSettings,
    *,
    http_providers: Collection[str] = (),
    tcp_providers: Collection[str] = (),
) -> Authorization | None:
    """What holds for this proxy; None when no policy does. Providers: names of the external authorizers to be had."""
    root = mesh.root_namespace
    policies = [
        (document, document.spec)
        for document in documents
        if isinstance(document.spec, AuthorizationPolicy) and attaches(document, document.spec, identity, root)
    ]
    if not policies:
        return None
    trust_domains = TrustDomains((mesh.trust_domain, *mesh.config.trust_domain_aliases))
    http = _Compiler(policies, trust_domains, tcp=False)
    tcp = _Compiler(policies, trust_domains, tcp=True)
    return Authorization(
        http.rule_set(http_providers, ignored=()),
        tcp.rule_set(tcp_providers, ignored=[name for name in http_providers if name not in tcp_providers]),
    )


_Policy = tuple[Document, AuthorizationPolicy]


class _Compiler:
    """Compiles all policies for one of the two protocols."""

    def __init__(self, policies: Sequence[_Policy], trust_domains: TrustDomains, *, tcp: bool) -> None:
        self._policies = policies
        self._trust_domains = trust_domains
        self._tcp = tcp

    def rule_set(self, providers: Collection[str], *, ignored: Collection[str]) -> RuleSet:
        """`ignored`: providers that have no say over this protocol."""
        stages = tuple(stage for action in _ORDER for stage in self._stage(action))
        return RuleSet(Authorizer(stages), *self._custom(providers, ignored))

    def _stage(self, action: Action) -> Iterator[Stage]:
        policies = [policy for policy in self._policies if (policy[1].action or "ALLOW") == action]
        if not policies:
            return
        tried = [policy for policy in policies if _is_tried(policy[0])]
        enforced = [policy for policy in policies if not _is_tried(policy[0])]
        strict = action == "ALLOW"
        yield Stage(
            action,
            Rules(self._rules(enforced, strict=strict)) if enforced else None,
            Rules(self._rules(tried, strict=strict)) if tried else None,
        )

    def _custom(
        self, providers: Collection[str], ignored: Collection[str]
    ) -> tuple[CustomRules | None, Authorizer | None]:
        """The rules for the one external authorizer. Where there are several, or none of that name, they deny."""
        policies = [policy for policy in self._policies if policy[1].action == "CUSTOM"]
        names = sorted({_provider(spec) for _, spec in policies})
        if len(names) == 1 and names[0] in providers:
            return CustomRules(names[0], Rules(self._rules(policies, strict=False))), None
        if not names or (len(names) == 1 and names[0] in ignored):
            return None, None
        rules = [
            Rule(rule.identifier + _MISDIRECTED, rule.permission, rule.principal)
            for rule in self._rules(policies, strict=False)
        ]
        return None, Authorizer((Stage("DENY", Rules(rules)),))

    def _rules(self, policies: Sequence[_Policy], *, strict: bool) -> Iterator[Rule]:
        for document, policy in policies:
            terms = Terms(document.namespace, self._trust_domains, self._tcp, strict)
            if not policy.rules:
                yield Rule(_identifier(document, policy, 0), _NEVER, _NEVER)
            for index, rule in enumerate(policy.rules):
                try:
                    yield Rule(_identifier(document, policy, index), terms.permission(rule), terms.principal(rule))
                except HttpOnly:
                    continue


def _is_tried(document: Document) -> bool:
    return document.annotations.get(DRY_RUN) in _TRUE


def _provider(policy: AuthorizationPolicy) -> str:
    return (policy.provider and policy.provider.name) or ""


def _identifier(document: Document, policy: AuthorizationPolicy, index: int) -> str:
    name = f"ns[{document.namespace}]-policy[{document.name}]-rule[{index}]"
    return f"istio-ext-authz-{_provider(policy)}-{name}" if policy.action == "CUSTOM" else name
