"""A tunnel through an HTTP proxy upstream: CONNECT before a connection's own bytes. Source: Envoy tcp_proxy."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from pyproxy.core.outcome import Outcome
from pyproxy.mtls.contexts import Contexts
from pyproxy.runtime.clusters import HostState
from pyproxy.snapshot.tcp_routes import TcpRoute
from pyproxy.upstream.tcp import DialError, Holding, connect, dial, hung_up
from pyproxy.wire.proxy_protocol import Ends

_MOST: Final = 80 * 1024
"""Bytes of an answer's head."""
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r\n)")
OPEN: Final = "open"


async def dial_by(
    route: TcpRoute | None, host: HostState, contexts: Contexts | None, own_frame: bytes, ends: Ends
) -> Holding:
    """A connection to a route's host, or the tunnel through it, for a client with these ends. Raises DialError.

    A host may think about its answer for as long as a connection may be silent.
    """
    if route is None or not route.tunnel:
        return await dial(host, contexts, own_frame, ends)
    asking = Asking(own_frame, route.tunnel)
    await connect(asking, host, contexts, ends)
    try:
        async with asyncio.timeout(route.idle_timeout or None):
            answer = await asking.answered
    except TimeoutError:
        answer = ""
    except asyncio.CancelledError:
        _hang_up(asking, host)
        raise
    if answer != OPEN:
        _hang_up(asking, host)
        raise DialError(Outcome.REMOTE_CONNECTION_FAILURE, answer)
    return asking


def _hang_up(asking: Asking, host: HostState) -> None:
    asking.transport.abort()
    hung_up(host)


class Asking(Holding):
    """Asks for a tunnel as soon as it is connected; what comes behind the answer's head is the other end's."""

    def __init__(self, own_frame: bytes, target: str) -> None:
        super().__init__(own_frame)
        self.answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """OPEN, or why there is no tunnel, in the words of Envoy's transport failure reason."""
        self._target = target.encode()
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (self._target, self._target))

    def data_received(self, data: bytes) -> None:
        if self.frame is not None and not self.answered.done():
            data = self.frame.feed(data)
        if not self.answered.done():
            self._head += data
            data = self._take_head()
        if data:
            super().data_received(data)

    def eof_received(self) -> bool:
        self._settle("")
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle("")

    def _take_head(self) -> bytes:
        """Gives what is behind it."""
        while True:
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                if len(self._head) > _MOST:
                    self._settle("")
                return b""
            status = _STATUS.match(head + end)
            if status is None:
                self._settle("")
                return b""
            self._head = rest
            code = int(status[1])
            if code >= 200:
                self._settle(OPEN if code < 300 else f"tunnel_response:{code}")
                return rest if code < 300 else b""

    def _settle(self, answer: str) -> None:
        if not self.answered.done():
            self.answered.set_result(answer)
