from __future__ import annotations

import json
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
    padding = 0
    """Bytes more than the page needs; they come in parts."""
    asked = 0
    encoding = ""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.path == "/overview"
        self.asked += 1
        self.encoding = request.headers["accept-encoding"]
        return self.answer or await self._parts(request)

    async def _parts(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(self.padding // 100_000):
            await response.write(b" " * 100_000)
        await response.write(json.dumps(page([requests(self.sent)])).encode())
        await response.write_eof()
        return response


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
            await poller.poll(sent)
            (totals,) = poller.readings[address].edges.values()
            assert totals.requests == sent
        await server.close()
        await poller.poll(5.0)
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
        await poller.poll(0.0)
        assert why in poller.errors[address]
        assert poller.readings == {}


async def test_a_page_that_comes_in_parts_is_read_to_its_end(admin: tuple[FakeAdmin, str, RawTestServer]) -> None:
    fake, address, _ = admin
    fake.padding = 300_000
    async with ClientSession() as session:
        poller = Poller(session, [address])
        await poller.poll(0.0)
        assert poller.errors == {}
        assert poller.readings[address].name == "productpage-v1"


async def test_a_page_that_is_too_long_is_refused(
    admin: tuple[FakeAdmin, str, RawTestServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, address, _ = admin
    fake.padding = 300_000
    monkeypatch.setattr("pyproxy.console.poller.MAX_ANSWER", 200_000)
    async with ClientSession() as session:
        poller = Poller(session, [address])
        await poller.poll(0.0)
        assert poller.errors == {address: "answers with more than 200000 bytes"}


async def test_a_proxy_rests_the_longer_the_more_it_has_to_tell(admin: tuple[FakeAdmin, str, RawTestServer]) -> None:
    fake, address, _ = admin
    fake.padding = 500_000  # two millionths of a second for each byte
    async with ClientSession() as session:
        poller = Poller(session, [address])
        asked = []
        for now in (0.0, 0.5, 0.9, 1.1, 1.6):
            await poller.poll(now)
            asked.append(fake.asked)
        assert asked == [1, 1, 1, 2, 2]
        fake.padding = 0
        for now in (2.5, 3.0, 3.5):
            await poller.poll(now)
        assert fake.asked == 5


async def test_a_page_is_asked_for_uncompressed(admin: tuple[FakeAdmin, str, RawTestServer]) -> None:
    fake, address, _ = admin
    async with ClientSession() as session:
        await Poller(session, [address]).poll(0.0)
        assert fake.encoding == "identity"


async def test_a_page_that_cannot_be_had_says_why() -> None:
    async with ClientSession() as session:
        with pytest.raises(NoAnswer, match="nobody listens"):
            await Poller(session, []).page("127.0.0.1:1", "/overview")
