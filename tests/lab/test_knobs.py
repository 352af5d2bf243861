import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from pyproxy.lab.knobs import Knobs, Misbehaviour

pytestmark = pytest.mark.integration
Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="well")

    app = web.Application()
    app.router.add_get("/{any}", answer)
    Misbehaviour().add_to(app)
    async with TestClient(TestServer(app)) as found:
        yield found


@pytest.mark.parametrize(
    "wrong", [{"delay_ms": "5"}, {"hands": 1.5}, {"error_share": -1}, {"strict": 1}, {"hands": True}]
)
def test_a_value_of_another_kind_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Knobs(**wrong)  # type: ignore[arg-type]


async def test_an_error_share_is_kept_to_and_repeats_with_its_seed(client: Client) -> None:
    runs = []
    for _ in range(2):
        await client.put("/knobs", json={"error_share": 0.5, "error_status": 500, "seed": 3})
        runs.append([(await client.get("/x")).status for _ in range(40)])
    assert runs[0] == runs[1]
    assert 10 < runs[0].count(500) < 30


async def test_knobs_are_shown_kept_and_turned_back(client: Client) -> None:
    await client.put("/knobs", json={"delay_ms": 5.0})
    await client.put("/knobs", json={"error_share": 1.0})
    shown = await (await client.get("/knobs")).json()
    assert (shown["delay_ms"], shown["error_share"]) == (5.0, 1.0)
    assert (await client.get("/x")).status == 503
    assert await (await client.delete("/knobs")).json() == await (await client.get("/knobs")).json()
    assert (await client.get("/x")).status == 200


async def test_a_knob_that_is_not_there_is_answered_with_those_that_are(client: Client) -> None:
    answer = await client.put("/knobs", json={"delay": 5})
    assert answer.status == 400
    assert "delay_ms" in await answer.text()
    assert (await client.put("/knobs", data=b"{")).status == 400


async def test_a_delay_holds_back(client: Client) -> None:
    await client.put("/knobs", json={"delay_ms": 60})
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await client.get("/x")
    assert loop.time() - begun >= 0.06
    begun = loop.time()
    await client.get("/health")
    assert loop.time() - begun < 0.05


async def test_one_hand_serves_one_after_the_other(client: Client) -> None:
    await client.put("/knobs", json={"hands": 1, "work_ms": 30})
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await asyncio.gather(*(client.get("/x") for _ in range(4)))
    assert loop.time() - begun >= 0.12
