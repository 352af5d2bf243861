from __future__ import annotations

import pytest

from pyproxy.core.http import RequestHead
from pyproxy.policy.jwks import NO_KEY_FITS, NOT_SIGNED, KeySet, parse_key_set
from pyproxy.policy.jws import EXPIRED, NOT_A_TOKEN
from pyproxy.policy.token_places import TokenPlaces
from pyproxy.policy.token_rules import KeySource, TokenRule
from pyproxy.policy.tokens import MOST_KEPT, UNKNOWN_ISSUER, WRONG_AUDIENCE, Authenticator
from tests.tokens import key_set, signing_key, token

KEY = signing_key("ES256")
OTHER = signing_key("ES256", "other")
SOURCE = KeySource(inline=key_set(KEY))
OTHERS = KeySource(inline=key_set(OTHER))
NOW = 1_000_000.0


def keys_of(source: KeySource) -> KeySet:
    return parse_key_set(source.inline)


def rule(issuer: str = "me", keys: KeySource = SOURCE, **more: object) -> TokenRule:
    return TokenRule(issuer=issuer, keys=keys, **more)  # type: ignore[arg-type]


def request(*values: str, target: str = "/", method: bytes = b"GET", more: dict[str, str] | None = None) -> RequestHead:
    lines = [(b"authorization", f"Bearer {value}".encode()) for value in values]
    lines += [(name.encode(), value.encode()) for name, value in (more or {}).items()]
    return RequestHead(method, target.encode(), b"here", lines)


def answer(head: RequestHead, *rules: TokenRule, now: float = NOW) -> str:
    return Authenticator(rules, lambda source: parse_key_set(source.inline)).authenticate(head, now)


GOOD = {"iss": "me", "sub": "you", "aud": "here"}


def test_a_request_without_a_token_passes_without_identity() -> None:
    head = request()
    assert answer(head, rule()) == ""
    assert head.token is None


def test_a_good_token_says_who_it_is_and_goes() -> None:
    head = request(token({**GOOD, "azp": "app", "scope": "a b"}, KEY))
    assert answer(head, rule()) == ""
    assert head.token is not None
    assert (head.token.principal, head.token.audiences, head.token.presenter) == ("me/you", ("here",), "app")
    assert head.token.claims["scope"] == ["a", "b"]
    assert head.headers == []


def test_a_token_may_be_forwarded() -> None:
    head = request(token(GOOD, KEY), target="/?x=1")
    before = list(head.headers)
    assert answer(head, rule(forward=True)) == ""
    assert head.headers == before


