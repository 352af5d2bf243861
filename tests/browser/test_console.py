"""The console as a person sees it: a real browser before a real proxy, with an ejection, overflows and faults.

With PYPROXY_TEST_PICTURES=FOLDER every view is left there as PNG, to be looked at.
"""

from __future__ import annotations

import asyncio
import os
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from tests.browser.scene import Scene

pytestmark = pytest.mark.integration
VIEWS = ("mesh", "hosts", "breakers", "latency", "events", "documents", "explain")
DOTS = (
    "document.querySelector('.graph canvas').getContext('2d').getImageData(0, 0, 2000, 900).data.some((value) => value)"
)
SILHOUETTES = """import("/static/dots.js").then(({ Dots }) => ["ok", "client", "server", "mesh"].map((kind) => {
  const canvas = document.createElement("canvas");
  const dots = Object.assign(new Dots(canvas), { size: 8, rim: "transparent", colours: { [kind]: "black" } });
  dots.draw(kind, 20, 20);
  const { data } = dots.context.getImageData(0, 0, 40, 40);
  return Array.from({ length: 1600 }, (_, pixel) => (data[4 * pixel + 3] > 127 ? "#" : ".")).join("");
}))"""
"""What the dots of the four outcomes look like to somebody who sees no colours."""
COUNTDOWN = "document.querySelector('tr.ejected .countdown')?.innerText ?? ''"


async def seconds_left(scene: Scene) -> float:
    return float((await scene.browser.until(COUNTDOWN)).split()[0])


async def test_who_calls_whom_and_how_fast(scene: Scene) -> None:
    browser = scene.browser
    await scene.open()
    await browser.until("document.querySelectorAll('.node').length === 3")
    await browser.until(
        "[...document.querySelectorAll('.label .rps')].every((each) => parseFloat(each.textContent) > 5)"
    )
    told = "[...document.querySelectorAll('.label')].map((each) => each.getAttribute('aria-label'))"
    await browser.until(f"{told}.every((each) => each.includes('0 % errors, p95 '))")
    labels = await browser.evaluate(told)
    assert sorted(label.split(":")[0] for label in labels) == ["web-v1 to reviews-v1", "web-v1 to reviews-v2"]
    assert "⚖ 50%" in await browser.text(".labels")
    await browser.until(DOTS)
    await browser.click(".label")
    assert "p99" in await browser.text(".selection")


async def test_outcomes_differ_in_shape_and_not_in_colour_alone(scene: Scene) -> None:
    await scene.open()
    silhouettes = await scene.browser.evaluate(SILHOUETTES)
    assert all(each.count("#") > 60 for each in silhouettes)
    apart = [sum(a != b for a, b in zip(*pair, strict=True)) for pair in combinations(silhouettes, 2)]
    assert min(apart) > 60, "pixels, of some 200 to 300"
    legend = await scene.browser.text(".legend")
    assert all(shape in legend for shape in "●▲■✕")


async def test_an_ejection_is_counted_down_and_its_end_is_told(scene: Scene) -> None:
    browser = scene.browser
    await scene.open()
    await browser.until("document.querySelectorAll('.node').length === 3")
    scene.mesh.second.status = 503
    await browser.until("document.querySelector('.node.trouble')?.textContent.includes('ejected')")
    assert "reviews-v2 ejected by web-v1" in (await browser.text(".troubles")).replace("✕ ", "")
    await browser.until("document.querySelector('.edge.bad') !== null")
    assert await browser.text("#tab-hosts") == "Hosts1"
    await browser.click("#tab-hosts")
    clock = asyncio.get_running_loop().time
    before, began = await seconds_left(scene), clock()
    assert 0 < before <= 12
    await asyncio.sleep(1.0)
    assert abs(before - await seconds_left(scene) - (clock() - began)) < 0.6
    scene.mesh.second.status = 200
    await browser.until("document.querySelector('tr.ejected') === null")
    assert (await browser.text("table.hosts")).count("in use") == 2
    await browser.click("#tab-events")
    text = await browser.text(".events ol")
    assert "web-v1 ejected reviews-v2" in text and "is back for web-v1" in text


async def test_a_full_breaker_and_its_overflows(scene: Scene) -> None:
    browser = scene.browser
    await scene.open("breakers")
    scene.mesh.first.delay = 0.5
    card = await browser.until("document.querySelector('.card.over')?.innerText")
    assert "per client proxy: web-v1" in card
    assert "/ 2" in card and "overflowed" in card
    await browser.click("#tab-mesh")
    await browser.until("document.querySelector('.troubles').innerText.includes('UO')")
    assert "overflow" in await browser.text(".node.trouble")


