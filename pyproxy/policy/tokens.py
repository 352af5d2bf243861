"""RequestAuthentication as a decision: which tokens a request may carry, who it is then, what goes upstream.

A request without a token passes without identity; one with a token that no rule accepts is refused. Rules are tried in
order, and the first that finds tokens in its places and accepts all of them decides. Nothing is changed in a request
before a rule has accepted it.
Source: Istio pilot/pkg/security/authn/policy_applier.go; Envoy jwt_authn/verifier.cc, authenticator.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from pyproxy.core.http import Headers, RequestHead
from pyproxy.core.token import VerifiedToken
from pyproxy.policy.claims import claim_at, header_value, with_lists
from pyproxy.policy.jwks import KeySet
from pyproxy.policy.jws import LEEWAY, Token, TokenError, parse_token
from pyproxy.policy.token_places import find_tokens, take_away
from pyproxy.policy.token_rules import KeySource, TokenRule, bare_audience

UNKNOWN_ISSUER: Final = "Jwt issuer is not configured"
WRONG_AUDIENCE: Final = "Audiences in Jwt are not allowed"
MOST_KEPT: Final = 1000
"""Verified tokens that one rule remembers; of those that were not used for longest none is."""
LONGEST_KEPT: Final = 4096
"""Bytes; a longer token is verified each time."""


@dataclass(frozen=True, slots=True)
class _Accepted:
    """What there is to remember of a token that a rule accepted."""

    token: VerifiedToken
    headers: Headers
    expires: int


class RuleVerifier:
    """One rule, and the tokens that it has accepted."""

    def __init__(self, rule: TokenRule, keys_of: Callable[[KeySource], KeySet]) -> None:
        self.rule = rule
        self._keys_of = keys_of
        self._keys: KeySet | None = None
        """Those that the remembered tokens were verified with."""
        self._kept: dict[bytes, _Accepted] = {}

    def accept(self, text: bytes, now: float) -> _Accepted:
        """Verify a token; one that was accepted before costs a look-up. Raises TokenError. `now` is Unix seconds."""
        keys = self._keys_of(self.rule.keys)
        if keys is not self._keys:
            self._keys = keys
            self._kept.clear()
        kept = self._kept
        accepted = kept.pop(text, None)
        if accepted is not None and (not accepted.expires or int(now) <= accepted.expires + LEEWAY):
            kept[text] = accepted
            return accepted
        accepted = self._verified(text, keys, now)
        if len(text) <= LONGEST_KEPT:
            if len(kept) >= MOST_KEPT:
                del kept[next(iter(kept))]
            kept[text] = accepted
        return accepted

    def _verified(self, text: bytes, keys: KeySet, now: float) -> _Accepted:
        rule = self.rule
        token = parse_token(text)
        if rule.issuer and rule.issuer != token.issuer:
            raise TokenError(UNKNOWN_ISSUER)
        token.check_time(now)
        if rule.audiences and rule.audiences.isdisjoint(map(bare_audience, token.audiences)):
            raise TokenError(WRONG_AUDIENCE)
        keys.verify(token)
        return _Accepted(_identity(token, rule), list(_headers_of(token, rule)), token.expires)


class Authenticator:
    """All rules of one proxy."""

    def __init__(self, rules: Iterable[TokenRule], keys_of: Callable[[KeySource], KeySet]) -> None:
        self._verifiers = tuple(RuleVerifier(rule, keys_of) for rule in rules)
        written = {name for each in self._verifiers for name, _ in each.rule.claim_headers}
        written |= {each.rule.payload_header for each in self._verifiers}
        self._written = frozenset(written - {b""})

    def authenticate(self, head: RequestHead, now: float) -> str:
        """Verify a request's tokens; gives the text of a refusal, or nothing. `now` is Unix seconds.

        Of a request that passes, `head.token` says who it is, and the head is what the upstream shall see. Headers that
        we write are taken from the client in any case.
        """
        written = self._written
        if written:
            head.headers = [line for line in head.headers if line[0] not in written]
        if is_preflight(head):
            return ""
        failures: list[str] = []
        for verifier in self._verifiers:
            texts = find_tokens(verifier.rule.places, head)
            if not texts:
                continue
            try:
                accepted = [verifier.accept(text, now) for text in reversed(texts)]
            except TokenError as error:
                failures.append(str(error))
                continue
            self._pass(head, verifier.rule, accepted)
            return ""
        return _why(failures) if failures else ""

    def _pass(self, head: RequestHead, rule: TokenRule, accepted: list[_Accepted]) -> None:
        head.token = accepted[-1].token
        if not rule.forward:
            take_away(rule.places, head)
        for each in accepted:
            if each.headers:
                head.headers = head.headers + each.headers


def _why(failures: list[str]) -> str:
    """What is said of a request that every rule refused for a reason of its own, in the rules' order.

    The first, unless it is that the issuer is another's: then the last that says more (Envoy verifier.cc, AnyVerifier,
    over the providers and then over all of them together).
    """
    if failures[0] != UNKNOWN_ISSUER:
        return failures[0]
    return next((each for each in reversed(failures) if each != UNKNOWN_ISSUER), UNKNOWN_ISSUER)


def is_preflight(head: RequestHead) -> bool:
    """A CORS preflight, which carries no credentials and is let through (Envoy jwt_authn/filter.cc)."""
    return head.method == b"OPTIONS" and bool(head.get(b"origin") and head.get(b"access-control-request-method"))


def _identity(token: Token, rule: TokenRule) -> VerifiedToken:
    claims = with_lists(token.claims, rule.space_delimited)
    presenter = claims.get("azp", "")
    return VerifiedToken(
        principal=f"{token.issuer}/{token.subject}",
        audiences=token.audiences,
        presenter=presenter if isinstance(presenter, str) else "",
        claims=claims,
    )


def _headers_of(token: Token, rule: TokenRule) -> Iterable[tuple[bytes, bytes]]:
    """What the upstream is told of a token."""
    if rule.payload_header:
        yield rule.payload_header, token.payload
    for name, path in rule.claim_headers:
        value = header_value(claim_at(token.claims, path))
        if value is not None:
            yield name, value
