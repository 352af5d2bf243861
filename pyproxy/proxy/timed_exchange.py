"""An exchange whose stream may not be silent for long. Source: Envoy http/conn_manager_impl.cc, stream_idle_timeout.

Where nothing is configured the plain `Exchange` serves, and pays nothing for this.
"""

from __future__ import annotations

import asyncio
from typing import Final

from pyproxy.core.http import RequestHead, ResponseHead
from pyproxy.proxy import replies
from pyproxy.proxy.client_stream import ClientStream
from pyproxy.proxy.environment import ClientConnection, Environment
from pyproxy.proxy.exchange import Exchange
from pyproxy.proxy.tunnel import Tunnel

TUNNEL_LOOKS: Final = 8
"""A tunnel is looked at so many times in its idle timeout: it may be silent for an eighth longer."""


class TimedExchange(Exchange):
    """Ends when nothing passes in either direction for too long."""

    _tunnel: Tunnel | None = None
    _was_idle = False

    def __init__(self, env: Environment, connection: ClientConnection, stream: ClientStream, head: RequestHead) -> None:
        super().__init__(env, connection, stream, head)
        self._limit = connection.settings.stream_idle_timeout
        self._moved_at = self.ctx.started
        self._idle_timer: asyncio.TimerHandle | None = None
        self._look_again_in(self._limit)

    # Whatever passes begins the time anew

    def on_body(self, chunk: bytes) -> None:
        self._moved()
        super().on_body(chunk)

    def on_early_bytes(self, size: int) -> None:
        self._moved()
        super().on_early_bytes(size)

    def on_request_end(self) -> None:
        self._moved()
        super().on_request_end()

    def informational(self, head: ResponseHead) -> None:
        self._moved()
        super().informational(head)

    def attempt_body(self, chunk: bytes) -> None:
        self._moved()
        super().attempt_body(chunk)

    def _send_head(self, head: ResponseHead, *, end: bool, close: bool = False) -> None:
        self._moved()
        super()._send_head(head, end=end, close=close)

    def tunnel_opened(self, tunnel: Tunnel) -> None:
        self._moved()
        self._tunnel = tunnel
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._look_again_in(self._limit / TUNNEL_LOOKS)

    def _finish(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        super()._finish()

    # The time is over

    def _moved(self) -> None:
        self._moved_at = self.env.clock.monotonic()

    def _look_again_in(self, seconds: float) -> None:
        self._idle_timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        tunnel = self._tunnel
        if tunnel is not None and tunnel.moved:
            tunnel.moved = False
            self._moved()
        left = self._moved_at + self._limit - self.env.clock.monotonic()
        if left <= 0:
            self._idle_timer = None
            self._end_idle()
        elif tunnel is not None:
            self._look_again_in(min(left, self._limit / TUNNEL_LOOKS))
        else:
            self._look_again_in(left)

    def _end_idle(self) -> None:
        """A reply while there is still one to give, else a cut."""
        self.connection.stats.downstream_rq_idle_timeout += 1
        if self._tunnel is not None:
            self._was_idle = True
            self._tunnel.cut()
        elif not self.response_started:
            self.reply(replies.STREAM_IDLE if self.request_ended else replies.STREAM_IDLE_IN_REQUEST)
        else:
            self.drop_attempt()
            self.ctx.add_flag(replies.STREAM_IDLE.flag)
            self.ctx.details = replies.STREAM_IDLE.details
            self.stream.abort()
            self._finish()

    def _name_tunnel_end(self, *, by_client: bool) -> None:
        if self._was_idle:
            self.ctx.add_flag(replies.STREAM_IDLE.flag)
            self.ctx.details = replies.STREAM_IDLE.details
        else:
            super()._name_tunnel_end(by_client=by_client)


def open_exchange(env: Environment, connection: ClientConnection, stream: ClientStream, head: RequestHead) -> Exchange:
    """The exchange of one request, of the kind that its listener asks for."""
    if connection.settings.stream_idle_timeout:
        return TimedExchange(env, connection, stream, head)
    return Exchange(env, connection, stream, head)
