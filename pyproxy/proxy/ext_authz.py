"""The external authorizer: a request waits at the gate while somebody else is asked about it.

Source: Envoy filters/http/ext_authz/ext_authz.cc, filters/common/ext_authz/ext_authz_http_impl.cc.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyproxy.core.http import ResponseHead
from pyproxy.policy.ext_authz import ExtAuthz, apply_permission, check_head, denial_headers, permission
from pyproxy.proxy.question import Question
from pyproxy.proxy.replies import HELD, Reply

if TYPE_CHECKING:
    from pyproxy.proxy.exchange import Exchange, Step

TOO_LARGE: Final = Reply(413, b"Payload Too Large", details="request_payload_too_large", close=True, charged=False)
_SERVICE_TIME: Final = b"x-envoy-upstream-service-time"


class Check:
    """One request put before the authorizer."""

    _buffering = False
    """The request's body must come first."""
    _beginning = False
    """What comes of it now is what `begin` gives."""
    _question: Question | None = None
    _reply: Reply | None = HELD
    _asked = 0.0

    def __init__(self, exchange: Exchange, settings: ExtAuthz, then: Step) -> None:
        self._exchange = exchange
        self._settings = settings
        self._then = then
        """The gate's next step, for a request that is allowed."""

    def begin(self) -> Reply | None:
        """Ask, or wait for the body first. None: it may pass; HELD: the answer comes later."""
        exchange, settings = self._exchange, self._settings
        if settings.max_request_bytes and not exchange.request_ended and not exchange.upgrade:
            self._buffering = True
            exchange.hold(self, body_limit=settings.max_request_bytes)
            return HELD
        self._beginning = True
        self._ask(b"", cut=False)
        self._beginning = False
        if self._reply is HELD:
            exchange.hold(self)
        return self._reply

    # From the exchange

    def on_body(self, size: int) -> None:
        """So many bytes of the request's body are here."""
        if self._buffering and size >= self._settings.max_request_bytes:
            if self._settings.allow_partial:
                self._ask_with_body()
            elif size > self._settings.max_request_bytes:
                self._settle(TOO_LARGE)

    def on_request_end(self) -> None:
        """The request is whole."""
        if self._buffering:
            self._ask_with_body()

    def cancel(self) -> None:
        """The client left."""
        if self._question is not None:
            self._question.cancel()

    # For itself

    def _ask_with_body(self) -> None:
        self._buffering = False
        body = b"".join(self._exchange.kept)
        most = self._settings.max_request_bytes
        self._ask(body[:most], cut=len(body) > most)

    def _ask(self, body: bytes, *, cut: bool) -> None:
        exchange, settings = self._exchange, self._settings
        cluster = exchange.serving.clusters.get(settings.cluster)
        if cluster is None:
            self._on_answer(None, b"")
            return
        head = check_head(settings, exchange.head, exchange.ctx, body, cut=cut)
        self._asked = exchange.env.clock.monotonic()
        self._question = question = Question(head, body, self._on_answer)
        question.ask(exchange.env, cluster, settings.timeout, exchange.chance)

    def _on_answer(self, head: ResponseHead | None, body: bytes) -> None:
        exchange, settings = self._exchange, self._settings
        stats = exchange.connection.stats
        if head is None or head.status >= 500:
            stats.ext_authz_error += 1
            stats.ext_authz_failure_mode_allowed += settings.fail_open
            refusal = Reply(settings.status_on_error, flag="UAEX", details="ext_authz_error", charged=False)
            self._settle(None if settings.fail_open else refusal)
        elif head.status == 200:
            stats.ext_authz_ok += 1
            given = permission(settings, head.headers)
            apply_permission(exchange.head, given)
            exchange.added_headers = given.to_client
            self._settle(None)
        else:
            stats.ext_authz_denied += 1
            self._settle(self._denial(head, body))

    def _denial(self, head: ResponseHead, body: bytes) -> Reply:
        took = int((self._exchange.env.clock.monotonic() - self._asked) * 1000)
        answer = [*head.headers, (_SERVICE_TIME, b"%d" % took)]
        headers = tuple(denial_headers(self._settings, answer))
        return Reply(head.status, body, flag="UAEX", details="ext_authz_denied", headers=headers)

    def _settle(self, reply: Reply | None) -> None:
        if self._beginning:
            self._reply = reply
            return
        exchange = self._exchange
        exchange.release()
        if reply is None:
            exchange.go_on(self._then)
        else:
            exchange.reply(reply)
