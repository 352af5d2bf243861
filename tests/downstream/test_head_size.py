"""The limit on heads counts the whole head, however its bytes are spread, and nothing that follows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyproxy.app import App
from pyproxy.settings import Settings
from pyproxy.snapshot.model import ListenerKind

DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: x}
spec:
  hosts: [x.example]
  http: [{directResponse: {status: 200, body: {string: hello}}}]
"""
BIG = b"a" * 70_000


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    (tmp_path / "x.yaml").write_text(DOCUMENTS)
    ports = dict.fromkeys(
        ("outbound_port", "inbound_port", "http_proxy_port", "admin_port", "status_port", "metrics_port"), 0
    )
    app = App(Settings(config=(tmp_path,), address="127.0.0.1", drain_duration=0.1, **ports))
    await app.start()
    [bound] = [one for one in app.listeners.values() if one.listener.kind is ListenerKind.OUTBOUND_CAPTURE]
    yield bound.port
    await app.shut_down()


async def answer(port: int, request: bytes) -> bytes:
    """The status line for bytes that arrive in as few reads as the system makes of them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(request)
    line = await asyncio.wait_for(reader.readline(), 30)
    writer.close()
    return line.rstrip()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + BIG + b" HTTP/1.1\r\nhost: x.example\r\n",
        b"GET / HTTP/1.1\r\nhost: x.example\r\nx: " + BIG + b"\r\n",
        b"GET / HTTP/1.1\r\nhost: x.example\r\nte: " + BIG + b"\r\n",
        b"GET / HTTP/1.1\r\nhost: x.example\r\n" + b"".join(b"x-%d: %s\r\n" % (n, BIG[:1000]) for n in range(70)),
    ],
    ids=["target", "header", "a header that is taken off", "many headers"],
)
async def test_a_head_over_60_kib_is_refused_whatever_makes_it_so(port: int, head: bytes) -> None:
    assert await answer(port, head + b"\r\n") == b"HTTP/1.1 431 Request Header Fields Too Large"


async def test_a_body_does_not_count(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x.example\r\nreferer: http://a/" + b"b" * 40_000 + b"\r\n"
    request = head + b"content-length: %d\r\n\r\n" % len(BIG) + BIG
    assert await answer(port, request) == b"HTTP/1.1 200 OK"
