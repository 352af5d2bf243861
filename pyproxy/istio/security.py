"""AuthorizationPolicy, PeerAuthentication and RequestAuthentication (Istio's security/v1beta1)."""

from __future__ import annotations

from typing import Literal

from pyproxy.istio.fields import Duration, Flag, Many, Map, Message, also_named
from pyproxy.istio.selector import PolicyTargetReference, WorkloadSelector

Action = Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"]


class ExtensionProvider(Message):
    """The external authorizer of action CUSTOM, by its name in MeshConfig."""

    name: str | None = None


class AuthorizationPolicy(Message):
    """Who may do what; no rules match nothing, an empty rule matches everything."""

    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: Many[PolicyTargetReference] = ()
    rules: Many[Rule] = ()
    action: Action | None = None
    provider: ExtensionProvider | None = None


class From(Message):
    """One source of a rule."""

    source: Source | None = None


class To(Message):
    """One operation of a rule."""

    operation: Operation | None = None


class Rule(Message):
    """From, to and when: all three must match."""

    from_: Many[From] = ()
    to: Many[To] = ()
    when: Many[Condition] = ()


class Source(Message):
    """Who asks; all fields that are set must match."""

    principals: Many[str] = ()
    not_principals: Many[str] = ()
    request_principals: Many[str] = ()
    not_request_principals: Many[str] = ()
    namespaces: Many[str] = ()
    not_namespaces: Many[str] = ()
    service_accounts: Many[str] = ()
    not_service_accounts: Many[str] = ()
    ip_blocks: Many[str] = ()
    not_ip_blocks: Many[str] = ()
    remote_ip_blocks: Many[str] = ()
    not_remote_ip_blocks: Many[str] = ()
    trust_domains: Many[str] = ()
    not_trust_domains: Many[str] = ()


class Operation(Message):
    """What is asked; all fields that are set must match."""

    hosts: Many[str] = ()
    not_hosts: Many[str] = ()
    ports: Many[str] = ()
    not_ports: Many[str] = ()
    methods: Many[str] = ()
    not_methods: Many[str] = ()
    paths: Many[str] = ()
    not_paths: Many[str] = ()


class Condition(Message):
    """A further attribute and its values."""

    key: str
    values: Many[str] = ()
    not_values: Many[str] = ()


Mode = Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"]


class MutualTLS(Message):
    """Whether a port takes mutual TLS; UNSET leaves it to the wider policy."""

    mode: Mode | None = None


class PeerAuthentication(Message):
    """Which connections a workload accepts; `port_level_mtls` is keyed by workload port."""

    selector: WorkloadSelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: Map[MutualTLS] = {}


class RequestAuthentication(Message):
    """Which JSON web tokens a workload accepts."""

    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: Many[PolicyTargetReference] = ()
    jwt_rules: Many[JWTRule] = ()


Presence = Literal["OPTIONAL", "REQUIRED"]


class JWTRule(Message):
    """One issuer: its keys, where its tokens are and what is done with them."""

    issuer: str | None = None
    audiences: Many[str] = ()
    jwks_uri: str | None = also_named("jwksUri", "jwks_uri")
    jwks: str | None = None
    from_headers: Many[JWTHeader] = ()
    from_params: Many[str] = ()
    output_payload_to_header: str | None = None
    from_cookies: Many[str] = ()
    forward_original_token: Flag | None = None
    output_claim_to_headers: Many[ClaimToHeader] = ()
    timeout: Duration | None = None
    space_delimited_claims: Many[str] = ()
    presence: Presence | None = None


class JWTHeader(Message):
    """A header that carries the token, after a prefix."""

    name: str
    prefix: str | None = None


class ClaimToHeader(Message):
    """A claim that is copied to a request header."""

    header: str
    claim: str
