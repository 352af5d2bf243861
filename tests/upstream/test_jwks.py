"""Fetching keys, from servers that behave and from servers that do not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from pyproxy.core.loop import SystemClock
from pyproxy.policy.jwks import NOBODYS_KEYS
from pyproxy.policy.token_rules import KeySource
from pyproxy.runtime.keyring import KeyRing
from pyproxy.upstream import jwks
from pyproxy.upstream.jwks import DISCOVERY, MAX_BYTES, Fetches, Intervals, KeyFetcher, name_of
from tests.in_process import until
from tests.tokens import key_set, signing_key

FAST = Intervals(refresh=0.05, failure=0.02, longest=0.05, retry=0.01, retries=1, file=0.02)
FIRST, SECOND = (key_set(signing_key("ES256", name)) for name in ("first", "second"))


class Issuer:
    """A server of keys whose answers are told."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        self.answer: Callable[[web.Request], object] = lambda request: web.Response(text=FIRST)

    def url(self, path: str = "/keys") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def say(self, text: str, status: int = 200) -> None:
        self.answer = lambda request: web.Response(text=text, status=status)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        found = self.answer(request)
        return await found if asyncio.iscoroutine(found) else found  # type: ignore[return-value]


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    found = Issuer()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


@asynccontextmanager
async def fetching(source: KeySource, intervals: Intervals = FAST) -> AsyncIterator[tuple[KeyRing, Fetches]]:
    ring = KeyRing()
    fetcher = KeyFetcher(ring, SystemClock(), intervals)
    fetcher.follow([source])
    await fetcher.first_answers(5)
    try:
        yield ring, fetcher.fetches[source]
    finally:
        await fetcher.close()


def ids(ring: KeyRing, source: KeySource) -> list[str]:
    return [key.key_id for key in ring.key_set(source).keys]


async def test_keys_come_before_the_first_request(issuer: Issuer) -> None:
    source = KeySource(uri=issuer.url())
    async with fetching(source) as (ring, fetches):
        assert ids(ring, source) == ["first"]
        assert (fetches.succeeded, fetches.failed) == (1, 0)


async def test_an_issuer_says_where_its_keys_are(issuer: Issuer) -> None:
    def answer(request: web.Request) -> web.Response:
        if request.path == "/realm" + DISCOVERY:
            return web.json_response({"jwks_uri": issuer.url("/where")})
        return web.Response(text=FIRST if request.path == "/where" else "")

    issuer.answer = answer
    source = KeySource(issuer=issuer.url("/realm/"))
    async with fetching(source) as (ring, _):
        assert ids(ring, source) == ["first"]
    assert issuer.asked[:2] == ["/realm" + DISCOVERY, "/where"]


async def test_keys_are_fetched_again_and_again(issuer: Issuer) -> None:
    source = KeySource(uri=issuer.url())
    async with fetching(source) as (ring, fetches):
        issuer.say(SECOND)
        await until(lambda: ids(ring, source) == ["second"])
        assert fetches.succeeded >= 2


TROUBLE: dict[str, Callable[[web.Request], object]] = {
    "an error": lambda request: web.Response(status=500, text=SECOND),
    "no keys": lambda request: web.Response(status=204),
    "a page": lambda request: web.Response(text="<html>"),
    "a list": lambda request: web.Response(text="[]"),
    "something huge": lambda request: web.Response(text=" " * (MAX_BYTES + 1) + SECOND),
    "endless redirects": lambda request: web.HTTPFound("/keys"),
    "nowhere": lambda request: web.Response(status=302),
    "another scheme": lambda request: web.HTTPFound("file:///etc/passwd"),
    "a link-local address": lambda request: web.HTTPFound("http://169.254.169.254/latest"),
}


@pytest.mark.parametrize("name", TROUBLE)
async def test_trouble_leaves_the_last_good_keys(issuer: Issuer, name: str, caplog: pytest.LogCaptureFixture) -> None:
    source = KeySource(uri=issuer.url())
    async with fetching(source) as (ring, fetches):
        before = ring.key_set(source)
        issuer.answer = TROUBLE[name]
        await until(lambda: fetches.failed > 3)
        assert ring.key_set(source) is before
        said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(said) == 1 and said[0].startswith(f"no keys from {issuer.url()}: ")
        issuer.say(SECOND)
        await until(lambda: ids(ring, source) == ["second"])
        assert fetches.trouble == ""


async def test_a_set_that_was_emptied_is_taken_up(issuer: Issuer) -> None:
    """Who takes back all keys means it."""
    source = KeySource(uri=issuer.url())
    async with fetching(source) as (ring, _):
        issuer.say('{"keys": []}')
        await until(lambda: ids(ring, source) == [])


