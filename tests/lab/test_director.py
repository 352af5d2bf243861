import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from pyproxy.core.errors import CommandError
from pyproxy.lab import director as module
from pyproxy.lab.director import Director
from pyproxy.lab.load import Aim, Load
from pyproxy.lab.samples import Samples
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.stage import shipped

LOAD = Load("reviews", 100)
ANSWERED = Check("answered", lambda m: m.met.share(200), 0.9, 1, "turn the knob back")
LESSONS = {
    name: Scenario(
        name,
        f"Lesson {name}",
        "teaches",
        "what?",
        "that is why",
        (
            Step("one", (ANSWERED,), {"reviews.yaml": "# one\n"}, {"reviews-v1": {"delay_ms": 1}}, (LOAD,), 0.2),
            Step("two", (ANSWERED,), {"reviews.yaml": "# two\n"}, {}, (LOAD,), 0.2),
        ),
        secret=name == "secret",
    )
    for name in ("first", "second", "secret")
}


class FakeLab:
    """Takes up documents at once, and remembers what was turned."""

    def __init__(self, documents: Path, url: str) -> None:
        self.documents, self.url = documents, url
        self.knobs: list[Mapping[str, Any]] = []
        self.errors: list[str] = []
        self.counters_reset = 0
        self._reloads = 0.0

    async def read(self) -> Samples:
        return Samples()

    async def reloads(self) -> dict[str, float]:
        self._reloads += 1
        return {"gateway": self._reloads}

    async def refusals(self) -> list[str]:
        return self.errors

    def log_sizes(self) -> dict[str, int]:
        return {}

    def logged_since(self, sizes: Mapping[str, int]) -> dict[str, str]:
        return {}

    def here(self, command: str) -> str:
        return command

    def aim(self, load: Load) -> Aim:
        return Aim(self.url)

    async def turn(self, knobs: Mapping[str, Any], seed: int) -> None:
        self.knobs.append(knobs)

    async def reset_counters(self) -> None:
        self.counters_reset += 1


class Service:
    status = 200

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        return web.Response(status=self.status)


def find(name: str) -> Scenario:
    if name not in LESSONS:
        raise CommandError(f"there is no scenario {name}")
    return LESSONS[name]


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Director, FakeLab, Service]]:
    monkeypatch.setattr(module, "find_scenario", find)
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(module, "GLANCE_SECONDS", 0.02)
    (tmp_path / "reviews.yaml").write_text("# mine\n")
    service = Service()
    server = RawTestServer(service)
    await server.start_server()
    fake = FakeLab(tmp_path, str(server.make_url("/")))
    director = Director(fake, tmp_path, 1)  # type: ignore[arg-type]
    yield director, fake, service
    await director.close()
    await server.close()


pytestmark = pytest.mark.integration
Parts = tuple[Director, FakeLab, Service]


async def test_a_step_puts_everything_in_place_and_holds(lab: Parts) -> None:
    director, fake, _ = lab
    status = await director.start("first")
    assert (status["scenario"], status["step"], status["question"]) == ("first", 1, "what?")
    assert fake.knobs == [{"reviews-v1": {"delay_ms": 1}}]
    assert (fake.documents / "reviews.yaml").read_text() == "# one\n"
    assert (fake.documents / "ratings.yaml").read_text() == shipped()["ratings.yaml"]
    found = await director.check("first")
    assert (found["ok"], found["next"], found["because"]) == (True, "pyproxy lab scenario first 2", "")


async def test_the_last_step_tells_why_and_which_were_forgotten(lab: Parts) -> None:
    director, _, _ = lab
    await director.start("first", 2)
    found = await director.check()
    assert (found["ok"], found["because"], found["unchecked"]) == (True, "that is why", [1])
    await director.start("first", 1)
    await director.check()
    await director.start("first", 2)
    assert (await director.check())["unchecked"] == []


async def test_what_does_not_hold_says_what_to_do(lab: Parts) -> None:
    director, _, service = lab
    service.status = 500
    await director.start("first")
    found = await director.check()
    assert (found["ok"], found["next"]) == (False, "")
    assert found["findings"][0]["hint"] == "turn the knob back"


async def test_documents_with_an_error_are_not_judged(lab: Parts) -> None:
    director, fake, _ = lab
    await director.start("first")
    fake.errors = ["reviews.yaml:1:1 nonsense"]
    found = await director.check()
    assert (found["ok"], found["findings"], found["errors"]) == (False, [], ["reviews.yaml:1:1 nonsense"])


async def test_a_change_of_a_document_begins_the_measuring_anew(lab: Parts) -> None:
    director, fake, service = lab
    service.status = 500
    await director.start("first")
    assert not (await director.check())["ok"]
    service.status = 200
    (fake.documents / "reviews.yaml").write_text("# mended\n")
    await asyncio.sleep(0.2)
    found = await director.check()
    assert found["ok"], found
    assert director.run is not None
    assert "the documents were changed" in [event.what for event in director.run.events]


async def test_who_cannot_measure_says_so(lab: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    director, fake, _ = lab
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    never = asyncio.Event()

    async def read() -> Samples:
        await never.wait()
        return Samples()

    await director.start("first")
    fake.read = read  # type: ignore[method-assign]
    with pytest.raises(CommandError, match="nothing could be measured"):
        await director.check()
    never.set()


async def test_reset_puts_everything_back(lab: Parts) -> None:
    director, fake, _ = lab
    await director.start("first")
    answer = await director.reset()
    assert answer["ended"] == "first"
    assert {path.name: path.read_text() for path in fake.documents.glob("*.yaml")} == {"reviews.yaml": "# mine\n"}
    assert fake.knobs[-1] == {}
    assert fake.counters_reset == 1
    assert (await director.status())["scenario"] == ""
    assert (await director.reset())["ended"] == ""


async def test_the_visitors_make_room_while_a_scenario_runs(lab: Parts, tmp_path: Path) -> None:
    _, fake, _ = lab
    told: list[bool] = []
    director = Director(fake, tmp_path, 1, told.append)  # type: ignore[arg-type]
    await director.start("first")
    await director.start("first", 2)
    await director.reset()
    assert told == [True, True, False]


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (lambda d: d.check("first"), "no scenario is running. Start it first: pyproxy lab scenario first"),
        (lambda d: d.check("nothing"), "there is no scenario nothing"),
        (lambda d: d.start("first", 3), "first has the steps 1 to 2, not 3"),
    ],
)
async def test_a_mistake_is_answered_with_what_to_do(lab: Parts, order: Any, says: str) -> None:
    with pytest.raises(CommandError) as caught:
        await order(lab[0])
    assert str(caught.value) == says


async def test_two_at_once_are_refused(lab: Parts) -> None:
    director, _, _ = lab
    await director.start("first")
    with pytest.raises(CommandError, match=r"first is running\. End it first: pyproxy lab reset"):
        await director.start("second")
    with pytest.raises(CommandError, match=r"first is running, not second"):
        await director.check("second")
    assert (await director.status())["scenario"] == "first"


async def test_a_secret_is_not_told(lab: Parts) -> None:
    status = await lab[0].start("secret")
    assert (status["documents"], status["knobs"]) == ([], {})
