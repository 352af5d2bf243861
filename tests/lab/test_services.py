from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer, TestClient, TestServer

from pyproxy.lab.services import create_app

pytestmark = pytest.mark.integration


class FakeMesh:
    """An HTTP proxy that answers for every service; `answers` maps a host to (status, JSON)."""

    def __init__(self) -> None:
        self.seen: list[web.BaseRequest] = []
        self.answers: dict[str, tuple[int, Any]] = {}

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.seen.append(request)
        status, answer = self.answers[str(request.url.host)]
        return web.json_response(answer, status=status)

    def headers_to(self, host: str) -> dict[str, str]:
        (request,) = [request for request in self.seen if request.url.host == host]
        return {name.lower(): value for name, value in request.headers.items()}


@pytest.fixture
async def mesh(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeMesh]:
    fake = FakeMesh()
    server = RawTestServer(fake)
    await server.start_server()
    for name in ("no_proxy", "NO_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", str(server.make_url("/")))
    yield fake
    await server.close()


@asynccontextmanager
async def instance(name: str, version: str = "v1") -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async with TestClient(TestServer(create_app(name, version, "127.0.1.9"))) as client:
        yield client


@pytest.mark.parametrize(
    ("name", "path"), [("details", "/details/0"), ("ratings", "/ratings/0"), ("reviews", "/reviews/0")]
)
async def test_an_answer_names_service_version_host_and_counter(name: str, path: str) -> None:
    async with instance(name) as client:
        await client.get("/health")
        await client.get(path)
        answer = await (await client.get(path)).json()
    assert (answer["service"], answer["version"], answer["host"], answer["count"]) == (name, "v1", "127.0.1.9", 2)


@pytest.mark.parametrize(("version", "colour"), [("v2", "black"), ("v3", "red")])
async def test_later_reviews_have_stars(mesh: FakeMesh, version: str, colour: str) -> None:
    mesh.answers["ratings"] = (200, {"stars": [5, 4]})
    async with instance("reviews", version) as client:
        answer = await (await client.get("/reviews/0")).json()
    assert (answer["colour"], answer["ratings"]) == (colour, {"stars": [5, 4]})


async def test_trace_and_user_headers_are_passed_on_and_nothing_else(mesh: FakeMesh) -> None:
    mesh.answers["ratings"] = (200, {"stars": []})
    passed = {"x-request-id": "r", "x-b3-traceid": "a" * 32, "traceparent": "00-x", "end-user": "jason"}
    async with instance("reviews", "v2") as client:
        await client.get("/reviews/0", headers={**passed, "x-secret": "1"})
    seen = mesh.headers_to("ratings")
    assert passed.items() <= seen.items()
    assert "x-secret" not in seen


async def test_a_service_is_called_by_its_name_and_port_through_the_proxy(mesh: FakeMesh) -> None:
    mesh.answers["ratings"] = (200, {"stars": []})
    async with instance("reviews", "v2") as client:
        await client.get("/reviews/0")
    assert mesh.seen[0].headers["host"] == "ratings:9080"


async def test_the_page_is_json_for_programs_and_html_for_browsers(mesh: FakeMesh) -> None:
    reviews = {"service": "reviews", "version": "v3", "host": "127.0.1.5", "count": 7, "colour": "red"}
    reviews |= {"reviews": [{"reader": "<b>", "text": "t"}], "ratings": {"stars": [3]}}  # type: ignore[dict-item]
    who = {"service": "ratings", "version": "v1", "host": "h", "count": 1}
    reviews["ratings"] |= who  # type: ignore[operator]
    mesh.answers = {"details": (200, {**who, "book": {"title": "A & B"}}), "reviews": (200, reviews)}
    async with instance("productpage") as client:
        answer = await (await client.get("/productpage")).json()
        page = await client.get("/productpage", headers={"accept": "text/html,*/*", "end-user": "jason"})
        text = await page.text()
    assert answer["reviews"]["version"] == "v3"
    assert page.content_type == "text/html"
    for shown in ("A &amp; B", "&lt;b&gt;", "reviews v3 from 127.0.1.5: 7", "★★★☆☆", "<strong>jason</strong>"):
        assert shown in text


async def test_a_service_that_fails_leaves_a_gap_in_the_page(mesh: FakeMesh) -> None:
    mesh.answers = {"details": (503, "no healthy upstream"), "reviews": (404, "")}
    async with instance("productpage") as client:
        response = await client.get("/productpage", headers={"accept": "text/html"})
        text = await response.text()
    assert response.status == 200
    assert "The details are not available: 503 &quot;no healthy upstream&quot;" in text
    assert "The reviews are not available: 404" in text


async def test_a_user_signs_in_by_a_cookie(mesh: FakeMesh) -> None:
    mesh.answers = {"details": (200, {}), "reviews": (200, {})}
    async with instance("productpage") as client:
        response = await client.get("/productpage?user=jason", allow_redirects=False)
        assert (response.status, response.headers["location"]) == (303, "/productpage")
        answer = await (await client.get("/productpage", cookies={"user": "jason"})).json()
    assert answer["user"] == "jason"
    assert mesh.headers_to("reviews")["end-user"] == "jason"


async def test_without_a_sidecar_the_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with instance("reviews", "v2") as client:
        answer = await (await client.get("/reviews/0")).json()
    assert "error" in answer["ratings"]
