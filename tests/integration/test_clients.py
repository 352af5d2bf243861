"""The clients that people use: curl, wrk, Go's net/http, Python's requests, aiohttp and h11, a browser."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import h11
import pytest
import requests

from tests.peers import RawClient, Request, Upstream, UpstreamConnection
from tests.pyproxy_process import PyproxyProcess

pytestmark = pytest.mark.integration

NAME = "store.default.svc.cluster.local"
GO_CLIENT = Path(__file__).parents[1] / "clients" / "go"


def answer(connection: UpstreamConnection, request: Request) -> None:
    """/plain and /, /echo, /moved, /page; silence for /never."""
    body = connection.read_body(request)
    path = request.target
    if path == b"/never":
        return
    if path == b"/moved":
        connection.send(b"HTTP/1.1 302 Found\r\nlocation: http://%b/plain\r\ncontent-length: 0\r\n\r\n" % NAME.encode())
        return
    kind, content = b"text/plain", b"ok"
    if path == b"/echo":
        content = body
    elif path == b"/page":
        kind, content = b"text/html", b"<html><body><h1 id=who>served through the mesh</h1></body></html>"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (kind, len(content))
    connection.send(head if request.method == b"HEAD" else head + content)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PyproxyProcess]:
    upstream = Upstream()
    upstream.answer = answer
    proxy = PyproxyProcess(
        tmp_path_factory.mktemp("clients") / "proxy",
        f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: store}}
spec:
  hosts: [{NAME}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {upstream.port}}}}}]
""",
    )
    yield proxy
    proxy.close()
    upstream.close()


def needs(program: str) -> str:
    """The path of a program, or a loud skip."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"LOUD SKIP: {program} is not installed")
    return found


def run(command: list[str], **environment: str) -> str:
    """What a program prints. It must succeed."""
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("flags", "path", "wanted"),
    [
        ([], "/plain", "ok"),
        (["--data", "sized"], "/echo", "sized"),
        (["--data", "chunked", "--header", "transfer-encoding: chunked"], "/echo", "chunked"),
        (["--data", "patient", "--header", "expect: 100-continue", "--expect100-timeout", "0.2"], "/echo", "patient"),
        (["--location"], "/moved", "ok"),
    ],
)
def test_curl(proxy: PyproxyProcess, flags: list[str], path: str, wanted: str) -> None:
    curl = [
        needs("curl"),
        "--silent",
        "--fail",
        "--noproxy",
        "",
        "--proxy",
        f"http://127.0.0.1:{proxy.ports['http_proxy']}",
    ]
    assert run([*curl, *flags, f"http://{NAME}{path}"]) == wanted


def test_curl_asks_for_a_head_alone_and_through_a_tunnel(proxy: PyproxyProcess) -> None:
    port = proxy.ports["http_proxy"]
    curl = [needs("curl"), "--silent", "--fail", "--noproxy", "", "--proxy", f"http://127.0.0.1:{port}"]
    assert "content-length: 2" in run([*curl, "--head", f"http://{NAME}/plain"]).lower()
    assert run([*curl, "--proxytunnel", f"http://{NAME}/plain"]) == "ok"


def test_curl_asks_the_outbound_port_by_host_alone(proxy: PyproxyProcess) -> None:
    curl = [needs("curl"), "--silent", "--fail", "--noproxy", "*", "--header", "host: store"]
    assert run([*curl, f"http://127.0.0.1:{proxy.outbound}/plain"]) == "ok"


def test_wrk(proxy: PyproxyProcess) -> None:
    said = run([needs("wrk"), "-t1", "-c16", "-d1s", "-H", "Host: store", f"http://127.0.0.1:{proxy.outbound}/plain"])
    count = re.search(r"(\d+) requests in", said)
    assert count is not None and int(count[1]) > 100
    assert "Non-2xx" not in said
    assert "Socket errors" not in said


def test_go(proxy: PyproxyProcess, tmp_path: Path) -> None:
    client = tmp_path / "client"
    subprocess.run(
        [needs("go"), "build", "-o", str(client), "."],
        cwd=GO_CLIENT,
        env={**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"},
        check=True,
        timeout=110,
    )
    said = run([str(client), f"http://127.0.0.1:{proxy.ports['http_proxy']}", f"http://{NAME}"])
    assert said == "all well\n"


def test_requests(proxy: PyproxyProcess) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": f"http://127.0.0.1:{proxy.ports['http_proxy']}"}
        for _ in range(20):
            assert session.get(f"http://{NAME}/plain", timeout=20).text == "ok"
        assert session.post(f"http://{NAME}/echo", data=iter([b"in ", b"chunks"]), timeout=20).text == "in chunks"
        assert session.get(f"http://{NAME}/moved", timeout=20).text == "ok"
        assert session.head(f"http://{NAME}/plain", timeout=20).headers["content-length"] == "2"


async def test_aiohttp(proxy: PyproxyProcess) -> None:
    at = f"http://127.0.0.1:{proxy.outbound}"
    connector = aiohttp.TCPConnector(limit=4)
    async with aiohttp.ClientSession(at, headers={"host": "store"}, connector=connector) as session:

        async def pieces() -> AsyncIterator[bytes]:
            yield b"in "
            yield b"chunks"

        async def text(method: str, path: str, **more: Any) -> str:
            async with session.request(method, path, **more) as response:
                return await response.text()

        assert await asyncio.gather(*(text("GET", "/plain") for _ in range(40))) == ["ok"] * 40
        assert await text("POST", "/echo", data=b"sized") == "sized"
        assert await text("POST", "/echo", data=pieces()) == "in chunks"
        async with session.head("/plain") as response:
            assert response.headers["content-length"] == "2"


def test_h11(proxy: PyproxyProcess) -> None:
    """The strictest reader of all."""
    client = RawClient(proxy.outbound)
    connection = h11.Connection(h11.CLIENT)
    for method, path, body in (("GET", "/plain", b""), ("HEAD", "/plain", b""), ("POST", "/echo", b"x" * 100_000)):
        framing = [("transfer-encoding", "chunked")] if body else []
        client.send(connection.send(h11.Request(method=method, target=path, headers=[("host", "store"), *framing])))
        if body:
            client.send(connection.send(h11.Data(body)))
        client.send(connection.send(h11.EndOfMessage()))
        received = b""
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                client.fill()
                connection.receive_data(client.exactly(len(client.buffer)))
            elif isinstance(event, h11.Response):
                assert event.status_code == 200
            elif isinstance(event, h11.Data):
                received += bytes(event.data)
        assert received == (body or (b"ok" if method == "GET" else b""))
        connection.start_next_cycle()
    client.close()


def test_a_browser(proxy: PyproxyProcess, tmp_path: Path) -> None:
    shown = run(
        [
            needs("chromium"),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={tmp_path / 'browser'}",
            f"--proxy-server=http://127.0.0.1:{proxy.ports['http_proxy']}",
            "--dump-dom",
            f"http://{NAME}/page",
        ]
    )
    assert "served through the mesh" in shown
