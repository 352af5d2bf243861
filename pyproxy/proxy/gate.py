"""What stands before the router on requests into a workload: the external authorizer, tokens, authorization rules.

The order is that of Istio's filters (listener_builder.go): CUSTOM, JWT, then AUDIT, DENY and ALLOW. A step that has to
wait gives HELD; whoever holds the request lets it go on with `exchange.go_on(step)` or answers with `exchange.reply`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from pyproxy.core.http import RequestHead
from pyproxy.policy.rbac import Authorizer, CustomRules, Verdict, denial_details
from pyproxy.policy.rbac_matchers import Facts
from pyproxy.policy.tokens import WRONG_AUDIENCE, is_preflight
from pyproxy.proxy.environment import ClientConnection, Environment
from pyproxy.proxy.ext_authz import Check
from pyproxy.proxy.replies import HELD as HELD
from pyproxy.proxy.replies import Reply
from pyproxy.proxy.routing import route_again
from pyproxy.runtime.counters import HttpStats, TcpStats
from pyproxy.snapshot.model import Direction

if TYPE_CHECKING:
    from pyproxy.proxy.exchange import Exchange, Step

_log: Final = logging.getLogger("pyproxy.rbac")
_BODY: Final = b"RBAC: access denied"
MAX_PATH: Final = 256
"""Bytes of a path that `www-authenticate` repeats (Envoy jwt_authn/filter.cc, MaximumUriLength)."""
_GATEWAY: Final = Direction.GATEWAY
_OUTBOUND: Final = Direction.OUTBOUND
_denials: Final[dict[str, Reply]] = {}
_MOST_DENIALS: Final = 4096


def enter(exchange: Exchange) -> Reply | None:
    """All steps, from the first. None: the request may pass."""
    rules = exchange.serving.snapshot.authorization
    if rules is not None:
        reply = None
        if rules.http.misdirected is not None:
            reply = _authorize(exchange, rules.http.misdirected)
        elif rules.http.custom is not None:
            reply = _ask(exchange, rules.http.custom, check_tokens)
        if reply is not None:
            return reply
    return check_tokens(exchange)


def _ask(exchange: Exchange, custom: CustomRules, then: Step) -> Reply | None:
    """The external authorizer, about what its rules match; not about requests that no route takes."""
    stats = exchange.connection.stats
    matched = custom.rules.matched(facts_of(exchange)) is not None
    stats.rbac_istio_ext_authz_shadow_denied += matched
    stats.rbac_istio_ext_authz_shadow_allowed += not matched
    if exchange.route is None:
        return None
    if not matched:
        stats.ext_authz_disabled += 1
        return None
    return Check(exchange, exchange.serving.snapshot.authorizers[custom.provider], then).begin()


def check_tokens(exchange: Exchange) -> Reply | None:
    """From the second step: the external authorizer had nothing against it."""
    authenticator = exchange.serving.authenticator
    if authenticator is not None:
        head = exchange.head
        failure = authenticator.authenticate(head, exchange.env.clock.time())
        if failure:
            exchange.connection.stats.jwt_authn_denied += 1
            return token_refused(failure, realm(head))
        stats = exchange.connection.stats
        stats.jwt_authn_allowed += 1
        stats.jwt_authn_cors_preflight_bypassed += head.method == b"OPTIONS" and is_preflight(head)
        if head.token is not None and exchange.connection.settings.direction is _GATEWAY:
            return _route_again(exchange)
    return authorize(exchange)


def _route_again(exchange: Exchange) -> Reply | None:
    """By the token's claims. Whom only a claim gave a route, the external authorizer has not been asked about yet."""
    had_none = exchange.route is None
    route_again(exchange)
    rules = exchange.serving.snapshot.authorization
    if had_none and rules is not None and rules.http.custom is not None:
        reply = _ask(exchange, rules.http.custom, authorize)
        if reply is not None:
            return reply
    return authorize(exchange)


def token_refused(failure: str, realm: bytes) -> Reply:
    """The answer to a request with a token that nobody accepts. Source: Envoy jwt_authn/filter.cc, onComplete."""
    return Reply(
        403 if failure == WRONG_AUDIENCE else 401,
        failure.encode(),
        details=f"jwt_authn_access_denied{{{failure.replace(' ', '_')}}}",
        headers=((b"www-authenticate", b'Bearer realm="%b", error="invalid_token"' % realm),),
        charged=False,
    )