REFUSED = {
    "no token": ("x", NOT_A_TOKEN),
    "another issuer": (token({"iss": "you"}, KEY), UNKNOWN_ISSUER),
    "no issuer": (token({}, KEY), UNKNOWN_ISSUER),
    "expired": (token({**GOOD, "exp": NOW - 61}, KEY), EXPIRED),
    "another audience": (token({**GOOD, "aud": ["there"]}, KEY), WRONG_AUDIENCE),
    "no audience": (token({"iss": "me"}, KEY), WRONG_AUDIENCE),
    "another key": (token(GOOD, OTHER, header={"kid": "first"}), NOT_SIGNED),
    "a key that is not there": (token(GOOD, OTHER), NO_KEY_FITS),
    "time is looked at before audience": (token({"iss": "me", "exp": 1}, KEY), EXPIRED),
    "audience is looked at before keys": (token({"iss": "me"}, OTHER), WRONG_AUDIENCE),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_token_is_refused(name: str) -> None:
    text, said = REFUSED[name]
    head = request(text)
    assert answer(head, rule(audiences=frozenset({"here"}))) == said
    assert head.token is None


@pytest.mark.parametrize("audience", ["here", "http://here", "https://here/", "here/"])
def test_schemes_and_a_last_slash_make_no_other_audience(audience: str) -> None:
    assert answer(request(token({**GOOD, "aud": audience}, KEY)), rule(audiences=frozenset({"here"}))) == ""


def test_a_rule_without_issuer_takes_any() -> None:
    assert answer(request(token({"iss": "anybody"}, KEY)), rule("")) == ""


def test_one_rule_that_accepts_is_enough() -> None:
    head = request(token({"iss": "you", "sub": "x"}, OTHER))
    assert answer(head, rule(), rule("you", OTHERS)) == ""
    assert head.token is not None and head.token.principal == "you/x"


def test_when_no_rule_accepts_one_that_knows_the_issuer_says_why() -> None:
    expired = token({"iss": "you", "exp": 1}, OTHER)
    assert answer(request(expired), rule(), rule("you", OTHERS)) == EXPIRED
    assert answer(request(expired), rule("you", OTHERS), rule("zoe")) == EXPIRED
    assert answer(request(expired), rule(), rule("zoe")) == UNKNOWN_ISSUER
    first, last = rule("you", OTHERS), rule("you", OTHERS, places=TokenPlaces(headers=((b"x-b", b""),)))
    bad = request(expired, more={"x-b": "bad"})
    assert answer(bad, first, last) == EXPIRED
    assert answer(bad, rule(), first, last) == NOT_A_TOKEN


@pytest.mark.parametrize("bad", ["x", token(GOOD, OTHER)])
def test_every_token_of_a_request_must_be_good(bad: str) -> None:
    good = token(GOOD, KEY)
    assert answer(request(good, target=f"/?access_token={bad}"), rule()) != ""
    assert answer(request(bad, target=f"/?access_token={good}"), rule()) != ""
    head = request(good, target=f"/?access_token={good}")
    assert answer(head, rule()) == ""
    assert (head.headers, head.target) == ([], b"/")


def test_rules_that_look_elsewhere_do_not_meet() -> None:
    first = rule(places=TokenPlaces(headers=((b"x-a", b""),)))
    second = rule("you", OTHERS, places=TokenPlaces(headers=((b"x-b", b""),)))
    head = request(more={"x-b": token({"iss": "you"}, OTHER)})
    assert answer(head, first, second) == ""
    assert head.headers == []
    assert answer(request(more={"x-b": "bad"}), first, second) == NOT_A_TOKEN


def test_preflights_carry_no_tokens() -> None:
    asked = {"origin": "http://a", "access-control-request-method": "GET"}
    assert answer(request("x", method=b"OPTIONS", more=asked), rule()) == ""
    assert answer(request("x", method=b"OPTIONS"), rule()) == NOT_A_TOKEN
    assert answer(request("x", method=b"GET", more=asked), rule()) == NOT_A_TOKEN


OUTPUTS = rule(
    payload_header=b"x-payload",
    claim_headers=((b"x-sub", ("sub",)), (b"x-deep", ("a", "b")), (b"x-none", ("none",))),
)


def test_what_the_upstream_is_told() -> None:
    text = token({**GOOD, "a": {"b": 5}}, KEY)
    head = request(text)
    assert answer(head, OUTPUTS) == ""
    assert head.headers == [(b"x-payload", text.split(".")[1].encode()), (b"x-sub", b"you"), (b"x-deep", b"5")]


@pytest.mark.parametrize("method", [b"GET", b"OPTIONS"])
def test_what_we_tell_nobody_else_may_tell(method: bytes) -> None:
    forged = {"x-payload": "e30", "x-sub": "root", "x-none": "x", "x-kept": "y"}
    preflight = {"origin": "http://a", "access-control-request-method": "GET"}
    head = request(method=method, more=forged | preflight)
    assert answer(head, rule("zoe"), OUTPUTS) == ""
    assert {name for name, _ in head.headers} == {b"x-kept", b"origin", b"access-control-request-method"}


# What is remembered


class Keys:
    """A key set that can be replaced, and counts how often it is asked to verify."""

    def __init__(self) -> None:
        self.verified = 0
        self.replace(KEY)

    def replace(self, *keys: object) -> None:
        outer = self

        class Counting(KeySet):
            def verify(self, token: object) -> None:
                outer.verified += 1
                super().verify(token)  # type: ignore[arg-type]

        self.now = Counting(parse_key_set(key_set(*keys)).keys)  # type: ignore[arg-type]

    def __call__(self, source: KeySource) -> KeySet:
        return self.now


def test_a_token_is_verified_once() -> None:
    keys = Keys()
    authenticator = Authenticator([rule()], keys)
    text = token(GOOD, KEY)
    first, second = request(text), request(text)
    assert authenticator.authenticate(first, NOW) == authenticator.authenticate(second, NOW) == ""
    assert keys.verified == 1
    assert first.token is second.token
    assert second.headers == []


def test_a_remembered_token_expires() -> None:
    authenticator = Authenticator([rule()], Keys())
    text = token({**GOOD, "exp": NOW}, KEY)
    assert authenticator.authenticate(request(text), NOW + 60.9) == ""
    assert authenticator.authenticate(request(text), NOW + 61) == EXPIRED


def test_nothing_is_remembered_over_a_change_of_keys() -> None:
    keys = Keys()
    authenticator = Authenticator([rule()], keys)
    text = token(GOOD, KEY)
    assert authenticator.authenticate(request(text), NOW) == ""
    keys.replace(OTHER)
    assert authenticator.authenticate(request(text), NOW) == NO_KEY_FITS
    keys.replace(OTHER, KEY)
    assert authenticator.authenticate(request(text), NOW) == ""


def test_a_refusal_is_not_remembered() -> None:
    keys = Keys()
    authenticator = Authenticator([rule()], keys)
    early, foreign = token({**GOOD, "nbf": NOW + 100}, KEY), token(GOOD, OTHER)
    assert authenticator.authenticate(request(early), NOW) != ""
    assert authenticator.authenticate(request(early), NOW + 50) == ""
    assert authenticator.authenticate(request(foreign), NOW) == NO_KEY_FITS
    keys.replace(KEY, OTHER)
    assert authenticator.authenticate(request(foreign), NOW) == ""


def test_what_is_not_used_is_forgotten_first() -> None:
    secret = signing_key("HS256")
    keys = Keys()
    keys.replace(secret)
    authenticator = Authenticator([rule()], keys)
    one, two, *others = (token({**GOOD, "n": n}, secret) for n in range(MOST_KEPT + 1))
    for text in (one, two, one, *others, one):
        assert authenticator.authenticate(request(text), NOW) == ""
    assert keys.verified == MOST_KEPT + 1
    authenticator.authenticate(request(two), NOW)
    assert keys.verified == MOST_KEPT + 2


def test_a_long_token_is_not_remembered() -> None:
    keys = Keys()
    authenticator = Authenticator([rule()], keys)
    text = token({**GOOD, "long": "x" * 5000}, KEY)
    for _ in range(2):
        assert authenticator.authenticate(request(text), NOW) == ""
    assert keys.verified == 2


def test_one_rule_s_memory_is_not_another_s() -> None:
    """The same token, good by the keys of one rule, must not pass for good by those of the other."""
    places = TokenPlaces(headers=((b"x-b", b""),))
    authenticator = Authenticator([rule(), rule(keys=OTHERS, places=places)], keys_of)
    text = token(GOOD, KEY)
    assert authenticator.authenticate(request(text), NOW) == ""
    assert authenticator.authenticate(request(more={"x-b": text}), NOW) == NO_KEY_FITS
