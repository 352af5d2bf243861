"""How a program of the bookshop misbehaves, for lessons: slow, failing, short of hands, forgetful of headers.

`PUT /knobs` with a JSON object turns some, `DELETE /knobs` turns all back, `GET /knobs` shows them. PUT and DELETE,
because no web page of a stranger may send these without being asked first.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from aiohttp import web

PATHS_LEFT_ALONE = ("/health", "/knobs")


@dataclass
class Knobs:
    """As a program is by default: well."""

    delay_ms: float = 0.0
    """Before it answers."""
    delay_share: float = 1.0
    """Of the requests that are delayed."""
    error_share: float = 0.0
    """Of the requests that it answers with `error_status`."""
    error_status: int = 503
    hands: int = 0
    """Requests that it works on at once, `work_ms` each; the others wait their turn, even when their client has
    left. 0: no limit."""
    work_ms: float = 0.0
    strict: bool = False
    """Answers 502 when what it asks fails, in the place of a page with a gap."""
    tries: int = 0
    """How often it asks; 0: as it was written."""
    forget_headers: bool = False
    """Does not pass trace headers on."""
    seed: int = 1

    def __post_init__(self) -> None:
        for each in fields(self):
            value, kind = getattr(self, each.name), type(each.default)
            fits = isinstance(value, int | float if kind is float else kind)
            if not fits or (kind is not bool and isinstance(value, bool)) or value < 0:
                raise ValueError(f"{each.name}: {value!r} is no {'true or false' if kind is bool else 'number'}")


class Misbehaviour:
    """The knobs of one program, and what they need to work."""

    def __init__(self) -> None:
        self.turn(Knobs())

    def turn(self, knobs: Knobs) -> None:
        """Take these; who is at work already goes on."""
        self.knobs = knobs
        self._rng = random.Random(knobs.seed)
        self._hands = asyncio.Semaphore(knobs.hands or 1)

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Delay, fail, or make wait for a hand; else the program's own answer."""
        if request.path in PATHS_LEFT_ALONE:
            return await handler(request)
        knobs = self.knobs
        fails, late = self._rng.random() < knobs.error_share, self._rng.random() < knobs.delay_share
        if knobs.hands:
            async with self._hands:
                await asyncio.sleep(knobs.work_ms / 1000)
        if knobs.delay_ms and late:
            await asyncio.sleep(knobs.delay_ms / 1000)
        if fails:
            return web.Response(status=knobs.error_status, text="misbehaving, as its knobs say\n")
        return await handler(request)

    async def show(self, request: web.Request) -> web.Response:
        return web.json_response(asdict(self.knobs))

    async def put(self, request: web.Request) -> web.Response:
        """400 for a knob that is not there, or a value that it cannot take."""
        try:
            wanted: dict[str, Any] = await request.json()
            self.turn(Knobs(**{**asdict(self.knobs), **wanted}))
        except (TypeError, ValueError) as error:
            names = ", ".join(each.name for each in fields(Knobs))
            return web.Response(status=400, text=f"{error}. The knobs are {names}.\n")
        return await self.show(request)

    async def delete(self, request: web.Request) -> web.Response:
        self.turn(Knobs())
        return await self.show(request)

    def add_to(self, app: web.Application) -> None:
        app.middlewares.append(self.middleware)
        app.router.add_get("/knobs", self.show)
        app.router.add_put("/knobs", self.put)
        app.router.add_delete("/knobs", self.delete)
