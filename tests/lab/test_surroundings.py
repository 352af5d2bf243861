import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import RawTestServer

from pyproxy.core.errors import CommandError
from pyproxy.lab.layout import Workload, choose_layout
from pyproxy.lab.load import Load
from pyproxy.lab.surroundings import Surroundings, refused

METRICS = 'pyproxy_config_reloads_total{result="accepted"} 2\npyproxy_config_last_reload_successful 1.0\n'


class Everybody:
    """Every proxy and every program at one address."""

    def __init__(self) -> None:
        self.metrics = METRICS
        self.asked: list[tuple[str, str, str]] = []
        self.knobs_status = 200

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.asked.append((request.method, request.path, (await request.read()).decode()))
        if request.path == "/stats/prometheus":
            return web.Response(text=self.metrics)
        return web.Response(status=self.knobs_status, text="no such knob")


def make(folder: Path, session: ClientSession, address: str, workloads: tuple[Workload, ...]) -> Surroundings:
    (folder / "logs").mkdir()
    for name in ("gateway", *(workload.name for workload in workloads)):
        (folder / f"{name}.ready").write_text(json.dumps({"addresses": {"metrics": address, "admin": address}}))
        (folder / "logs" / f"{name}.log").write_text("first\n")
    return Surroundings(workloads, "http://127.0.0.1:81/productpage", folder, session)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[tuple[Surroundings, Everybody]]:
    fake = Everybody()
    server = RawTestServer(fake)
    await server.start_server()
    address = f"{server.host}:{server.port}"
    workload = Workload("reviews", "v2", "127.0.0.1", app_port=int(server.port or 0))
    async with ClientSession() as session:
        yield make(tmp_path, session, address, (workload,)), fake
    await server.close()


@pytest.fixture
async def layouts(tmp_path: Path) -> AsyncIterator[Surroundings]:
    async with ClientSession() as session:
        yield make(tmp_path, session, "127.0.0.1:1", choose_layout("none"))


@pytest.mark.integration
async def test_numbers_come_from_every_proxy(lab: tuple[Surroundings, Everybody]) -> None:
    assert await lab[0].reloads() == {"gateway": 2.0, "reviews-v2": 2.0}


@pytest.mark.integration
async def test_a_proxy_that_does_not_answer_has_no_numbers(layouts: Surroundings) -> None:
    assert (await layouts.read()).values == {}


@pytest.mark.integration
async def test_a_refusal_is_told_in_the_proxys_own_words(lab: tuple[Surroundings, Everybody], tmp_path: Path) -> None:
    surroundings, fake = lab
    assert await surroundings.refusals() == []
    fake.metrics = METRICS.replace("successful 1.0", "successful 0.0")
    (tmp_path / "logs" / "gateway.log").write_text(
        "2026-01-31T12:00:02.000Z  error   pyproxy.config  reviews.yaml:9:2 no such field\n"
        "2026-01-31T12:00:02.000Z  error   pyproxy.config  kept the last good configuration: 1 error(s)\n"
    )
    assert await surroundings.refusals() == ["reviews.yaml:9:2 no such field"]


async def test_logs_are_read_from_where_they_were(layouts: Surroundings, tmp_path: Path) -> None:
    sizes = layouts.log_sizes()
    with (tmp_path / "logs" / "details-v1.log").open("a") as log:
        log.write("second\n")
    since = layouts.logged_since(sizes)
    assert (since["details-v1"], since["gateway"]) == ("second\n", "")


@pytest.mark.integration
async def test_knobs_are_turned_where_asked_and_back_elsewhere(lab: tuple[Surroundings, Everybody]) -> None:
    surroundings, fake = lab
    await surroundings.turn({}, 1)
    await surroundings.turn({"reviews-v2": {"delay_ms": 5}}, 7)
    assert [method for method, _, _ in fake.asked] == ["DELETE", "DELETE", "PUT"]
    assert json.loads(fake.asked[-1][2]) == {"seed": 7, "delay_ms": 5}
    fake.knobs_status = 400
    with pytest.raises(CommandError, match="reviews-v2: no such knob"):
        await surroundings.turn({"reviews-v2": {"delai": 5}}, 7)


@pytest.mark.integration
async def test_counters_are_reset_by_post(lab: tuple[Surroundings, Everybody]) -> None:
    await lab[0].reset_counters()
    assert {(method, path) for method, path, _ in lab[1].asked} == {("POST", "/reset_counters")}


async def test_a_load_goes_to_the_page_a_sidecar_or_a_port(layouts: Surroundings) -> None:
    assert layouts.aim(Load("page")).url == "http://127.0.0.1:81/productpage"
    aim = layouts.aim(Load("ratings", via="reviews-v2"))
    assert (aim.url, aim.headers) == ("http://127.0.0.1:20032/ratings/0", (("Host", "ratings"),))
    assert layouts.aim(Load("plain:details-v1")).url == "http://127.0.0.1:20011/details/0"
    assert layouts.aim(Load("ratings", path="/admin")).url.endswith("/admin")


async def test_a_command_gets_this_labs_addresses(layouts: Surroundings, tmp_path: Path) -> None:
    assert layouts.here("curl 127.0.1.1:15000/clusters") == "curl 127.0.0.1:20005/clusters"
    assert layouts.here("curl http://127.0.0.1:8080/productpage") == "curl http://127.0.0.1:81/productpage"
    assert layouts.here("tail ~/bookshop/.lab/logs/x.log") == f"tail {tmp_path}/logs/x.log"


@pytest.mark.parametrize("log", ["", "2026-01-31T12:00:00.000Z  error   pyproxy.config  of another kind"])
def test_a_log_that_counts_no_errors_has_none(log: str) -> None:
    assert refused(log) == []
