from __future__ import annotations

from pyproxy.envoy.authentication import NOBODYS_KEYS, token_filters
from pyproxy.policy.jwks import parse_key_set
from pyproxy.policy.token_places import TokenPlaces
from pyproxy.policy.token_rules import KeySource, TokenRule
from pyproxy.snapshot.model import Direction, HttpSettings, Identity, Listener, ListenerKind, Snapshot

KEYS = KeySource(inline='{"keys": []}')


def config(*rules: TokenRule, direction: Direction = Direction.INBOUND) -> dict[str, object]:
    listener = Listener("x", ListenerKind.NAMED, "127.0.0.1", 80, HttpSettings(direction=direction))
    filters = token_filters(listener, Snapshot(Identity(), (listener,), {}, {}, token_rules=rules))
    return filters[0]["typed_config"] if filters else {}  # type: ignore[return-value]


def provider(rule: TokenRule, direction: Direction = Direction.INBOUND) -> dict[str, object]:
    return config(rule, direction=direction)["providers"]["origins-0"]  # type: ignore[index, no-any-return]


def test_only_what_comes_in_is_verified() -> None:
    assert config() == {}
    assert config(TokenRule("a", KEYS), direction=Direction.OUTBOUND) == {}
    assert config(TokenRule("a", KEYS), direction=Direction.GATEWAY) != {}


def test_one_rule_or_no_token() -> None:
    found = config(TokenRule("a", KEYS))
    requirements = [{"provider_name": "origins-0"}, {"allow_missing": {}}]
    assert found["rules"] == [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": requirements}}}]
    assert found["bypass_cors_preflight"] is True


def test_several_rules_are_asked_alone_and_together() -> None:
    found = config(TokenRule("a", KEYS), TokenRule("b", KEYS))
    one, two = {"provider_name": "origins-0"}, {"provider_name": "origins-1"}
    both = [{"requires_any": {"requirements": [each, {"allow_missing": {}}]}} for each in (one, two)]
    expected = {"requires_any": {"requirements": [one, two, {"requires_all": {"requirements": both}}]}}
    assert found["rules"] == [{"match": {"prefix": "/"}, "requires": expected}]


def test_what_a_provider_says() -> None:
    places = TokenPlaces(((b"x-a", b"Token "), (b"x-b", b"")), (b"p",), (b"c",))
    rule = TokenRule("a", KEYS, frozenset({"z", "y"}), places, True, b"x-payload", ((b"x-d", ("a", "b")),))
    assert provider(rule) == {
        "issuer": "a",
        "audiences": ["y", "z"],
        "forward": True,
        "forward_payload_header": "x-payload",
        "claim_to_headers": [{"header_name": "x-d", "claim_name": "a.b"}],
        "from_headers": [{"name": "x-a", "value_prefix": "Token "}, {"name": "x-b"}],
        "from_params": ["p"],
        "from_cookies": ["c"],
        "local_jwks": {"inline_string": '{"keys": []}'},
        "payload_in_metadata": "payload",
        "normalize_payload_in_metadata": {"space_delimited_claims": ["permission", "scope"]},
    }


def test_routes_are_looked_up_again_at_gateways_alone() -> None:
    assert "clear_route_cache" not in provider(TokenRule("a", KEYS))
    assert provider(TokenRule("a", KEYS), Direction.GATEWAY)["clear_route_cache"] is True


def test_where_keys_are() -> None:
    assert provider(TokenRule("a", KeySource(uri="file:///a%20b")))["local_jwks"] == {"filename": "/a b"}
    assert provider(TokenRule("a", KeySource(uri="https://a")))["local_jwks"] == {"inline_string": NOBODYS_KEYS}
    assert len(parse_key_set(NOBODYS_KEYS).keys) == 1
