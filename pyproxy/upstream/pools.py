"""Which pool of a host a request takes: the only one, or, where that decides, the one for its name and its HTTP."""

from __future__ import annotations

from typing import Protocol

from pyproxy.core.loop import Clock
from pyproxy.core.tls import ClientTls
from pyproxy.mtls.contexts import Contexts
from pyproxy.runtime.clusters import HostState
from pyproxy.upstream.dialling import HTTP1, HTTP2, TlsDialler, named_by_request, tls_of
from pyproxy.upstream.pool import HostPool
from pyproxy.upstream.stream import Lender
from pyproxy.wire.proxy_protocol import NOBODY, Ends


class Client(Protocol):
    """Whose request it is."""

    @property
    def ends(self) -> Ends:
        """Where its connection came from and where it went."""
        ...


def pool_of(
    host: HostState,
    clock: Clock,
    contexts: Contexts | None,
    authority: bytes,
    *,
    http2: bool,
    client: Client | None = None,
) -> Lender:
    """The pool for a request with this authority, made at first use. `http2`: its client speaks HTTP/2.

    Where hosts are told who the client is, each has pools of its own; None is nobody.
    """
    pool = host.pool
    if isinstance(pool, HostPool):
        return pool
    if isinstance(pool, Lender):
        return pool
    if not isinstance(pool, SeveralPools):
        tls = tls_of(host, contexts)
        version = host.cluster.cluster.http_version
        divided = version == "downstream" or host.cluster.cluster.connection.proxy_protocol
        if not divided and (tls is None or not named_by_request(tls)):
            only = make_pool(host, clock, contexts, tls, "", http2=version == "2")
            host.pool = only
            return only
        host.pool = pool = SeveralPools(host, clock, contexts, tls)
    return pool.fitting(authority, client, http2=http2)


class SeveralPools:
    """A host's pools by the name that its certificate must fit, by HTTP, and by client, as Envoy has them."""

    def __init__(self, host: HostState, clock: Clock, contexts: Contexts | None, tls: ClientTls | None) -> None:
        self._host = host
        self._clock = clock
        self._contexts = contexts
        self._tls = tls
        self._named = tls is not None and named_by_request(tls)
        self._introduces = bool(host.cluster.cluster.connection.proxy_protocol)
        self._pools: dict[tuple[str, bool, Ends], Lender] = {}

    def fitting(self, authority: bytes, client: Client | None, *, http2: bool) -> Lender:
        """The pool for an authority's host."""
        ends = client.ends if self._introduces and client is not None else NOBODY
        version = self._host.cluster.cluster.http_version
        if version != "downstream":
            http2 = version == "2"
        name = host_of(authority) if self._named else ""
        found = self._pools.get((name, http2, ends))
        if found is None:
            # Names and ends come from clients: a pool that nobody uses must not stay.
            self._pools = {key: pool for key, pool in self._pools.items() if pool.in_use}
            found = make_pool(self._host, self._clock, self._contexts, self._tls, name, ends, http2=http2)
            self._pools[name, http2, ends] = found
        return found

    @property
    def connections(self) -> int:
        """Open or opening, of all."""
        return sum([pool.connections for pool in self._pools.values()])

    def drain(self) -> None:
        """Each of them."""
        for pool in self._pools.values():
            pool.drain()

    def retire(self) -> None:
        """Each of them."""
        for pool in self._pools.values():
            pool.retire()


def make_pool(
    host: HostState,
    clock: Clock,
    contexts: Contexts | None,
    tls: ClientTls | None,
    name: str,
    ends: Ends = NOBODY,
    *,
    http2: bool,
) -> Lender:
    """A new pool; `name` as TlsDialler has it."""
    dialler = TlsDialler(host, tls, contexts, name, HTTP2 if http2 else HTTP1, ends) if tls is not None else None
    if not http2:
        return HostPool(host, clock, dialler, ends)
    from pyproxy.upstream.http2_pool import Http2Pool  # h2 comes with it: whoever speaks no HTTP/2 does without

    return Http2Pool(host, clock, dialler, ends)


def host_of(authority: bytes) -> str:
    """The host of an authority, lower case, without port and brackets."""
    host, colon, port = authority.rpartition(b":")
    if not colon or not port.isdigit():
        host = authority
    return host.strip(b"[]").decode("latin-1").lower()
