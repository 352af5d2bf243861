"""The open connections of one listener: who is idle too long, who must be told of a drain."""

from __future__ import annotations

import asyncio
from typing import Protocol

from pyproxy.proxy.environment import ClientConnection, Environment
from pyproxy.snapshot.model import HttpSettings


class Tracked(Protocol):
    """A client connection, whichever HTTP it speaks."""

    connection: ClientConnection
    transport: asyncio.Transport
    deadline: float
    """When the head being read must be whole, or what is left of a closing connection read; 0 is never. Monotonic."""
    idle_since: float

    @property
    def closing(self) -> bool:
        """The last response is written; the client has still to read it."""
        ...

    @property
    def busy(self) -> bool:
        """A request is being served."""
        ...

    def on_slow_head(self) -> None:
        """A head takes too long."""
        ...

    def on_still_closing(self, now: float) -> None:
        """Closed, but for what the client has still to read."""
        ...

    def on_idle(self) -> None:
        """No request for too long."""
        ...

    def drain(self) -> None:
        """The process goes away: end with the requests under way."""
        ...


class Tracker:
    """One listener's."""

    def __init__(self, env: Environment, headers_timeout: float) -> None:
        self._env = env
        self._headers_timeout = headers_timeout
        self.connections: set[Tracked] = set()
        self.draining = False
        """Every response of this listener says `connection: close`."""

    def add(self, connection: Tracked) -> None:
        """A connection opened."""
        self.connections.add(connection)

    def remove(self, connection: Tracked) -> None:
        """It is closed, or a tunnel now."""
        self.connections.discard(connection)

    def hello_deadline(self) -> float:
        """When what begins now must show which protocol it is; 0 is never."""
        return self._env.clock.monotonic() + self._headers_timeout if self._headers_timeout else 0.0

    def head_deadline(self, settings: HttpSettings) -> float:
        """When a head that begins now must be whole; 0 is never. A document's timeout wins over the process's."""
        limit = settings.stream_idle_timeout if self.ends_as_idle(settings) else self._head_limit(settings)
        return self._env.clock.monotonic() + limit if limit else 0.0

    def ends_as_idle(self, settings: HttpSettings) -> bool:
        """A head too slow is then an idle stream: to Envoy it is a stream from its first byte on."""
        idle, limit = settings.stream_idle_timeout, self._head_limit(settings)
        return idle > 0 and (idle < limit or not limit)

    def _head_limit(self, settings: HttpSettings) -> float:
        return settings.request_headers_timeout or self._headers_timeout

    def sweep(self, now: float) -> None:
        """Once a second: slow heads and idle connections."""
        for connection in list(self.connections):
            idle = connection.connection.settings.idle_timeout
            if connection.closing:
                connection.on_still_closing(now)
            elif connection.deadline:
                if connection.deadline <= now:
                    connection.on_slow_head()
            elif idle and not connection.busy and now - connection.idle_since >= idle:
                connection.on_idle()
