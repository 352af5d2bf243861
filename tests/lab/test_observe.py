from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import RawTestServer

from pyproxy.lab.metrics import Edge, Totals
from pyproxy.lab.observe import Observer

pytestmark = pytest.mark.integration


class FakeMetrics:
    requests = 0
    reload_ok = 1

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        assert request.path == "/stats/prometheus"
        return web.Response(
            text=f'istio_requests_total{{reporter="source",source_workload="w",destination_service_name="s",response_code="200"}}'
            f" {self.requests}\npyproxy_config_last_reload_successful {self.reload_ok}\n"
        )


@pytest.fixture
async def fake() -> AsyncIterator[tuple[FakeMetrics, RawTestServer]]:
    metrics = FakeMetrics()
    server = RawTestServer(metrics)
    await server.start_server()
    yield metrics, server
    await server.close()


async def test_each_interval_is_the_difference_to_the_one_before(fake: tuple[FakeMetrics, RawTestServer]) -> None:
    metrics, server = fake
    async with ClientSession() as session:
        observer = Observer(session, {"gateway": f"{server.host}:{server.port}"})
        edge = Edge("w", "s", "unknown", "unknown")
        for count, expected in [(5, 5), (7, 2), (7, 0)]:
            metrics.requests = count
            assert await observer.interval() == {edge: Totals(expected)}
        metrics.reload_ok = 0
        assert observer.refusing() == []
        await observer.interval()
        assert observer.refusing() == ["gateway"]


async def test_a_proxy_that_does_not_answer_sent_nothing_yet(fake: tuple[FakeMetrics, RawTestServer]) -> None:
    metrics, server = fake
    async with ClientSession() as session:
        observer = Observer(session, {"gateway": f"{server.host}:{server.port}"})
        metrics.requests = 5
        await observer.interval()
        await server.close()
        (totals,) = (await observer.interval()).values()
        assert totals.requests == 0
