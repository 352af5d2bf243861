"""The proxy that one would write in an afternoon: aiohttp on both sides, prometheus-client for the counters."""

from __future__ import annotations

import os
import random
import time
import uuid

from aiohttp import ClientSession, TCPConnector, web
from multidict import CIMultiDict
from prometheus_client import Counter, Histogram

from bench.baselines.arguments import Arguments, parse

HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"})
REQUESTS = Counter("istio_requests", "Requests", ["destination_version", "response_code"])
DURATION = Histogram("istio_request_duration_milliseconds", "Duration", ["destination_version", "response_code"])


class NaiveProxy:
    """Routes by header and weight, adds request id and B3 headers, counts, streams the response."""

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._subsets = [subset for subset, _ in arguments.split]
        self._weights = [weight for _, weight in arguments.split]
        self._session: ClientSession | None = None

    async def open(self, app: web.Application) -> None:
        """Called by aiohttp once the loop runs."""
        self._session = ClientSession(connector=TCPConnector(limit=0), auto_decompress=False)

    async def close(self, app: web.Application) -> None:
        """Called by aiohttp at the end."""
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request through."""
        assert self._session is not None
        started = time.perf_counter()
        subset = self._choose(request)
        async with self._session.request(
            request.method,
            f"http://127.0.0.1:{self._arguments.upstreams[subset]}{request.rel_url}",
            headers=_forwarded(request),
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
            skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
        ) as upstream:
            headers = CIMultiDict((k, v) for k, v in upstream.headers.items() if k.lower() not in HOP_BY_HOP)
            response = web.StreamResponse(status=upstream.status, headers=headers)
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
        REQUESTS.labels(subset, str(upstream.status)).inc()
        DURATION.labels(subset, str(upstream.status)).observe((time.perf_counter() - started) * 1000)
        return response

    def _choose(self, request: web.Request) -> str:
        header = self._arguments.header
        if header is not None and request.headers.get(header[0]) != header[1]:
            return self._arguments.first
        return random.choices(self._subsets, self._weights)[0]


def _forwarded(request: web.Request) -> CIMultiDict[str]:
    headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP)
    trace = os.urandom(16).hex()
    headers.setdefault("x-request-id", str(uuid.uuid4()))
    headers.setdefault("x-b3-traceid", trace)
    headers.setdefault("x-b3-spanid", trace[16:])
    headers.setdefault("x-b3-sampled", "0")
    return headers


def main() -> None:
    """Serve until told to stop."""
    arguments = parse()
    proxy = NaiveProxy(arguments)
    app = web.Application(client_max_size=1 << 40)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    app.on_startup.append(proxy.open)
    app.on_cleanup.append(proxy.close)
    web.run_app(app, host="127.0.0.1", port=arguments.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