async def test_a_slider_writes_yaml_that_is_shown_then_applied_then_undone(scene: Scene) -> None:
    browser, file = scene.browser, scene.mesh.file
    before = file.read_text()
    await scene.open("documents")
    await browser.fill(".weights .slider:first-child input", "90")
    diff = await browser.until("document.querySelector('.diff')?.innerText")
    assert "-          weight: 50" in diff and "+          weight: 90" in diff and "+          weight: 10" in diff
    assert file.read_text() == before
    await browser.until("!document.querySelector('.doing .primary').disabled")
    await browser.click(".doing .primary")
    await browser.until("document.querySelector('.verdict').innerText.includes('Written')")
    routes = next(yaml.safe_load_all(file.read_text()))["spec"]["http"][0]["route"]
    assert [route["weight"] for route in routes] == [90, 10]
    assert file.read_text().startswith("# The web, and the reviews")
    await browser.click("#tab-mesh")
    await browser.until("document.querySelector('.labels').textContent.includes('⚖ 90%')")
    await browser.until("document.querySelector('.brief').innerText.includes('taken up')")
    await browser.click("#tab-documents")
    await browser.click(".doing button:nth-child(3)")
    await browser.until("document.querySelector('.verdict').innerText.includes('Written')")
    assert file.read_text() == before


async def test_a_fault_by_slider_is_seen_in_the_graph(scene: Scene) -> None:
    browser = scene.browser
    await scene.open("documents")
    await browser.fill(".faults .slider:first-child input", "50")
    await browser.until("document.querySelector('.diff')?.innerText.includes('httpStatus: 503')")
    await browser.until("!document.querySelector('.doing .primary').disabled")
    await browser.click(".doing .primary")
    await browser.click("#tab-mesh")
    await browser.until("document.querySelector('.node.nobody') !== null")
    await browser.until("document.querySelector('.troubles').innerText.includes('FI')")
    async with asyncio.timeout(20):
        while " FI " not in scene.mesh.log.read_text():  # logs are written a little later
            await asyncio.sleep(0.1)
    await browser.click("#tab-explain")
    await browser.until("document.querySelector('.recent .warn')?.innerText.includes('503')")
    await browser.click(".recent tbody tr:first-child button")
    assert "FI: an abort was injected" in await browser.until("document.querySelector('.hop.bad')?.innerText")
    await browser.click(".hop.bad button")
    way = await browser.until("document.querySelector('.way')?.innerText")
    assert "everybody" in way and "50 %" in way


async def test_what_is_typed_is_checked_and_what_is_wrong_cannot_be_applied(scene: Scene) -> None:
    browser, file = scene.browser, scene.mesh.file
    before = file.read_text()
    await scene.open("documents")
    await browser.fill(".code textarea", before.replace("weight: 50", "weight: many", 1))
    problem = await browser.until("document.querySelector('.problems .error')?.innerText")
    assert "spec.http[0].route[0].weight" in problem
    assert await browser.evaluate("document.querySelector('.doing .primary').disabled")
    assert await browser.text(".gutter .error") == str(before[: before.index("weight: 50")].count("\n") + 1)
    await browser.click(".doing button:nth-child(2)")
    await browser.until("document.querySelector('.problems .error') === null")
    assert file.read_text() == before


async def test_what_analyze_finds_is_shown_at_its_line_and_may_be_applied(scene: Scene) -> None:
    browser, file = scene.browser, scene.mesh.file
    before = file.read_text()
    wanted = "{host: reviews, subset: v2}"
    await scene.open("documents")
    await browser.until("document.querySelector('.doing .state')?.innerText === '● valid'")
    await browser.fill(".code textarea", before.replace(wanted, "{host: reviews, subset: v9}", 1))
    finding = await browser.until("document.querySelector('.findings .warning')?.innerText")
    line = before[: before.index(wanted)].count("\n") + 1
    assert f"line {line}" in finding and "IST0101" in finding
    assert "spec.http[0].route[1].destination.subset" in finding and "v9" in finding
    assert "With the other documents" in await browser.text(".verdict")
    assert await browser.text(".gutter .warning") == str(line)
    assert "▲ valid, with 1 finding" in await browser.text(".doing .state")
    assert not await browser.evaluate("document.querySelector('.doing .primary').disabled")
    await browser.click(".findings button")
    chosen = "document.querySelector('textarea').value.slice(document.querySelector('textarea').selectionStart, "
    assert "v9" in await browser.evaluate(chosen + "document.querySelector('textarea').selectionEnd)")
    await browser.click(".doing button:nth-child(2)")
    await browser.until("document.querySelector('.doing .state').innerText === '● valid'")
    assert await browser.evaluate("document.querySelector('.findings') === null")


async def test_what_a_change_does_to_another_file_is_shown(scene: Scene) -> None:
    browser, file = scene.browser, scene.mesh.file
    documents = file.read_text().split("---\n")
    other = file.with_name("subsets.yaml")
    other.write_text(documents[1])
    file.write_text("---\n".join([documents[0], *documents[2:]]))
    await scene.open("documents")
    await browser.until("document.querySelectorAll('.documents select option').length === 2")
    await browser.fill(".documents select", "subsets.yaml")
    await browser.until("document.querySelector('.code textarea').value.startsWith('apiVersion')")
    await browser.fill(".code textarea", documents[1].replace("name: v2", "name: v3"))
    finding = await browser.until("document.querySelector('.findings')?.innerText")
    assert f"{file.name}, line " in finding and "IST0101" in finding


