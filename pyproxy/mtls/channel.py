"""One TLS connection over a raw transport: towards it a protocol, towards the protocol above it a transport.

OpenSSL sees memory alone (engine.py): no task, no copy of the raw transport's buffers, and bytes that were read
before anybody knew that they are TLS can be fed in. Source for what ends a connection: Envoy tls/ssl_socket.cc.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from pyproxy.mtls.failure import TlsError, failure_text, loss_text

if TYPE_CHECKING:
    from pyproxy.mtls.openssl import TlsContext
    from pyproxy.wire.client_hello import ClientHello

HANDSHAKE_TIMEOUT: Final = 15.0
"""Seconds that a client has for its handshake (Istio's transport_socket_connect_timeout of gateways)."""
TIMED_OUT: Final = "TLS_handshake_timeout"
CLOSED: Final = ""
"""The failure of a handshake whose peer just went away: Envoy has no words for it."""
_NOBODY: Final = asyncio.Protocol()
"""Stands above a channel that nobody has taken, or that is lost: it hears everything and does nothing."""


class TlsChannel:
    """Handshake, then plaintext for the protocol above. An asyncio.Transport and an asyncio.Protocol in all but base.

    `secured` is called once, when the handshake is done: it sets the protocol above and makes its connection. `failed`
    is called once instead when there will be no connection, with the reason in Envoy's form; the raw transport is
    closed then. What the protocol above first writes leaves together with the end of the handshake.
    """

    def __init__(
        self,
        context: TlsContext,
        *,
        secured: Callable[[TlsChannel], None],
        failed: Callable[[str], None],
        server_hostname: str | None = None,
        session: Any = None,
        hello: ClientHello | None = None,
        welcome: Callable[[bytes], str | None] | None = None,
    ) -> None:
        self.context = context
        self.tls = context.connection(server_hostname, session, hello=hello)
        self.tls.welcome = welcome
        self._server_side = context.server_side
        self.server_name = server_hostname or ""
        """SNI: what we asked for, or, when somebody sets it, what the client did."""
        self.handshake_done = False
        self.failure = ""
        """Why the connection was given up, in Envoy's form; also after the handshake."""
        self._secured: Callable[[TlsChannel], None] | None = secured
        self._failed: Callable[[str], None] | None = failed
        self._raw: asyncio.Transport = None  # type: ignore[assignment]  # set before any use
        self._upper: Any = _NOBODY
        self._closing = False
        self._ended = False
        """Our close_notify is sent."""
        self._heard_end = False
        """The peer's end is told to the protocol above."""
        self._stays = False
        """The protocol above goes on writing after the peer's end."""

    # Protocol of the raw transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The raw connection is there: begin the handshake."""
        self._raw = transport  # type: ignore[assignment]
        if not self._server_side:
            self._shake()

    def data_received(self, data: bytes) -> None:
        """TLS records; also those that somebody read before this channel was there."""
        if self._closing:
            return
        self.tls.feed(data)
        if self.handshake_done or self._shake():
            self._read()

    def eof_received(self) -> bool:
        """An end without close_notify is an end all the same, as in Envoy."""
        if not self.handshake_done:
            self._give_up(CLOSED)
            return False
        self._end()
        return self._stays and not self._closing

    def connection_lost(self, exc: Exception | None) -> None:
        """The raw connection is gone."""
        self._closing = True
        if not self.handshake_done:
            self._give_up(loss_text(exc) if exc is not None else CLOSED)
            return
        upper, self._upper = self._upper, _NOBODY
        upper.connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer reads slower than is written."""
        self._upper.pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._upper.resume_writing()

    # From who watches the clock

    def time_out(self) -> None:
        """The handshake takes too long."""
        self._give_up(TIMED_OUT)

    # Transport of the protocol above

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt at once, and send in one piece."""
        if self._closing or self._ended or not data:
            return
        try:
            self.tls.write(data)
        except TlsError as error:
            self._break(error)
            return
        self._raw.write(self.tls.outgoing())

    def writelines(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        """As one write."""
        self.write(b"".join(pieces))

    def write_eof(self) -> None:
        """Say close_notify; what the peer still sends is read. The raw connection stays whole, as Envoy's does."""
        if self._closing or self._ended:
            return
        self._ended = True
        self.tls.end()
        self._flush()

    def can_write_eof(self) -> bool:
        """Always: TLS 1.2 allows less than 1.3, but as Envoy we treat both alike."""
        return True

    def close(self) -> None:
        """Say close_notify, and close when everything is sent."""
        if self._closing:
            return
        if self.handshake_done:
            self.write_eof()
        self._closing = True
        self._raw.close()

    def abort(self) -> None:
        """Cut the connection, whatever waits to be sent."""
        self._closing = True
        self._raw.abort()

    def is_closing(self) -> bool:
        """Closed by us, or lost."""
        return self._closing or self._raw.is_closing()

    def pause_reading(self) -> None:
        """No data_received until resume_reading: nothing decrypted is ever kept back."""
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Undo pause_reading."""
        self._raw.resume_reading()

    def is_reading(self) -> bool:
        """Whether data_received may be called."""
        return not self._closing and self._raw.is_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Who stands above from now on."""
        self._upper = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who stands above."""
        protocol: asyncio.BaseProtocol = self._upper
        return protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`tls_channel`, or what the raw transport knows."""
        if name == "tls_channel":
            return self
        return self._raw.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Bytes, encrypted, that the system has not taken yet."""
        return self._raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Water marks of the raw transport."""
        self._raw.set_write_buffer_limits(high, low)

    # For itself

    def _shake(self) -> bool:
        """One step of the handshake; gives whether there is more to read."""
        try:
            done = self.tls.shake()
        except TlsError as error:
            self._flush()  # the alert
            unanswered = not self._server_side and not self.tls.cipher
            self._give_up(failure_text(error, unanswered=unanswered))
            return False
        if not done:
            self._flush()
            return False
        self.handshake_done = True
        secured, self._secured, self._failed = self._secured, None, None
        if secured is not None:
            secured(self)
        if self._closing:
            return False
        if not self._server_side or self.tls.version != "TLSv1.3":
            self._flush()  # else there are tickets alone, which nobody waits for: they leave with the first bytes
        return self.tls.waiting

    def _read(self) -> None:
        """Everything that can be decrypted, as one piece."""
        try:
            chunk = self.tls.read()
        except TlsError as error:
            self._break(error)
            return
        if chunk:
            self._upper.data_received(chunk)
        else:
            self._flush()  # it was no data; that may have to be answered
        if self.tls.ended and not self._closing:
            self._end()

    def _end(self) -> None:
        """The peer sends no more."""
        if self._heard_end or self._closing:
            return
        self._heard_end = True
        self._stays = bool(self._upper.eof_received())
        if not self._stays:
            self.close()

    def _flush(self) -> None:
        data = self.tls.outgoing()
        if data:
            self._raw.write(data)

    def _break(self, error: TlsError) -> None:
        """TLS itself went wrong after the handshake: nothing that follows can be trusted."""
        self.failure = failure_text(error)
        self._flush()
        self.abort()

    def _give_up(self, reason: str) -> None:
        """There will be no connection."""
        failed, self._secured, self._failed = self._failed, None, None
        if failed is None:
            return
        self.failure = reason
        self._closing = True
        self._raw.close()
        failed(reason)
