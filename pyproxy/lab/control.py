"""Where a running lab takes orders from commands in other terminals: JSON over loopback, for who knows the token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ClientError, web

from pyproxy.core.errors import CommandError

Order = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
CANNOT = 409


class Control:
    """`POST /NAME` with a JSON object runs the order of that name; its answer is one too."""

    def __init__(self, token: str) -> None:
        self.orders: dict[str, Order] = {}
        self._token = token
        self._runner: web.AppRunner
        self.url = ""

    async def start(self, address: str) -> None:
        """Listen on a free port."""
        app = web.Application(middlewares=[self._authorize])
        app.router.add_post("/{order}", self._obey)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, address, 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _authorize(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return web.json_response({"error": "who are you?"}, status=403)
        return await handler(request)

    async def _obey(self, request: web.Request) -> web.Response:
        order = self.orders.get(request.match_info["order"])
        if order is None:
            return web.json_response({"error": f"this lab takes {', '.join(self.orders)}"}, status=404)
        try:
            return web.json_response(await order(await request.json()))
        except (CommandError, ClientError, OSError) as error:
            return web.json_response({"error": str(error) or type(error).__name__}, status=CANNOT)
