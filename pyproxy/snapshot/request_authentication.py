"""RequestAuthentication documents → the token rules of one proxy, pooled and in Istio's order.

Source: Istio pilot/pkg/model/authentication.go, pilot/pkg/security/authn/policy_applier.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyproxy.istio.resources import Document
from pyproxy.istio.security import JWTRule, RequestAuthentication
from pyproxy.policy.claims import ALWAYS_LISTS
from pyproxy.policy.token_places import DEFAULT_PLACES, TokenPlaces
from pyproxy.policy.token_rules import KeySource, TokenRule, bare_audience
from pyproxy.snapshot.model import Identity

FETCH_TIMEOUT = 5.0
"""Seconds, where a rule says nothing."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def token_rules(documents: Iterable[Document], identity: Identity, root_namespace: str) -> tuple[TokenRule, ...]:
    """The rules for this workload of all policies in its namespace and the root one, by issuer, else as found."""
    found = [
        _rule(rule, document.file)
        for document in documents
        if isinstance(document.spec, RequestAuthentication) and _selects(document, identity, root_namespace)
        for rule in document.spec.jwt_rules
    ]
    return tuple(sorted(found, key=lambda rule: rule.issuer))


def _selects(document: Document, identity: Identity, root_namespace: str) -> bool:
    """A policy that names a target is for a Gateway API object, and none is here."""
    policy = document.spec
    assert isinstance(policy, RequestAuthentication)
    if document.namespace not in (identity.namespace, root_namespace) or policy.target_ref or policy.target_refs:
        return False
    wanted = policy.selector.match_labels if policy.selector is not None else {}
    return all(identity.labels.get(name) == value for name, value in wanted.items())


def _rule(rule: JWTRule, file: Path) -> TokenRule:
    return TokenRule(
        issuer=rule.issuer or "",
        keys=_keys(rule, file),
        audiences=frozenset(map(bare_audience, rule.audiences)),
        places=_places(rule),
        forward=bool(rule.forward_original_token),
        payload_header=(rule.output_payload_to_header or "").lower().encode(),
        claim_headers=tuple(
            (output.header.lower().encode(), tuple(output.claim.split("."))) for output in rule.output_claim_to_headers
        ),
        space_delimited=ALWAYS_LISTS | set(rule.space_delimited_claims),
    )


def _keys(rule: JWTRule, file: Path) -> KeySource:
    if rule.jwks:
        return KeySource(inline=rule.jwks)
    timeout = rule.timeout or FETCH_TIMEOUT
    if rule.jwks_uri:
        return KeySource(uri=_absolute(rule.jwks_uri, file), timeout=timeout)
    return KeySource(issuer=rule.issuer or "", timeout=timeout)


def _absolute(uri: str, file: Path) -> str:
    """A URL as it is; a path as `file:///...`, from the folder of the document that names it."""
    if uri.startswith("file://"):
        path = Path(unquote(urlsplit(uri).path))
    elif _SCHEME.match(uri):
        return uri
    else:
        path = Path(uri)
    return (file.absolute().parent / path).as_uri()


def _places(rule: JWTRule) -> TokenPlaces:
    """Where tokens are looked for: by header and prefix, by name (Envoy extractor.cc keeps them in sorted maps)."""
    if not (rule.from_headers or rule.from_params or rule.from_cookies):
        return DEFAULT_PLACES
    headers = {(each.name.lower().encode(), (each.prefix or "").encode()) for each in rule.from_headers}
    return TokenPlaces(
        headers=tuple(sorted(headers, key=lambda pair: pair[0] + pair[1])),
        params=_sorted(rule.from_params),
        cookies=_sorted(rule.from_cookies),
    )


def _sorted(names: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(sorted({name.encode() for name in names}))


def fetched_sources(rules: Iterable[TokenRule]) -> Iterator[KeySource]:
    """Where keys must be fetched from, each once."""
    yield from dict.fromkeys(rule.keys for rule in rules if not rule.keys.inline)
