"""Between an attempt and the connection that carries it: what either may ask of the other, whichever HTTP it is."""

from __future__ import annotations

import asyncio
from typing import Protocol

from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.core.outcome import Outcome
from pyproxy.core.tls import Peer


class ResponseHandler:
    """What a connection tells the attempt that borrowed it. Calls come from data_received; none may wait."""

    def on_informational(self, head: ResponseHead) -> None:
        """A 1xx other than 101."""
        raise NotImplementedError

    def on_head(self, head: ResponseHead, *, end: bool) -> None:
        """The response head; `end` when nothing follows."""
        raise NotImplementedError

    def on_body(self, chunk: bytes) -> None:
        """Body bytes."""
        raise NotImplementedError

    def on_end(self) -> None:
        """The response is whole. Trailers of HTTP/1.1 are dropped, as Envoy does."""
        raise NotImplementedError

    def on_trailers(self, trailers: Headers) -> None:
        """The response is whole, and header lines end it."""
        raise NotImplementedError

    def on_reset(self, outcome: Outcome, reason: str) -> None:
        """There will be no more of this response."""
        raise NotImplementedError

    def on_read_end(self) -> None:
        """All that came with one read was told; more will follow."""
        raise NotImplementedError

    def on_writable(self, writable: bool) -> None:
        """The upstream reads slower (False) or again (True)."""
        raise NotImplementedError

    def on_upgraded(self, head: ResponseHead, rest: bytes) -> None:
        """101: the connection is a tunnel now; `rest` came with the head."""
        raise NotImplementedError


class RequestStream:
    """Where an attempt sends its request: a connection of HTTP/1.1, or one stream of HTTP/2."""

    transport: asyncio.Transport
    """A tunnel's, once the request was upgraded."""
    local_address: str
    protocol: str
    """As the access log has it."""
    requests: int
    """That the connection carried before."""
    usable: bool
    peer: Peer | None
    """The other end's facts; None: plaintext."""

    def begin(self, handler: ResponseHandler, *, head_request: bool, upgrade: bytes) -> None:
        """Begin a request; `upgrade` names the protocol to switch to, if any."""
        raise NotImplementedError

    def send_head(self, head: RequestHead, extra: bytes, *, body: bool, sized: bool) -> None:
        """`extra`: more header lines, each with its CRLF. `body`: one follows; `sized`: the headers have its length."""
        raise NotImplementedError

    def send_body(self, chunk: bytes) -> None:
        """Part of the body; it leaves with the next `flush`."""
        raise NotImplementedError

    def send_end(self, trailers: Headers | None) -> None:
        """The request is whole."""
        raise NotImplementedError

    def flush(self) -> None:
        """Write what was sent."""
        raise NotImplementedError

    def abandon(self) -> None:
        """The attempt ends early."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """The client reads slowly."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """The client reads again."""
        raise NotImplementedError

    def tunnel_closed(self) -> None:
        """What it became is at its end."""
        raise NotImplementedError


class Borrower(Protocol):
    """An attempt that waits for a connection."""

    def on_connected(self, connection: RequestStream) -> None:
        """Yours until the response ends."""
        ...

    def on_connect_failed(self, outcome: Outcome, reason: str) -> None:
        """None to be had; `reason` is the transport's."""
        ...

    def on_turned_away(self) -> None:
        """Too many wait already: an overflow in which the host had no part."""
        ...


class Lender:
    """A pool, as an attempt sees it."""

    __slots__ = ()

    @property
    def connections(self) -> int:
        """Open or opening."""
        raise NotImplementedError

    @property
    def in_use(self) -> bool:
        """It has connections, or somebody waits for one."""
        raise NotImplementedError

    def drain(self) -> None:
        """Close what is idle, lend nothing that is open now a second time."""
        raise NotImplementedError

    def retire(self) -> None:
        """Nobody names this host any more."""
        raise NotImplementedError

    def borrow(self, borrower: Borrower) -> RequestStream | None:
        """Where to send at once, or None: then the borrower is called later."""
        raise NotImplementedError

    def borrow_fresh(self, borrower: Borrower) -> None:
        """On a connection that has carried nothing yet."""
        raise NotImplementedError

    def cancel(self, borrower: Borrower) -> None:
        """The borrower waits no longer."""
        raise NotImplementedError
