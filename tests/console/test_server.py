"""The console's port over real sockets: pages, the stream, and who may change what."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from pyproxy.console.console import Console, ConsoleSettings
from pyproxy.console.documents import digest
from pyproxy.console.history import Sample
from pyproxy.console.server import Server
from pyproxy.core.errors import CommandError
from tests.console.test_documents import VALID

pytestmark = pytest.mark.integration


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Server, ClientSession, Path]]:
    file = tmp_path / "reviews.yaml"
    file.write_text(VALID)
    settings = ConsoleSettings(["127.0.0.1:1"], [tmp_path], [tmp_path / "logs"], interval=0.25)
    async with Console(settings) as console:
        server = Server(console, "127.0.0.1", 0)
        await server.start()
        async with ClientSession(f"http://{server.bound}") as session:
            yield server, session, file
        await server.stop()


async def post(session: ClientSession, path: str, body: Any, token: str = "") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with session.post(path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def test_the_page_and_all_that_it_needs_are_here(served: tuple[Server, ClientSession, Path]) -> None:
    _, session, _ = served
    async with session.get("/") as response:
        text = await response.text()
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    needed = [part.split('"')[0] for mark in ('src="', 'href="') for part in text.split(mark)[1:]]
    assert len(needed) >= 6
    for path in (
        *needed,
        "/static/graph.js",
        "/static/vendor/preact-htm.module.js",
        "/static/vendor/uPlot-LICENSE.txt",
    ):
        async with session.get(path) as response:
            assert response.status == 200, path
            assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static/vendor", "/nothing", "/static/"]
)
async def test_nothing_else_is(served: tuple[Server, ClientSession, Path], path: str) -> None:
    _, session, _ = served
    from yarl import URL

    async with session.get(URL(path, encoded=True)) as response:
        assert response.status == 404


async def test_the_stream_begins_with_everything_and_goes_on(served: tuple[Server, ClientSession, Path]) -> None:
    _, session, _ = served
    async with session.get("/api/stream") as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert await response.content.readline() == b"event: full\n"
        first = json.loads((await response.content.readline()).removeprefix(b"data: "))
        assert first["about"]["editable"] is True
        assert first["state"]["proxies"]["127.0.0.1:1"]["error"] == "nobody listens there"
        await response.content.readline()
        assert await response.content.readline() == b"event: delta\n"


async def test_a_program_reads_state_and_history(served: tuple[Server, ClientSession, Path]) -> None:
    server, session, _ = served
    console = server.console
    async with session.get("/api/state") as response:
        assert (await response.json())["mesh"]["now"]["silent"] == 1
    async with session.get("/api/history") as response:
        assert (await response.json())["kept"] == 900
    for number in range(450):  # a full history of a busy mesh is some megabytes
        edges = {f"{n}>{n + 1}": Sample(1000, 1, list(range(20))) for n in range(40)}
        console.board.history.add(float(number), 2.0, edges)
    async with session.get("/api/history") as response:
        assert len((await response.json())["steps"]) == 450


async def test_a_text_is_checked_and_its_difference_shown(served: tuple[Server, ClientSession, Path]) -> None:
    _, session, file = served
    status, verdict = await post(
        session, "/api/check", {"file": "reviews.yaml", "text": VALID.replace("50  #", "x  #")}
    )
    assert status == 200
    assert verdict["problems"][0]["path"] == "spec.http[1].route[0].weight"
    assert "-          weight: 50  # half" in verdict["diff"]
    assert file.read_text() == VALID


async def test_what_analyze_finds_comes_along(served: tuple[Server, ClientSession, Path]) -> None:
    _, session, _ = served
    _, verdict = await post(session, "/api/check", {"file": "reviews.yaml", "text": VALID})
    assert verdict["problems"] == []
    found = verdict["findings"][0]
    assert (found["file"], found["code"], found["severity"]) == ("reviews.yaml", "IST0101", "error")
    assert found["line"] > 0 and "reviews" in found["message"]


async def test_a_slider_proposes_yaml_and_writes_none(served: tuple[Server, ClientSession, Path]) -> None:
    _, session, file = served
    place = {"file": "reviews.yaml", "text": VALID, "document": 0, "route": 1}
    status, verdict = await post(session, "/api/propose", {**place, "weights": [80, 20]})
    assert (status, verdict["problems"]) == (200, [])
    assert "+          weight: 80  # half" in verdict["diff"]
    faults = {"abort": {"percent": 10, "status": 500}, "delay": None}
    _, verdict = await post(session, "/api/propose", {**place, "faults": faults})
    assert verdict["routes"][1]["abort"] == {"percent": 10.0, "status": 500.0}
    for wrong in ({"weights": [1]}, {"weights": "x"}, {"faults": 7}, {"route": "a"}, {"route": 9, "weights": [1, 2]}):
        assert (await post(session, "/api/propose", {**place, **wrong}))[0] == 400
    assert file.read_text() == VALID


async def test_only_who_has_the_token_may_apply(served: tuple[Server, ClientSession, Path]) -> None:
    server, session, file = served
    text = VALID.replace("50  #", "40  #")
    body = {"file": "reviews.yaml", "text": text, "base": digest(VALID)}
    assert (await post(session, "/api/apply", body))[0] == 401
    assert (await post(session, "/api/apply", body, "wrong"))[0] == 401
    assert file.read_text() == VALID
    status, answer = await post(session, "/api/apply", body, server.access.token)
    assert (status, answer["before"], answer["digest"]) == (200, VALID, digest(text))
    assert file.read_text() == text
    assert (await post(session, "/api/apply", body, server.access.token))[0] == 409  # another by now
    assert (await post(session, "/api/apply", {**body, "file": "../x"}, server.access.token))[0] == 400
    bad = {**body, "text": "kind: [", "base": digest(text)}
    assert (await post(session, "/api/apply", bad, server.access.token))[0] == 400
    assert file.read_text() == text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example.com"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example.com"},
    ],
)
async def test_another_sites_page_may_not_apply_even_with_the_token(
    served: tuple[Server, ClientSession, Path], headers: dict[str, str]
) -> None:
    server, session, file = served
    body = {"file": "reviews.yaml", "text": VALID + "# x\n", "base": digest(VALID)}
    token = {"Authorization": f"Bearer {server.access.token}"}
    async with session.post("/api/apply", json=body, headers=token | headers) as response:
        assert response.status == 403
    async with session.get("/api/documents", headers=headers) as response:
        assert response.status == (200 if "Origin" in headers else 403)  # an answer without CORS headers stays unread
        assert "Access-Control-Allow-Origin" not in response.headers
    assert file.read_text() == VALID


async def test_a_form_of_another_site_is_no_json(served: tuple[Server, ClientSession, Path]) -> None:
    _, session, _ = served
    async with session.post(
        "/api/check", data=b'{"file": "reviews.yaml"}', headers={"Content-Type": "text/plain"}
    ) as it:
        assert it.status == 403
    for body in (b"[]", b"{", b'{"file": 7}'):
        async with session.post("/api/check", data=body, headers={"Content-Type": "application/json"}) as it:
            assert it.status == 400


async def test_a_request_that_no_log_has_is_not_found(served: tuple[Server, ClientSession, Path]) -> None:
    _, session, _ = served
    async with session.get("/api/request", params={"id": "0123456789"}) as response:
        assert (await response.json())["hops"] == []
    async with session.get("/api/request") as response:
        assert response.status == 400


async def test_a_token_can_be_tried(served: tuple[Server, ClientSession, Path]) -> None:
    server, session, _ = served
    for token, valid in ((server.access.token, True), ("x", False)):
        async with session.get("/api/token", headers={"Authorization": f"Bearer {token}"}) as response:
            assert await response.json() == {"valid": valid}
    assert server.url == f"http://{server.bound}/#token={server.access.token}"


async def test_a_port_that_is_taken_names_the_flag(served: tuple[Server, ClientSession, Path]) -> None:
    server, _, _ = served
    async with Console(ConsoleSettings([], interval=3600)) as console:
        with pytest.raises(CommandError, match="--port"):
            await Server(console, "127.0.0.1", int(server.bound.partition(":")[2])).start()
