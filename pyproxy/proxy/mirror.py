"""Shadow requests: the same to another cluster, the response thrown away. Source: Envoy shadow_writer_impl.cc."""

from __future__ import annotations

import random

from pyproxy.core.http import RequestHead, ResponseHead
from pyproxy.core.outcome import Outcome
from pyproxy.proxy.environment import Environment
from pyproxy.runtime.clusters import HostState
from pyproxy.runtime.live import Serving
from pyproxy.snapshot.model import Mirror
from pyproxy.upstream.http1 import Http1Client, ResponseHandler
from pyproxy.upstream.pool import HostPool, pool_of
from pyproxy.wire.http1 import encode_request

MAX_BODY = 1024 * 1024
"""Bytes; a larger body is not mirrored (Envoy drops the shadow past its buffer limit)."""


class Mirroring:
    """The shadows of one request: they leave when it is whole."""

    def __init__(self, env: Environment, hosts: list[HostState], head: RequestHead) -> None:
        self._env = env
        self._hosts = hosts
        self._head = head
        self._body: list[bytes] = []
        self._size = 0

    @classmethod
    def start(
        cls,
        env: Environment,
        serving: Serving,
        mirrors: tuple[Mirror, ...],
        head: RequestHead,
        chance: random.Random | None,
        *,
        ended: bool,
    ) -> Mirroring | None:
        """Roll each mirror's percentage; None when no shadow is due. An unknown cluster is skipped, as in Envoy."""
        hosts: list[HostState] = []
        for mirror in mirrors:
            state = serving.clusters.get(mirror.cluster)
            if state is None or (chance or env.rng).randrange(1_000_000) >= mirror.per_million:
                continue
            host = state.pick(chance=chance)
            if host is not None:
                hosts.append(host)
        if not hosts:
            return None
        mirroring = cls(env, hosts, head)
        if ended:
            mirroring.on_end()
            return None
        return mirroring

    def on_body(self, chunk: bytes) -> None:
        """Keep a copy."""
        self._size += len(chunk)
        if self._size <= MAX_BODY:
            self._body.append(chunk)
        else:
            self._hosts = []
            self._body = []

    def on_end(self) -> None:
        """The request is whole: send the shadows."""
        body = b"".join(self._body)
        head = self._head
        sized = b"content-length" in head.notable
        extra = b"content-length: %d\r\n" % len(body) if body and not sized else b""
        for host in self._hosts:
            peer = b"" if host.cluster.cluster.mesh_external else self._env.peer_lines
            data = encode_request(head, extra + peer, body=bool(body), sized=bool(body) or sized) + body
            Shadow(host, data, head_request=head.method == b"HEAD").begin(self._env)


class Shadow(ResponseHandler):
    """One shadow request: borrower and handler that listens to nothing."""

    def __init__(self, host: HostState, data: bytes, *, head_request: bool) -> None:
        self._host = host
        self._data = data
        self._head_request = head_request
        self._status = 0

    def begin(self, env: Environment) -> None:
        """Borrow a connection and send."""
        pool: HostPool = pool_of(self._host, env.clock)
        connection = pool.borrow(self)
        if connection is not None:
            self.on_connected(connection)

    def on_connected(self, connection: Http1Client) -> None:
        self._host.begin_request()
        connection.begin(self, head_request=self._head_request, upgrading=False)
        connection.send(self._data)
        connection.flush()

    def on_connect_failed(self, outcome: Outcome, reason: str) -> None:
        pass

    def on_turned_away(self) -> None:
        pass

    def on_informational(self, head: ResponseHead) -> None:
        pass

    def on_head(self, head: ResponseHead, *, end: bool) -> None:
        self._host.cluster.stats.count_response(head.status)
        self._status = head.status
        if end:
            self._host.end_request(head.status)

    def on_body(self, chunk: bytes) -> None:
        pass

    def on_end(self) -> None:
        self._host.end_request(self._status)

    def on_reset(self, outcome: Outcome, reason: str) -> None:
        self._host.end_request(0)

    def on_read_end(self) -> None:
        pass

    def on_writable(self, writable: bool) -> None:
        pass

    def on_upgraded(self, head: ResponseHead, rest: bytes) -> None:
        self._host.end_request(101)
