from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import RawTestServer

from pyproxy.console.poller import NoAnswer, Poller
from tests.console.overviews import page, requests

pytestmark = pytest.mark.integration


class FakeAdmin:
    answer: web.Response | None = None
    sent = 0

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        assert request.path == "/overview"
        return self.answer or web.json_response(page([requests(self.sent)]))


@pytest.fixture
async def admin() -> AsyncIterator[tuple[FakeAdmin, str, RawTestServer]]:
    fake = FakeAdmin()
    server = RawTestServer(fake)
    await server.start_server()
    yield fake, f"{server.host}:{server.port}", server
    await server.close()


async def test_the_last_answer_of_each_is_kept(admin: tuple[FakeAdmin, str, RawTestServer]) -> None:
    fake, address, server = admin
    async with ClientSession() as session:
        poller = Poller(session, [address, address])
        assert poller.addresses == (address,)
        for sent in (3, 4):
            fake.sent = sent
            await poller.poll()
            (totals,) = poller.readings[address].edges.values()
            assert totals.requests == sent
        await server.close()
        await poller.poll()
        assert poller.errors == {address: "nobody listens there"}
        assert poller.readings[address].name == "productpage-v1"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (web.Response(status=404, text="invalid path"), "404"),
        (web.Response(text="hello"), "not with JSON"),
        (web.json_response([1]), "not as a pyproxy"),
        (web.json_response({"time": 1}), "not as a pyproxy"),
    ],
)
async def test_who_is_no_proxy_is_told_so(
    admin: tuple[FakeAdmin, str, RawTestServer], answer: web.Response, why: str
) -> None:
    fake, address, _ = admin
    fake.answer = answer
    async with ClientSession() as session:
        poller = Poller(session, [address])
        await poller.poll()
        assert why in poller.errors[address]
        assert poller.readings == {}


async def test_a_page_that_cannot_be_had_says_why() -> None:
    async with ClientSession() as session:
        with pytest.raises(NoAnswer, match="nobody listens"):
            await Poller(session, []).page("127.0.0.1:1", "/overview")
