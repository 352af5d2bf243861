"""What a request would meet at the workload that it is for: PeerAuthentication, tokens, AuthorizationPolicy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pyproxy.core.http import RequestHead
from pyproxy.core.spiffe import workload_identity
from pyproxy.core.tls import MtlsMode
from pyproxy.istio.resources import Document
from pyproxy.policy.rbac import Authorization
from pyproxy.policy.rbac_matchers import Facts
from pyproxy.snapshot.authorization import compile_authorization
from pyproxy.snapshot.ext_authz import compile_authorizers
from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.model import Identity
from pyproxy.snapshot.peer_authentication import PortModes
from pyproxy.snapshot.registry import Registry
from pyproxy.snapshot.request_authentication import token_rules


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the server sees it."""

    address: str
    principal: str = ""
    """SPIFFE; empty: plaintext."""
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class ServerSide:
    """One workload's verdict."""

    workload: str
    """`name.namespace`."""
    port: int
    accepts: str
    """PeerAuthentication: DISABLE, PERMISSIVE, STRICT."""
    connection: str
    """mutual TLS, plaintext, or why there is none."""
    authorization: str
    """allowed or denied, and by which rule."""
    rules: tuple[str, ...] = ()
    """Action by action, which rule matched."""
    tokens: tuple[str, ...] = ()
    """Issuers whose tokens are verified; none is, here."""


class Servers:
    """Judges for workloads of one set of documents."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents
        self._mesh = mesh_settings(documents)
        self._registry = Registry(documents, self._mesh)
        self._providers = compile_authorizers(self._mesh, self._registry).usable
        self._authorizations: dict[tuple[object, ...], Authorization | None] = {}

    def principal(self, identity: Identity) -> str:
        """The name in a workload's certificate."""
        return str(workload_identity(self._mesh.trust_domain, identity.namespace, identity.service_account))

    def modes(self, identity: Identity) -> PortModes:
        """What a workload's ports accept."""
        return self._registry.authentication.workload(identity.namespace, identity.labels)

    def judge(
        self, identity: Identity, port: int, caller: Caller, head: RequestHead, mode: MtlsMode | None = None
    ) -> ServerSide:
        """What a request to a workload's port meets there. `mode`: what the port takes, whatever policies say."""
        mode = mode or self.modes(identity).of(port)
        verdict, rules = self._authorize(identity, port, caller, head)
        refusal = _refusal(mode, caller)
        tokens = token_rules(self._documents, identity, self._mesh.root_namespace)
        return ServerSide(
            workload=f"{identity.workload or identity.address}.{identity.namespace}",
            port=port,
            accepts=mode.value,
            connection=refusal or ("mutual TLS" if caller.principal else "plaintext"),
            authorization="not reached" if refusal else verdict,
            rules=() if refusal else rules,
            tokens=tuple(dict.fromkeys(rule.issuer for rule in tokens)),
        )

    def _authorize(
        self, identity: Identity, port: int, caller: Caller, head: RequestHead
    ) -> tuple[str, tuple[str, ...]]:
        found = self._authorization(identity)
        if found is None:
            return "allowed: no AuthorizationPolicy is for this workload", ()
        facts = Facts(
            names=(caller.principal,) if caller.principal else None,
            direct_ip=caller.address,
            remote_ip=caller.address,
            destination_ip=identity.address,
            destination_port=port,
            server_name=caller.server_name,
            head=head,
        )
        return _verdict(found, facts), tuple(_matched(found, facts))

    def _authorization(self, identity: Identity) -> Authorization | None:
        key = (identity.namespace, *sorted(identity.labels.items()))
        if key not in self._authorizations:
            providers = list(self._providers)
            self._authorizations[key] = compile_authorization(
                self._documents, replace(identity, gateway=False), self._mesh, http_providers=providers
            )
        return self._authorizations[key]


def _refusal(mode: MtlsMode, caller: Caller) -> str:
    if mode is MtlsMode.STRICT and not caller.principal:
        return "refused: plaintext, and the port takes mutual TLS alone"
    if mode is MtlsMode.DISABLE and caller.principal:
        return "refused: mutual TLS, and the port takes plaintext alone"
    return ""


def _verdict(found: Authorization, facts: Facts) -> str:
    rules = found.http
    if rules.misdirected is not None:
        denied = rules.misdirected.decide(facts).denied_by
        if denied is not None:
            return f"denied by {denied}"
    verdict = rules.authorizer.decide(facts)
    if verdict.denied_by == "none":
        return "denied: there are ALLOW policies, and no rule of theirs matches"
    if verdict.denied_by is not None:
        return f"denied by {verdict.denied_by}"
    if rules.custom is not None and rules.custom.rules.matched(facts) is not None:
        return f"allowed, if the external authorizer {rules.custom.provider} allows it"
    return "allowed"


def _matched(found: Authorization, facts: Facts) -> Iterator[str]:
    custom = found.http.custom
    if custom is not None:
        yield f"CUSTOM: {custom.rules.matched(facts) or 'no rule matches'}"
    for stage in found.http.authorizer.stages:
        for rules, tried in ((stage.rules, ""), (stage.shadow, " (dry run)")):
            if rules is not None:
                yield f"{stage.action}{tried}: {rules.matched(facts) or 'no rule matches'}"