def realm(head: RequestHead) -> bytes:
    """What the client asked for, as the protection space of RFC 6750: its URL, and of that no more than a line."""
    path = head.get(b"x-envoy-original-path") or head.target
    return head.scheme + b"://" + head.authority + path[:MAX_PATH]


def authorize(exchange: Exchange) -> Reply | None:
    """The last step."""
    rules = exchange.serving.snapshot.authorization
    return None if rules is None else _authorize(exchange, rules.http.authorizer)


def _authorize(exchange: Exchange, authorizer: Authorizer) -> Reply | None:
    verdict = authorizer.judge(facts_of(exchange))
    count(exchange.connection.stats, verdict)
    if verdict.trials and _log.isEnabledFor(logging.DEBUG):
        log_trials(verdict, exchange.ctx.request_id.decode("latin-1"))
    return None if verdict.denied_by is None else _denial(verdict.denied_by)


def _denial(policy: str) -> Reply:
    reply = _denials.get(policy)
    if reply is None:
        if len(_denials) >= _MOST_DENIALS:
            _denials.clear()
        reply = _denials[policy] = Reply(403, _BODY, details=denial_details(policy), charged=False)
    return reply


def check_connection(env: Environment, connection: ClientConnection) -> str:
    """The rule that denies a connection which is not HTTP, `none` when no rule allows it; empty: it may pass.

    Envoy decides at the client's first byte, and has called the upstream by then; here it is decided before that.
    """
    rules = env.live.serving.snapshot.authorization
    if rules is None or connection.settings.direction is _OUTBOUND:
        return ""
    facts = connection_facts(connection)
    for authorizer in (rules.tcp.misdirected, rules.tcp.authorizer):
        if authorizer is not None:
            verdict = authorizer.judge(facts)
            count(env.tcp_stats, verdict)
            if verdict.trials and _log.isEnabledFor(logging.DEBUG):
                log_trials(verdict, f"connection {connection.identifier}")
            if verdict.denied_by is not None:
                return verdict.denied_by
    return ""


def facts_of(exchange: Exchange) -> Facts:
    """What rules may ask about a request."""
    connection = exchange.connection
    ctx = exchange.ctx
    facts = connection_facts(connection)
    if ctx.downstream_remote_address != connection.remote_address:
        facts.remote_ip = ctx.downstream_remote_address.rpartition(":")[0].strip("[]")
    if exchange.workload_port:
        facts.destination_port = exchange.workload_port
    facts.head = exchange.head
    return facts


def connection_facts(connection: ClientConnection) -> Facts:
    """What rules may ask about a connection."""
    peer = connection.tls
    target = connection.original_destination
    return Facts(
        names=None if peer is None else (*peer.uri_sans, *peer.dns_sans, peer.subject),
        direct_ip=connection.remote_ip,
        remote_ip=connection.remote_ip,
        destination_ip=target[0] if target else connection.local_address.rpartition(":")[0].strip("[]"),
        destination_port=target[1] if target else connection.listener.workload_port or connection.local_port,
        server_name=connection.server_name,
    )


def count(stats: HttpStats | TcpStats, verdict: Verdict) -> None:
    """One verdict, as Envoy's filters count: each stage that lets a request pass."""
    stats.rbac_allowed += verdict.allowed
    stats.rbac_denied += verdict.denied_by is not None
    for trial in verdict.trials:
        if trial.action == "ALLOW":
            stats.rbac_istio_dry_run_allow_shadow_allowed += trial.allowed
            stats.rbac_istio_dry_run_allow_shadow_denied += not trial.allowed
        else:
            stats.rbac_istio_dry_run_deny_shadow_allowed += trial.allowed
            stats.rbac_istio_dry_run_deny_shadow_denied += not trial.allowed


def log_trials(verdict: Verdict, what: str) -> None:
    """What policies under trial would have done."""
    for trial in verdict.trials:
        word = "allowed" if trial.allowed else "denied"
        _log.debug(
            "%s: dry run %s would have %s it, matched policy %s", what, trial.action, word, trial.policy or "none"
        )