async def test_without_the_token_one_may_look_and_not_change(scene: Scene) -> None:
    browser = scene.browser
    await scene.open("documents", token=False)
    await browser.fill(".weights .slider:first-child input", "90")
    await browser.until("document.querySelector('.diff') !== null")
    assert await browser.evaluate("document.querySelector('.doing .primary').disabled")
    await browser.fill(".token input", "wrong")
    await browser.click(".token button")
    assert "that is not it" in await browser.until("document.querySelector('.token .warn')?.innerText")
    await browser.fill(".token input", scene.server.url)
    await browser.click(".token button")
    await browser.until("document.querySelector('.token') === null")
    assert scene.server.access.token not in await browser.evaluate("location.href")


async def test_a_change_that_is_refused_is_said_on_every_view(scene: Scene) -> None:
    browser, file = scene.browser, scene.mesh.file
    await scene.open("latency")
    file.write_text(file.read_text().replace("weight: 50", "weight: many", 1))
    notice = await browser.until("document.querySelector('.notices .bad')?.innerText")
    assert "the last good ones serve on" in notice and "weight" in notice


async def test_who_does_not_answer_is_said(scene: Scene) -> None:
    browser = scene.browser
    await scene.open()
    await browser.until("document.querySelectorAll('.node').length === 3")
    scene.console.poller.addresses = ("127.0.0.1:1", *scene.console.poller.addresses)
    notice = await browser.until("document.querySelector('.notices .bad')?.innerText")
    assert "127.0.0.1:1: nobody listens there" in notice
    assert "1 of 2" in await browser.text(".sum")
    await scene.server.stop()
    await browser.until("document.querySelector('.notices').innerText.includes('The console does not answer')")
    browser.console.clear()  # the browser itself says that its stream broke


async def test_the_keyboard_reaches_everything(scene: Scene) -> None:
    browser = scene.browser
    await scene.open()
    for number, view in enumerate(VIEWS, start=1):
        await browser.press(str(number))
        await browser.until(f"document.querySelector('main').className === '{view}'")
    await browser.press("1", "/")
    assert await browser.evaluate("document.activeElement.type") == "search"
    await browser.press("v", "2", "Escape")
    await browser.until("document.querySelectorAll('.label.dim').length === 1")
    await browser.press("?")
    assert "projector" in await browser.until("document.querySelector('.help')?.innerText")
    await browser.press("p", "d", " ")
    await browser.until("document.documentElement.dataset.projector === 'on'")
    await browser.until("document.querySelector('.notices').innerText.includes('Paused')")


SIZES = [
    ("light", 1280, 800, "theme=light"),
    ("dark", 1280, 800, "theme=dark"),
    ("phone", 390, 844, "theme=light"),
    ("projector", 1920, 1080, "theme=light&projector=on"),
]


@pytest.mark.parametrize(("name", "width", "height", "query"), SIZES)
async def test_every_view_fits_every_screen(scene: Scene, name: str, width: int, height: int, query: str) -> None:
    browser, folder = scene.browser, os.environ.get("PYPROXY_TEST_PICTURES")
    await browser.size(width, height)
    await scene.open(query=query)
    scene.mesh.second.status = 503
    await browser.until("document.querySelector('.node.trouble') !== null")
    for view in VIEWS:
        await browser.click(f"#tab-{view}")
        await browser.until(f"document.querySelector('main').className === '{view}'")
        await asyncio.sleep(0.7)
        if folder:
            await browser.picture(Path(folder, f"{name}-{view}.png"))
        edge = "document.querySelector('[role=tab][aria-selected=true]').getBoundingClientRect()"
        assert 0 <= await browser.evaluate(edge + ".left") < await browser.evaluate(edge + ".right") <= width, view
        wide = "document.querySelector('main').scrollWidth - document.querySelector('main').clientWidth"
        assert await browser.evaluate(wide) <= 0, f"{view} is wider than the screen"
        assert await browser.evaluate("document.documentElement.scrollWidth") <= width


async def test_who_wants_less_motion_sees_no_dots(scene: Scene) -> None:
    browser = scene.browser
    await browser.media({"prefers-reduced-motion": "reduce", "prefers-color-scheme": "dark"})
    await scene.open()
    await browser.until("document.querySelectorAll('.node').length === 3")
    assert await browser.evaluate("document.documentElement.dataset.theme") == "dark"
    assert not await browser.evaluate("document.querySelector('.legend input').checked")
    await asyncio.sleep(0.5)
    assert not await browser.evaluate(DOTS)
