from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyproxy.console.console import Console, ConsoleSettings
from pyproxy.console.server import Server
from tests.browser.chromium import Chromium, find_chromium
from tests.browser.mesh import running_mesh
from tests.browser.scene import Scene


@pytest.fixture
def chromium_flags() -> tuple[str, ...]:
    """More to start it with; a module that needs them has a fixture of this name."""
    return ()


@pytest.fixture
async def browser(chromium_flags: tuple[str, ...]) -> AsyncIterator[Chromium]:
    """A real Chromium; what the page threw or was refused fails the test."""
    binary = find_chromium()
    if binary is None:
        pytest.skip("LOUD SKIP: no browser looked at anything, there is no Chromium (apt-get install chromium)")
    async with Chromium(binary, *chromium_flags) as chromium:
        yield chromium
        assert chromium.console == []


@pytest.fixture
async def scene(tmp_path: Path, browser: Chromium) -> AsyncIterator[Scene]:
    """All of it, with traffic."""
    async with running_mesh(tmp_path / "mesh") as mesh:
        settings = ConsoleSettings([mesh.admin], [mesh.file.parent], [mesh.log])
        async with Console(settings) as console:
            server = Server(console, "127.0.0.1", 0)
            await server.start()
            yield Scene(mesh, console, server, browser)
            await server.stop()
