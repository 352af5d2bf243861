"""The second floor: httptools on both sides, routes by header and weight, lends connections from a list; nothing else.

No policies, no metrics, no trace headers, no limits, no errors: what is left of a request when all of that is free.
Bodies must be length-framed; a response is passed on as it came.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import cast

import httptools
import uvloop

from bench.baselines.arguments import Arguments, parse

Headers = list[tuple[bytes, bytes]]


class Router:
    """Chooses an upstream port for a request, and keeps the idle connections of each."""

    def __init__(self, arguments: Arguments) -> None:
        header = arguments.header
        self._header = None if header is None else (header[0].encode(), header[1].encode())
        self._ports = [arguments.upstreams[subset] for subset, _ in arguments.split]
        self._sums: list[int] = []
        for _, weight in arguments.split:
            self._sums.append(weight + (self._sums[-1] if self._sums else 0))
        self.idle: dict[int, list[Upstream]] = {port: [] for port in self._ports}

    def choose(self, headers: Headers) -> int:
        """The port of a subset."""
        if self._header is None or self._header in headers:
            drawn = random.random() * self._sums[-1]
            for port, bound in zip(self._ports, self._sums, strict=True):
                if drawn < bound:
                    return port
        return self._ports[0]


class Upstream(asyncio.Protocol):
    """A connection to the service, lent to one client at a time."""

    client: Client

    def __init__(self, idle: list[Upstream]) -> None:
        self._idle = idle
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to be used."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Parsed to find its end, passed on as it came."""
        self.client.transport.write(data)
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Looked at, as a proxy must."""

    def on_message_complete(self) -> None:
        """The client may send its next request."""
        self._parser = httptools.HttpResponseParser(self)
        self._idle.append(self)
        self.client.answered()

    def connection_lost(self, error: Exception | None) -> None:
        """Not lent again."""
        if self in self._idle:
            self._idle.remove(self)
        else:
            self.client.transport.close()


class Client(asyncio.Protocol):
    """A client's connection: one request after the other."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._busy = False
        self._begin()

    def _begin(self) -> None:
        self._target = b""
        self._headers: Headers = []
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready for requests."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, which calls what follows."""
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        """A response in flight is nobody's now; its connection is left to it."""

    # Parser callbacks

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Route and forward."""
        port = self._router.choose(self._headers)
        lines = [b"%b %b HTTP/1.1" % (self._parser.get_method(), self._target)]
        lines += [b"%b: %b" % header for header in self._headers if header[0] != b"connection"]
        message = b"\r\n".join(lines) + b"\r\n\r\n" + b"".join(self._body)
        self._begin()
        if self._busy:
            self._waiting.append((port, message))
        else:
            self._send(port, message)

    def _send(self, port: int, message: bytes) -> None:
        self._busy = True
        idle = self._router.idle[port]
        if idle:
            upstream = idle.pop()
            upstream.client = self
            upstream.transport.write(message)
        else:
            self._dialling = asyncio.ensure_future(self._dial(port, message))

    async def _dial(self, port: int, message: bytes) -> None:
        idle = self._router.idle[port]
        _, upstream = await asyncio.get_running_loop().create_connection(lambda: Upstream(idle), "127.0.0.1", port)
        upstream.client = self
        upstream.transport.write(message)

    def answered(self) -> None:
        """The response is through."""
        self._busy = False
        if self._waiting:
            self._send(*self._waiting.popleft())


async def serve() -> None:
    """Serve until told to stop."""
    arguments = parse()
    router = Router(arguments)
    server = await asyncio.get_running_loop().create_server(
        lambda: Client(router), "127.0.0.1", arguments.port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
