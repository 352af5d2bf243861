"""RequestAuthentication: issuers, keys, and where tokens are."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.visibility import check_targets
from pyproxy.istio.security import JWTRule, RequestAuthentication

_OUTPUT_HEADER = re.compile(r"[-_A-Za-z0-9]+")
_PRIVATE_PARTS = {"RSA": "d", "EC": "d", "OKP": "d", "oct": "k"}  # RFC 7518 section 6


def check_request_authentication(spec: RequestAuthentication, meta: ObjectMeta, place: Place) -> None:
    """Everything that Istio checks in a RequestAuthentication on its own."""
    check_targets(spec.selector, spec.target_ref, spec.target_refs, place)
    for index, rule in enumerate(spec.jwt_rules):
        _check_rule(rule, place.at("jwtRules", index))


def _check_rule(rule: JWTRule, place: Place) -> None:
    if not rule.issuer and not rule.jwks_uri:
        place.error("issuer or jwksUri is required")
    elif rule.issuer == "":
        place.at("issuer").error("may not be empty")
    if rule.jwks and rule.jwks_uri:
        place.error("jwks and jwksUri exclude each other: set one of them")
    if rule.jwks_uri:
        place.at("jwksUri").error(_uri_problem(rule.jwks_uri))
    if rule.jwks:
        _check_keys(rule.jwks, place.at("jwks"))
    for name, texts in (
        ("audiences", rule.audiences),
        ("fromParams", rule.from_params),
        ("fromCookies", rule.from_cookies),
        ("spaceDelimitedClaims", rule.space_delimited_claims),
    ):
        for index, text in enumerate(texts):
            if not text:
                place.at(name, index).error("may not be empty")
    if len(rule.space_delimited_claims) > 64:
        place.at("spaceDelimitedClaims").error(f"64 at most, not {len(rule.space_delimited_claims)}")
    for index, header in enumerate(rule.from_headers):
        if not header.name:
            place.at("fromHeaders", index, "name").error("is required")
    for index, output in enumerate(rule.output_claim_to_headers):
        at = place.at("outputClaimToHeaders", index)
        if not output.claim:
            at.at("claim").error("is required")
        if not _OUTPUT_HEADER.fullmatch(output.header):
            at.at("header").error(f'must be letters, digits, - and _, not "{output.header}"')


def _uri_problem(uri: str) -> str | None:
    """Istio knows http and https; a file is ours (docs/decisions)."""
    try:
        parts = urlsplit(uri)
        if parts.scheme in ("", "file"):
            known = parts.path.strip("/") != "" and not (parts.netloc or parts.query or parts.fragment)
        else:
            known = parts.scheme in ("http", "https") and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        return f'"{uri}" must begin with http:// or https://, or be the path of a file (file:///path, or path)'
    return None if len(uri) <= 2048 else f"2048 characters at most, not {len(uri)}"


def _check_keys(text: str, place: Place) -> None:
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError as error:
        place.error(f"is not a JSON web key set: {error.msg} at line {error.lineno}, column {error.colno}")
        return
    keys = parsed.get("keys", [parsed]) if isinstance(parsed, dict) else None
    if not isinstance(keys, list) or not all(
        isinstance(key, dict) and key.get("kty") in _PRIVATE_PARTS for key in keys
    ):
        place.error('is not a JSON web key set: {"keys": [...]} whose kty is RSA, EC, OKP or oct')
        return
    if "keys" not in parsed:
        place.warning(
            'is a single key: Istio takes it, Envoy finds no set in it and refuses every token; write {"keys": [...]}'
        )
    for index, key in enumerate(keys):
        if _PRIVATE_PARTS[key["kty"]] in key:
            place.warning(f"key {index} holds its private part: tokens are verified with the public one alone")
