"""A mesh, its console, and a browser before it."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxy.console.console import Console
from pyproxy.console.server import Server
from tests.browser.chromium import Chromium
from tests.browser.mesh import Mesh


@dataclass
class Scene:
    """A mesh, its console and a browser before it."""

    mesh: Mesh
    console: Console
    server: Server
    browser: Chromium

    async def open(self, view: str = "mesh", query: str = "", *, token: bool = True) -> None:
        """The page at one view, once it knows the mesh."""
        where, _, secret = self.server.url.partition("#")
        await self.browser.open(f"{where}?{query}" + (f"#{secret}" if token else ""))
        await self.browser.until("document.querySelector('.sum dd') !== null")
        await self.browser.click(f"#tab-{view}")