async def test_a_server_that_is_not_there(unused_port: int) -> None:
    source = KeySource(uri=f"http://127.0.0.1:{unused_port}/keys")
    async with fetching(source) as (ring, fetches):
        assert ring.key_set(source) is NOBODYS_KEYS
        assert fetches.failed
        assert fetches.trouble == "Connection refused"


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("at", ["head", "body"])
async def test_a_slow_server_has_one_timeout(issuer: Issuer, at: str) -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        if at == "body":
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"{")
        await asyncio.sleep(60)
        raise AssertionError

    issuer.answer = never
    source = KeySource(uri=issuer.url(), timeout=0.05)
    async with fetching(source) as (ring, fetches):
        assert fetches.trouble == "no answer within 0.05 s"
        assert ring.key_set(source) is NOBODYS_KEYS


async def test_an_endless_body_is_not_kept(issuer: Issuer) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b" " * 65536)
        return response

    issuer.answer = endless
    async with fetching(KeySource(uri=issuer.url())) as (_, fetches):
        assert fetches.trouble == f"longer than {MAX_BYTES} bytes"


@pytest.mark.parametrize("document", ["<html>", "[]", "{}", '{"jwks_uri": 5}', '{"jwks_uri": "file:///etc/passwd"}'])
async def test_a_discovery_document_that_is_none(issuer: Issuer, document: str) -> None:
    issuer.say(document)
    async with fetching(KeySource(issuer=issuer.url())) as (_, fetches):
        assert fetches.trouble.startswith("the discovery document ")


async def test_a_failure_is_tried_again_soon_and_then_later(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 6:
            issuer.say(FIRST)
        if len(waited) == 8:
            enough.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(jwks, "asyncio", _Sleeping(sleep))
    issuer.say("", 500)
    async with fetching(KeySource(uri=issuer.url()), Intervals(retries=1)):
        await asyncio.wait_for(enough.wait(), 30)
    assert waited == [1.0, 60.0, 1.0, 120.0, 1.0, 240.0, 1200.0, 1200.0]


class _Sleeping:
    """asyncio, but for its sleep."""

    def __init__(self, sleep: Callable[[float], object]) -> None:
        self.sleep = sleep

    def __getattr__(self, name: str) -> object:
        return getattr(asyncio, name)


# Files


async def test_a_file_is_read_and_watched(tmp_path: Path) -> None:
    file = tmp_path / "my keys.json"
    file.write_text(FIRST)
    source = KeySource(uri=file.as_uri())
    async with fetching(source) as (ring, fetches):
        assert ids(ring, source) == ["first"]
        file.write_text(SECOND)
        await until(lambda: ids(ring, source) == ["second"])
        file.write_text("{")
        await until(lambda: fetches.trouble == "is not JSON")
        file.unlink()
        await until(lambda: fetches.trouble == "No such file or directory")
        assert ids(ring, source) == ["second"]


async def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(" " * (MAX_BYTES + 1) + FIRST)
    async with fetching(KeySource(uri=file.as_uri())) as (_, fetches):
        assert fetches.trouble == f"longer than {MAX_BYTES} bytes"


# What is followed


async def test_what_no_rule_names_is_no_longer_fetched(issuer: Issuer) -> None:
    first, second = KeySource(uri=issuer.url("/1")), KeySource(uri=issuer.url("/2"))
    ring = KeyRing()
    fetcher = KeyFetcher(ring, SystemClock(), FAST)
    fetcher.follow([first, second])
    await fetcher.first_answers(5)
    kept = fetcher.fetches[second]
    fetcher.follow([second])
    assert list(fetcher.fetches.values()) == [kept]
    assert ring.key_set(first) is NOBODYS_KEYS
    issuer.asked.clear()
    await until(lambda: issuer.asked.count("/2") > 1)
    assert "/1" not in issuer.asked
    await fetcher.close()


async def test_start_up_does_not_wait_for_ever(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    issuer.answer = lambda request: asyncio.sleep(60)
    fetcher = KeyFetcher(KeyRing(), SystemClock(), FAST)
    fetcher.follow([KeySource(uri=issuer.url())])
    await fetcher.first_answers(0.02)
    assert "not here yet" in caplog.text
    await fetcher.close()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (KeySource(uri="https://me:secret@a:8443/keys?key=secret#x"), "https://a:8443/keys"),
        (KeySource(issuer="https://a/"), "https://a" + DISCOVERY),
        (KeySource(uri="file:///a/b.json"), "file:///a/b.json"),
    ],
)
def test_a_name_holds_no_secret(source: KeySource, name: str) -> None:
    assert name_of(source) == name
