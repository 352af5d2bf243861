"""Token rules as Envoy's jwt_authn filter. Source: Istio pilot/pkg/security/authn/policy_applier.go.

Keys stand in the filter, as istiod puts them there; those of a file stay in their file. Keys that a running pyproxy
fetches are not known here: a key that nobody can sign with stands in for them, and tokens are refused.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from pyproxy.envoy.values import TYPE, Resource, given
from pyproxy.policy.token_places import DEFAULT_PLACES, TokenPlaces
from pyproxy.policy.token_rules import KeySource, TokenRule
from pyproxy.snapshot.model import Direction, Listener, Snapshot

JWT_FILTER = "envoy.filters.http.jwt_authn"
_TYPE = f"{TYPE}.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_MISSING: Resource = {"allow_missing": {}}
_MODULUS = (
    "wOwjPpYPAzol8Kq9dQQcyfBCwKmNFuQWQC1EILaSyYQkQwyZCS9zAUawFt4IsS8k0ZcOobJG-Lv-ACOgWqM5JvWx9DvjKDtxfPa9"
    "cW6WxExk0vLLTagu1T7LLM00PotKXcfYdfU7EQyxctyR4f5if_nHHfeaByZJ0JsQoFGIDjOdZkxkCxXbu3RZ2Ee4VUtmaJNDdOC8"
    "WQY6Rw5ibENACs78FodME8QQumR480OXm4z6Z8jdY5hd_XEjbwI5lXrJxyhcElXm4TXbLoGYOpDD6_bmUePa8kSD0WfsasnSgPNd"
    "bEGTeZMG4QizgudPuXDH0_qGH0t4TILf-ORFFeah8w"
)
NOBODYS_KEYS = f'{{"keys":[{{"kty":"RSA","e":"AQAB","n":"{_MODULUS}"}}]}}'
"""The public half of a key whose private half was thrown away when it was made."""


def token_filters(listener: Listener, snapshot: Snapshot) -> list[Resource]:
    """The filter that verifies tokens, where requests come into a workload; none without rules."""
    direction = listener.http.direction
    rules = snapshot.token_rules
    if not rules or direction is Direction.OUTBOUND:
        return []
    named = {f"origins-{index}": rule for index, rule in enumerate(rules)}
    config: Resource = {
        "@type": _TYPE,
        "providers": {name: _provider(rule, gateway=direction is Direction.GATEWAY) for name, rule in named.items()},
        "rules": [{"match": {"prefix": "/"}, "requires": _requirement(list(named))}],
        "bypass_cors_preflight": True,
    }
    return [{"name": JWT_FILTER, "typed_config": config}]


def _requirement(names: list[str]) -> Resource:
    """One of the providers accepts, or none of them finds a token."""
    each: list[Resource] = [{"provider_name": name} for name in names]
    optional: list[Resource] = [{"requires_any": {"requirements": [one, _MISSING]}} for one in each]
    if len(optional) == 1:
        return optional[0]
    return {"requires_any": {"requirements": [*each, {"requires_all": {"requirements": optional}}]}}


def _provider(rule: TokenRule, *, gateway: bool) -> Resource:
    return {
        **given(
            ("issuer", rule.issuer),
            ("audiences", sorted(rule.audiences)),
            ("forward", rule.forward),
            ("forward_payload_header", rule.payload_header.decode()),
            (
                "claim_to_headers",
                [{"header_name": name.decode(), "claim_name": ".".join(path)} for name, path in rule.claim_headers],
            ),
            ("clear_route_cache", gateway),
        ),
        **_places(rule.places),
        "local_jwks": _keys(rule.keys),
        "payload_in_metadata": "payload",
        "normalize_payload_in_metadata": {"space_delimited_claims": sorted(rule.space_delimited)},
    }


def _places(places: TokenPlaces) -> Resource:
    if places == DEFAULT_PLACES:
        return {}
    return given(
        (
            "from_headers",
            [{"name": name.decode(), **given(("value_prefix", prefix.decode()))} for name, prefix in places.headers],
        ),
        ("from_params", [name.decode() for name in places.params]),
        ("from_cookies", [name.decode() for name in places.cookies]),
    )


def _keys(source: KeySource) -> Resource:
    if source.uri.startswith("file:"):
        return {"filename": unquote(urlsplit(source.uri).path)}
    return {"inline_string": source.inline or NOBODYS_KEYS}
