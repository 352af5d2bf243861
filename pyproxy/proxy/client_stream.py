"""What an exchange may ask of the protocol that carries it, whichever HTTP that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyproxy.core.http import Headers, ResponseHead

if TYPE_CHECKING:
    from pyproxy.proxy.attempt import Attempt


class ClientStream:
    """What an exchange may ask of the protocol that carries it."""

    def send_informational(self, head: ResponseHead) -> None:
        """A 1xx."""
        raise NotImplementedError

    def send_head(self, head: ResponseHead, *, end: bool, close: bool = False) -> int:
        """The response head; gives the bytes it took. `end`: no body follows. `close`: the connection ends with it."""
        raise NotImplementedError

    def send_body(self, chunk: bytes) -> None:
        """Body bytes."""
        raise NotImplementedError

    def send_end(self) -> None:
        """The body is whole."""
        raise NotImplementedError

    def send_trailers(self, trailers: Headers) -> None:
        """The body is whole, and header lines follow it."""
        raise NotImplementedError

    def flush(self) -> None:
        """Write what was sent."""
        raise NotImplementedError

    def abort(self) -> None:
        """The response cannot be finished: cut the connection."""
        raise NotImplementedError

    def pause_request(self) -> None:
        """Read no more of the request."""
        raise NotImplementedError

    def resume_request(self) -> None:
        """Read on."""
        raise NotImplementedError

    def switch_to_tunnel(self, attempt: Attempt, rest: bytes) -> None:
        """101 was sent: from now on bytes pass both ways."""
        raise NotImplementedError

    def exchange_finished(self) -> None:
        """Called once, when nothing more will be asked."""
        raise NotImplementedError
