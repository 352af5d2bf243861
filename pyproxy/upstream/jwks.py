"""Fetches the keys that verify tokens: now, again every 20 minutes, and sooner where that failed. Never for a request.

Keys that were had stay until newer ones are there, however long their server is away. What a server sends is not
trusted: it has one timeout and one size, few redirects, none from https to http, and no link-local address, where
clouds keep their secrets. Source: Istio pilot/pkg/model/jwks_resolver.go, which does the same for its sidecars.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pyproxy.core.loop import Clock, spawn
from pyproxy.policy.jwks import KeySetError
from pyproxy.policy.token_rules import KeySource
from pyproxy.runtime.keyring import KeyRing

if TYPE_CHECKING:
    import aiohttp

_log = logging.getLogger("pyproxy.jwks")
DISCOVERY = "/.well-known/openid-configuration"
MAX_BYTES = 1024 * 1024
"""Of a key set or a discovery document."""
MAX_REDIRECTS = 5


class FetchError(Exception):
    """No keys came; the text says why and holds nothing that the server sent."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Seconds (Istio's own)."""

    refresh: float = 20 * 60.0
    failure: float = 60.0
    """After a refresh that failed; doubles with each that follows, up to `longest`."""
    longest: float = 60 * 60.0
    retry: float = 1.0
    """Between the tries of one refresh."""
    retries: int = 7
    file: float = 1.0
    """Between two looks at a file."""


@dataclass(slots=True)
class Fetches:
    """How the fetches of one source went; metrics show it."""

    source: str
    succeeded: int = 0
    failed: int = 0
    succeeded_at: float = 0.0
    """Unix seconds; 0: never."""
    trouble: str = ""
    """Why the last one failed; empty after a good one. Said once in the log."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """The first try is over, good or bad."""


class KeyFetcher:
    """Keeps a key ring filled for the sources that are in force."""

    def __init__(self, ring: KeyRing, clock: Clock, intervals: Intervals | None = None) -> None:
        self._ring = ring
        self._clock = clock
        self._intervals = intervals or Intervals()
        self._tasks: dict[KeySource, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None
        self.fetches: dict[KeySource, Fetches] = {}

    def follow(self, sources: Iterable[KeySource]) -> None:
        """Fetch for these from now on, and for no other; those that are fetched for already are left alone."""
        wanted = dict.fromkeys(sources)
        self._ring.keep_only(wanted)
        for source in self._tasks.keys() - wanted.keys():
            self._tasks.pop(source).cancel()
            del self.fetches[source]
        for source in wanted:
            if source not in self._tasks:
                self.fetches[source] = fetches = Fetches(name_of(source))
                self._tasks[source] = spawn(self._keep(source, fetches), name=f"keys of {fetches.source}")

    async def first_answers(self, timeout: float) -> None:
        """Wait until every source was tried once; some seconds at most."""
        waiting = [each.answered.wait() for each in self.fetches.values()]
        try:
            async with asyncio.timeout(timeout):
                await asyncio.gather(*waiting)
        except TimeoutError:
            _log.warning("some keys of token issuers are not here yet: until they come, their tokens are refused")

    async def close(self) -> None:
        """Fetch no more."""
        self.follow(())
        if self._session is not None:
            await self._session.close()
            self._session = None

    # For itself

    async def _keep(self, source: KeySource, fetches: Fetches) -> None:
        """Fetch again and again, for ever."""
        intervals = self._intervals
        is_file = source.uri.startswith("file:")
        pause = intervals.failure
        while True:
            if await self._refresh(source, fetches, retries=0 if is_file else intervals.retries):
                pause, wait = intervals.failure, intervals.refresh
            else:
                pause, wait = min(pause * 2, intervals.longest), pause
            await asyncio.sleep(intervals.file if is_file else wait)

    async def _refresh(self, source: KeySource, fetches: Fetches, *, retries: int) -> bool:
        """Whether keys came at last."""
        for attempt in range(retries + 1):
            if attempt:
                await asyncio.sleep(self._intervals.retry)
            came = await self._try(source, fetches)
            fetches.answered.set()
            if came:
                return True
        return False

    async def _try(self, source: KeySource, fetches: Fetches) -> bool:
        try:
            text = await self._fetch(source)
            if self._ring.put(source, text):
                _log.info("new keys from %s", fetches.source)
        except (FetchError, KeySetError) as error:
            if str(error) != fetches.trouble:
                _log.warning("no keys from %s: %s", fetches.source, error)
            fetches.trouble = str(error)
            fetches.failed += 1
            return False
        fetches.trouble = ""
        fetches.succeeded += 1
        fetches.succeeded_at = self._clock.time()
        return True

    async def _fetch(self, source: KeySource) -> bytes:
        """A key set's text. Raises FetchError."""
        if source.uri.startswith("file:"):
            return await asyncio.to_thread(_read, Path(unquote(urlsplit(source.uri).path)))
        uri = source.uri
        try:
            async with asyncio.timeout(source.timeout):
                if not uri:
                    uri = _jwks_uri(await self._get(source.issuer.removesuffix("/") + DISCOVERY))
                return await self._get(uri)
        except TimeoutError as error:
            raise FetchError(f"no answer within {source.timeout:g} s") from error

    async def _get(self, uri: str) -> bytes:
        import aiohttp  # at the first key: a mesh without tokens needs none of it

        if self._session is None:
            connector = aiohttp.TCPConnector(socket_factory=_socket, force_close=True)
            self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout())
        try:
            async with self._session.get(uri, max_redirects=MAX_REDIRECTS) as response:
                if uri.startswith("https:") and response.url.scheme != "https":
                    raise FetchError("redirected from https to http")
                if not 200 <= response.status < 300:
                    raise FetchError(f"status {response.status}")
                return await _body(response.content)
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise FetchError(_reason(error)) from error


async def _body(content: aiohttp.StreamReader) -> bytes:
    found = bytearray()
    async for chunk in content.iter_any():
        found += chunk
        if len(found) > MAX_BYTES:
            raise FetchError(f"longer than {MAX_BYTES} bytes")
    return bytes(found)


def _reason(error: Exception) -> str:
    """Why a fetch failed, without the address and all that may stand in it."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {getattr(cause, 'verify_message', '') or cause.reason}"
    if isinstance(cause, OSError) and (cause.errno or cause.strerror):
        return os.strerror(cause.errno) if cause.errno and cause.errno > 0 else str(cause.strerror)
    return type(error).__name__


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket to an address that may be asked. Raises OSError for one that may not."""
    family, kind, protocol, _, place = address
    if ipaddress.ip_address(str(place[0]).partition("%")[0]).is_link_local:
        raise OSError(None, "a link-local address is never asked for keys")
    return socket.socket(family=family, type=kind, proto=protocol)


def _jwks_uri(document: bytes) -> str:
    """Where an issuer says that its keys are (OpenID Connect Discovery 1.0, section 4)."""
    try:
        found = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise FetchError("the discovery document is not JSON") from error
    uri = found.get("jwks_uri") if isinstance(found, dict) else None
    if not isinstance(uri, str) or not uri.startswith(("http://", "https://")):
        raise FetchError("the discovery document has no jwks_uri")
    return uri


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            found = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FetchError(error.strerror or str(error)) from error
    if len(found) > MAX_BYTES:
        raise FetchError(f"longer than {MAX_BYTES} bytes")
    return found


def name_of(source: KeySource) -> str:
    """A source for logs and metrics: without the user, password and query that a URL may have."""
    parts = urlsplit(source.uri or source.issuer.removesuffix("/") + DISCOVERY)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
