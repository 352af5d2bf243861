"""A console before a fake admin port: what it asks, and what it tells those who read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from pyproxy.console.console import Console, ConsoleSettings
from tests.console.overviews import page, requests
from tests.console.test_yaml_edit import TEXT
from tests.fakes import FakeClock

pytestmark = pytest.mark.integration


class FakeAdmin:
    sent = 0
    version = "first"
    asked: list[str]

    def __init__(self) -> None:
        self.asked = []

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(str(request.rel_url))
        if request.path == "/overview":
            row = requests(self.sent, destination_version="v2")
            return web.json_response(page([row], reload={"version": self.version}))
        return web.json_response({"configs": list(yaml.safe_load_all(TEXT))})


@pytest.fixture
async def admin() -> AsyncIterator[tuple[FakeAdmin, str]]:
    fake = FakeAdmin()
    server = RawTestServer(fake)
    await server.start_server()
    yield fake, f"{server.host}:{server.port}"
    await server.close()


def told(message: bytes | None) -> Any:
    assert message is not None
    return json.loads(message.split(b"data: ")[1])


async def test_readers_hear_what_changed(admin: tuple[FakeAdmin, str]) -> None:
    fake, address = admin
    clock = FakeClock()
    async with Console(ConsoleSettings([address], interval=3600), clock) as console:
        queue = console.stream.join(console.everything())
        assert queue is not None
        assert told(queue.get_nowait())["state"]["nodes"].keys() == {"productpage-v1"}
        fake.sent = 10
        clock.now += 0.5
        await console.look()
        state = told(queue.get_nowait())["state"]
        assert state["nodes"].keys() == {"reviews-v2"}
        edge = state["edges"]["productpage-v1>reviews-v2"]
        assert edge["rps"] > 0
        assert edge["weight"] == 50.0


async def test_weights_are_read_again_when_other_documents_are_in_force(admin: tuple[FakeAdmin, str]) -> None:
    fake, address = admin
    clock = FakeClock()
    async with Console(ConsoleSettings([address], interval=3600), clock) as console:
        clock.now += 0.5
        await console.look()
        assert sum("config_dump" in url for url in fake.asked) == 1
        fake.version = "second"
        clock.now += 0.5
        await console.look()
        assert sum("config_dump" in url for url in fake.asked) == 2
        assert [document["kind"] for document in await console.in_force()] == ["DestinationRule", "VirtualService"]


async def test_without_an_answer_there_is_a_page_all_the_same() -> None:
    async with Console(ConsoleSettings(["127.0.0.1:1"], interval=3600)) as console:
        assert console.board.state["proxies"]["127.0.0.1:1"]["error"] == "nobody listens there"
        assert await console.in_force() == []
