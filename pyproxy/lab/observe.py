"""Reads every proxy's metrics port and turns two readings into what happened between them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import ClientError, ClientSession, ClientTimeout

from pyproxy.lab.metrics import Edge, Scrape, Totals, merge, parse_metrics

SCRAPE_SECONDS = 2.0


class Observer:
    """The proxies by their workloads' names, and where each has its metrics."""

    def __init__(self, session: ClientSession, addresses: Mapping[str, str]) -> None:
        self._session = session
        self._addresses = addresses
        self._before = dict.fromkeys(addresses, Scrape())

    async def interval(self) -> dict[Edge, Totals]:
        """What happened since the last call. A proxy that does not answer in time has seen nothing yet."""
        readings = await asyncio.gather(*(self._read(name) for name in self._addresses))
        parts = []
        for name, reading in zip(self._addresses, readings, strict=True):
            before = self._before[name].edges
            parts.append({edge: totals.since(before.get(edge)) for edge, totals in reading.edges.items()})
            self._before[name] = reading
        return merge(parts)

    def refusing(self) -> list[str]:
        """The proxies that could not take up the documents as they now are."""
        return [name for name, reading in self._before.items() if not reading.reload_ok]

    async def _read(self, name: str) -> Scrape:
        url = f"http://{self._addresses[name]}/stats/prometheus"
        try:
            async with self._session.get(url, timeout=ClientTimeout(total=SCRAPE_SECONDS)) as response:
                return parse_metrics(await response.text())
        except (ClientError, TimeoutError):
            return self._before[name]
