import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from pyproxy.lab import traffic
from pyproxy.lab.traffic import Tally, Traffic

pytestmark = pytest.mark.integration


class Shop:
    """Answers each visit as `answer` says, and counts to `wanted`."""

    def __init__(self, wanted: int) -> None:
        self.users: list[str] = []
        self.wanted = wanted
        self.enough = asyncio.Event()
        self.status = 200
        self.body: object = {"reviews": {"version": "v2"}}
        self.hold = asyncio.Event()
        self.hold.set()

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.users.append(request.headers.get("end-user", ""))
        if len(self.users) >= self.wanted:
            self.enough.set()
        await self.hold.wait()
        return web.json_response(self.body, status=self.status)


@pytest.fixture
async def shop() -> AsyncIterator[tuple[Shop, str]]:
    fake = Shop(wanted=30)
    server = RawTestServer(fake)
    await server.start_server()
    yield fake, str(server.make_url("/productpage"))
    fake.hold.set()
    await server.close()


async def visit(shop: Shop, url: str, rng: random.Random, until: asyncio.Event | None = None) -> Tally:
    users = Traffic(url, 1000.0, rng)
    task = asyncio.ensure_future(users.run())
    await asyncio.wait_for((until or shop.enough).wait(), 60)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return users.take()


async def test_the_same_seed_sends_the_same_users(shop: tuple[Shop, str]) -> None:
    fake, url = shop
    await visit(fake, url, random.Random(7))
    first, fake.users = fake.users[:30], []
    fake.enough.clear()
    await visit(fake, url, random.Random(7))
    assert sorted(first) == sorted(fake.users[:30])
    assert {"", "jason"} == set(first)


async def test_the_tally_says_who_saw_which_version(shop: tuple[Shop, str]) -> None:
    tally = await visit(*shop, random.Random(1))
    assert tally.failed == 0
    assert set(tally.served) == {("jason", "v2"), ("anonymous", "v2")}
    assert sum(tally.served.values()) <= tally.sent


@pytest.mark.parametrize(
    ("status", "body", "failed"), [(503, "", True), (200, {"reviews": {"error": "503"}}, False), (200, [1], True)]
)
async def test_a_gap_and_a_failure_are_told_apart(
    shop: tuple[Shop, str], status: int, body: object, failed: bool
) -> None:
    fake, url = shop
    fake.status, fake.body = status, body
    tally = await visit(fake, url, random.Random(1))
    assert {version for _, version in tally.served} == {"none"}
    assert (tally.failed > 0) is failed


async def test_a_mesh_that_hangs_gets_no_more_than_a_ceiling_of_visits(
    shop: tuple[Shop, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, url = shop
    fake.wanted = 5
    fake.hold.clear()
    monkeypatch.setattr(traffic, "MOST_AT_ONCE", 5)
    users = Traffic(url, 1000.0, random.Random(1))
    task = asyncio.ensure_future(users.run())
    await asyncio.wait_for(fake.enough.wait(), 60)
    skipped = 0
    while not skipped:
        await asyncio.sleep(0)
        skipped = users.take().skipped
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(fake.users) == 5
