import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from pyproxy.lab.load import Aim, Generator, Kind, Load, Met, _version


class Service:
    """Answers as reviews does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.at_once = self.most = 0
        self.delay = 0.0

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.asked.append((request.headers.get("host", ""), request.headers.get("end-user", "")))
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(self.delay)
        self.at_once -= 1
        return web.json_response({"service": "reviews", "version": "v2"})


@pytest.fixture
async def service() -> AsyncIterator[tuple[Service, str]]:
    fake = Service()
    server = RawTestServer(fake)
    await server.start_server()
    yield fake, str(server.make_url("/reviews/0"))
    await server.close()


async def run(loads: tuple[Load, ...], url: str, seconds: float, seed: str = "1") -> Met:
    generator = Generator(loads, lambda load: Aim(url, (("Host", load.to),)), seed)
    task = asyncio.ensure_future(generator.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return generator.met


@pytest.mark.integration
async def test_a_rate_is_kept_and_kinds_are_drawn_with_their_shares(service: tuple[Service, str]) -> None:
    fake, url = service
    kinds = (Kind("jason", (("end-user", "jason"),), 0.5), Kind("other", (), 0.5))
    began = time.monotonic()
    met = await run((Load("reviews", 100, kinds=kinds),), url, 0.6)
    assert 40 <= met.sent <= (time.monotonic() - began) * 100 + 5
    assert {host for host, _ in fake.asked} == {"reviews"}
    users = Counter(user for _, user in fake.asked)
    assert 0.25 < users["jason"] / users.total() < 0.75
    assert set(met.versions) == {("jason", "v2"), ("other", "v2")}


@pytest.mark.integration
async def test_the_same_seed_gives_the_same_kinds_in_the_same_order(service: tuple[Service, str]) -> None:
    fake, url = service
    kinds = tuple(Kind(str(n), (("end-user", str(n)),)) for n in range(5))
    orders = []
    for seed in ("1", "1", "2"):
        fake.asked.clear()
        await run((Load("reviews", 100, kinds=kinds),), url, 0.3, seed)
        orders.append([user for _, user in fake.asked][:15])
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.integration
async def test_clients_wait_for_their_answers(service: tuple[Service, str]) -> None:
    fake, url = service
    fake.delay = 0.02
    met = await run((Load("reviews", clients=3),), url, 0.4)
    assert fake.most == 3
    assert met.answered > 15


@pytest.mark.integration
async def test_a_spike_comes_first(service: tuple[Service, str]) -> None:
    _, url = service
    began = time.monotonic()
    met = await run((Load("reviews", 10, spike=(0.3, 200)),), url, 0.8)
    assert 45 <= met.sent <= 65 + (time.monotonic() - began) * 10


@pytest.mark.integration
async def test_who_gives_up_or_finds_nobody_is_counted_without_a_status(service: tuple[Service, str]) -> None:
    fake, url = service
    fake.delay = 5
    met = await run((Load("reviews", 50, timeout=0.05),), url, 0.4)
    assert set(met.statuses) == {0} and met.answered > 5
    met = await run((Load("reviews", 50),), "http://127.0.0.1:1/", 0.2)
    assert set(met.statuses) == {0}


def test_shares_are_of_what_was_answered() -> None:
    met = Met()
    for label, status, version in (("a", 200, "v1"), ("a", 503, ""), ("b", 200, "v2"), ("b", 200, "v1")):
        met.record(label, status, version, 10.0)
    assert (met.share(200), met.share(503), met.share(200, 503)) == (0.75, 0.25, 1.0)
    assert (met.share(200, kind="a"), met.share(200, kind="b")) == (0.5, 1.0)
    assert met.version_share("v1") == pytest.approx(2 / 3)
    assert met.version_share("v1", "b") == 0.5
    with pytest.raises(ZeroDivisionError):
        met.share(200, kind="nobody")
    with pytest.raises(ZeroDivisionError):
        Met().version_share("v1")


def test_a_percentile_is_the_nearest_rank() -> None:
    met = Met()
    for milliseconds in range(1, 101):
        met.record("a", 200, "", float(milliseconds))
    assert met.percentile_ms(0.95) == 96
    assert Met().percentile_ms(0.95) == 0


def test_a_page_names_the_version_of_its_reviews() -> None:
    assert _version(json.dumps({"details": {}, "reviews": {"version": "v3"}, "version": "v1"}).encode()) == "v3"
    assert _version(b'{"version": "v2"}') == "v2"
    assert [_version(body) for body in (b"", b"[]", b"{}", b"upstream request timeout")] == [""] * 4
