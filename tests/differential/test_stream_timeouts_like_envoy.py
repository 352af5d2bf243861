"""Clients that fall silent in the middle of a head or of a tunnel: what a real Envoy and pyproxy do about them."""

from __future__ import annotations

import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hpack import Encoder
from hyperframe.frame import Frame, HeadersFrame, SettingsFrame

from tests.differential.envoy_process import Envoy
from tests.differential.http1_sides import Case, Side, run_all, start_envoy_side, start_our_side
from tests.differential.http2_sides import PSEUDO, Case2, Http2Side, data, request, run_both
from tests.differential.istio_as_envoy import connection_settings, in_seconds
from tests.differential.test_http1_like_envoy import (
    DOCUMENTS,
    HOSTS,
    WEBSOCKET,
    get,
    post,
    response,
    silence,
    silence_in_body,
    switch,
)
from tests.peers import Request, UpstreamConnection, answer_with

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

KINDS: Mapping[str, Mapping[str, str]] = {
    "idle first, alone": {"httpStreamIdleTimeout": "1s"},
    "head first, alone": {"httpRequestHeadersTimeout": "500ms"},
    "idle first": {"httpRequestHeadersTimeout": "5s", "httpStreamIdleTimeout": "1s"},
    "head first": {"httpRequestHeadersTimeout": "500ms", "httpStreamIdleTimeout": "5s"},
}


def switch_and_talk(connection: UpstreamConnection, request: Request) -> None:
    """A tunnel in which the upstream says something every so often, and then no more."""
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n")
    for _ in range(4):
        time.sleep(0.25)
        connection.send(b"x")
    connection.fill()


HEADS = {
    "half a request line": Case(b"GET /"),
    "half a head": Case(b"GET / HTTP/1.1\r\nhost: app.test\r\n"),
    "half a second head": Case(get() + b"GET / HTTP/1.1\r\n", responses=2),
}
STREAMS = {
    "no head": Case(get(), silence),
    "half a body": Case(post(b"content-length: 4", body=b"x"), silence),
    "half a body, half an answer": Case(post(b"content-length: 4", body=b"x"), silence_in_body),
    "a silent tunnel": Case(get(*WEBSOCKET), switch, then=b"ping", responses=2),
    "a tunnel that talks": Case(get(*WEBSOCKET), switch_and_talk, responses=2),
    "a tunnel that nobody answers": Case(get(*WEBSOCKET), silence),
    "a tunnel that nobody answers, with bytes": Case(get(*WEBSOCKET) + b"early", silence),
}


NO_WINDOW = SettingsFrame(0, settings={4: 10})
KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
SOCKET = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *PSEUDO[1:]]


def half_a_head() -> Frame:
    return HeadersFrame(1, data=Encoder().encode(PSEUDO), flags=["END_STREAM"])


STREAMS_OF_HTTP2 = {
    "no head": Case2((request(),), silence),
    "half a body": Case2((request((b"content-length", b"4"), end=False), data(b"x", end=False)), silence),
    "a client that does not read": Case2(
        (NO_WINDOW, request()), answer_with(response(b"200 OK", b"content-length: 100", body=b"x" * 100))
    ),
    "a client that does not read so much": Case2(
        (NO_WINDOW, request()), answer_with(response(b"200 OK", b"content-length: 5000000", body=b"x" * 5_000_000))
    ),
    "a silent tunnel": Case2(
        (request(KEY, pseudo=SOCKET, end=False), data(b"ping", end=False)),
        answer_with(response(b"101 Switching Protocols", b"upgrade: websocket", b"connection: Upgrade")),
    ),
    "a tunnel that nobody answers": Case2((request(KEY, pseudo=SOCKET, end=False), data(b"ping", end=False)), silence),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which timeouts the mesh has."""
    return str(request.param)


@pytest.fixture(scope="module")
def sides(
    kind: str, start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Side, Side, tuple[int, int]]]:
    """Envoy and pyproxy, with these timeouts, and their admin ports."""
    folder = tmp_path_factory.mktemp("timeouts")
    settings = KINDS[kind]
    managers = in_seconds(connection_settings(settings))
    started: list[Envoy] = []

    def start(*arguments: Any, **more: Any) -> Envoy:
        started.append(start_envoy(*arguments, **more))
        return started[-1]

    theirs = start_envoy_side(start, folder, HOSTS, http2_protocol_options={"allow_connect": True}, **managers)
    ours, process = start_our_side(folder, DOCUMENTS.replace("REFUSING", "9"), connections=settings)
    try:
        yield theirs, ours, (started[0].admin_port, process.ports["admin"])
    finally:
        process.close()


def counted(admin: int) -> dict[str, int]:
    """How many streams ended by each timeout."""
    page = f"http://127.0.0.1:{admin}/stats?filter=downstream_rq_(idle|header)_timeout"
    with urllib.request.urlopen(page, timeout=20) as response:
        lines = response.read().decode().splitlines()
    found = Counter[str]()
    for name, _, value in (line.partition(": ") for line in lines if line.startswith("http.")):
        found[name.rpartition(".")[2]] += int(value)
    return {name: value for name, value in found.items() if value}


def test_over_http1(kind: str, sides: tuple[Side, Side, tuple[int, int]]) -> None:
    found = run_all({**HEADS, **STREAMS} if "idle first" in kind else HEADS, *sides[:2])
    assert {name: theirs for name, (theirs, _) in found.items()} == {name: ours for name, (_, ours) in found.items()}
    theirs, ours = (counted(admin) for admin in sides[2])
    assert theirs == ours
    assert sum(ours.values()) == len(found)


def test_over_http2(kind: str, sides: tuple[Side, Side, tuple[int, int]]) -> None:
    cases = {"half a head": Case2((half_a_head(),)), **(STREAMS_OF_HTTP2 if "idle first" in kind else {})}
    found = run_both(cases, *(Http2Side(side) for side in sides[:2]))
    theirs, ours = found.pop("half a head")
    assert (theirs.heads[0][0], theirs.end) == ((b":status", b"408"), "closed")
    assert (ours.heads, ours.end, ours.log) == ([], "closed", [])  # the whole connection ends: docs/decisions/0030
    for name in cases.keys() & {"a client that does not read", "a client that does not read so much"}:
        for seen in found[name]:  # Envoy keeps all of it, and logs when that is gone: docs/decisions/0019
            seen.log.clear()
    assert {name: theirs for name, (theirs, _) in found.items()} == {name: ours for name, (_, ours) in found.items()}
