"""One console from start to end: asks the proxies, keeps the board, sends what changed to every page that is open."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import ClientSession

from pyproxy.console.board import Board, changes
from pyproxy.console.documents import Documents, Refused
from pyproxy.console.explaining import explain
from pyproxy.console.findings import Findings
from pyproxy.console.poller import NoAnswer, Poller
from pyproxy.console.routes import weights
from pyproxy.console.stream import Stream
from pyproxy.core.loop import Clock, SystemClock, spawn


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """What a console looks at. `config`: documents to be edited; `logs`: where access logs are; both may be empty."""

    proxies: Sequence[str]
    """Admin ports, `ip:port`."""
    config: Sequence[Path] = ()
    logs: Sequence[Path] = ()
    interval: float = 0.5
    """Seconds from one look to the next."""
    title: str = "mesh"


class Console:
    """`async with`: looks at the proxies from the first to the last."""

    def __init__(self, settings: ConsoleSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.board = Board()
        self.stream = Stream()
        self.documents = Documents(settings.config)
        self.findings = Findings(self.documents)
        self.poller: Poller
        self._clock = clock or SystemClock()
        self._session: ClientSession
        self._looking: asyncio.Task[Any] | None = None
        self._weighed: object = None
        """Of which documents the weights are."""

    async def __aenter__(self) -> Self:
        self._session = ClientSession()
        self.poller = Poller(self._session, self.settings.proxies)
        await self.look()
        self._looking = spawn(self._look_on(), name="console")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        self.stream.close()
        await self._session.close()

    def everything(self) -> dict[str, object]:
        """What a page shows at first, but for the history."""
        return {"state": self.board.state}

    async def look(self) -> None:
        """Ask once, and tell every reader what changed."""
        await self.poller.poll(self._clock.monotonic())
        await self._weigh()
        before = self.board.state
        after = self.board.look(self._clock.time(), self._clock.monotonic(), self.poller.readings, self.poller.errors)
        told: dict[str, object] = {"state": changes(before, after)}
        if self.board.step is not None:
            told["step"] = self.board.step.as_json()
        self.stream.send("delta", told)

    async def in_force(self) -> list[dict[str, Any]]:
        """The documents by which the first proxy that answers serves, without what is secret in them."""
        for address in self.poller.readings:
            try:
                page = await self.poller.page(address, "/config_dump?resource=documents")
            except NoAnswer:
                continue
            configs = page.get("configs")
            return configs if isinstance(configs, list) else []
        return []

    async def explain(self, proxy: str, method: str, url: str, headers: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """What one request would meet at a proxy, by the documents of `config`. Raises Refused."""
        address = next((where for where, reading in self.poller.readings.items() if reading.name == proxy), None)
        if address is None:
            raise Refused(f"no proxy is called {proxy}")
        try:
            info = await self.poller.page(address, "/server_info")
        except NoAnswer as error:
            raise Refused(f"{proxy}: {error}") from error
        return await asyncio.to_thread(explain, self.documents.paths, info, method, url, headers)

    async def _look_on(self) -> None:
        due = self._clock.monotonic()
        while True:
            due = max(due + self.settings.interval, self._clock.monotonic())
            await asyncio.sleep(due - self._clock.monotonic())
            await self.look()

    async def _weigh(self) -> None:
        """Read the weights again when the documents in force are others."""
        in_force = sorted({reading.version for reading in self.poller.readings.values()})
        if in_force and in_force != self._weighed:
            self._weighed = in_force
            self.board.weights = weights(await self.in_force())
