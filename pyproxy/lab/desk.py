"""What a running lab does when it is asked: each order's arguments, as a command sends them, and its answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pyproxy.lab.control import Order
from pyproxy.lab.director import Director
from pyproxy.lab.run_report import make_report
from pyproxy.lab.running import RunningLab


class Desk:
    """The orders of one lab; `stop` ends it."""

    def __init__(self, director: Director, lab: RunningLab, stop: asyncio.Event) -> None:
        self._director = director
        self._documents = Path(lab.documents)
        self._seed = lab.seed
        self._stop = stop
        self._lab = {"page": lab.page, "documents": lab.documents, "folder": lab.folder, "seed": lab.seed}
        """What `status` says of it."""

    def orders(self) -> dict[str, Order]:
        """Name → what it does."""
        return {
            "status": self._status,
            "scenario": self._scenario,
            "check": self._check,
            "reset": self._reset,
            "report": self._report,
            "down": self._down,
        }

    async def _status(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {**await self._director.status(), "lab": self._lab}

    async def _scenario(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return await self._director.start(str(arguments["name"]), int(arguments.get("step", 1)))

    async def _check(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return await self._director.check(str(arguments.get("name", "")), str(arguments.get("answer", "")))

    async def _reset(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return await self._director.reset()

    async def _report(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return await make_report(self._director, self._documents, self._seed)

    async def _down(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._stop.set()
        return {"ended": str(self._documents)}
