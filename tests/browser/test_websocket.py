"""A page with a WebSocket, as a browser opens it through a gateway: both in one HTTP/2 connection (RFC 8441).

Chromium asks for an extended CONNECT where the page's own connection offers it, over TLS; else it would dial another.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.test_utils import TestServer, unused_port

from tests.browser.chromium import Chromium
from tests.certificates import Authority
from tests.pyproxy_process import PyproxyProcess

pytestmark = pytest.mark.integration

LOG_FORMAT = {
    "path": "%REQ(:PATH)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "connection": "%CONNECTION_ID%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
}
DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  selector: {{istio: edge}}
  servers:
  - port: {{number: {port}, name: https, protocol: HTTPS}}
    hosts: [shop.test]
    tls: {{mode: SIMPLE, serverCertificate: {folder}/shop.crt, privateKey: {folder}/shop.key}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop}}
spec:
  hosts: [shop.test]
  gateways: [edge]
  http: [{{route: [{{destination: {{host: shop.default.svc.cluster.local}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shop}}
spec:
  hosts: [shop.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {behind}}}}}]
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec: {{meshConfig: {{accessLogFile: {log}, accessLogEncoding: JSON, accessLogFormat: '{format}'}}}}
"""
PAGE = """<!doctype html><title>chat</title><link rel="icon" href="data:,"><body><script>
const answers = [];
const socket = new WebSocket(`wss://${location.host}/chat`, "loud");
socket.onopen = () => { for (const word of ["good", "morning"]) socket.send(word) };
socket.onmessage = (event) => answers.push(event.data);
socket.onclose = (event) => answers.push(event.code);
</script>"""


async def page(request: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


async def chat(request: web.Request) -> web.WebSocketResponse:
    """Says everything louder."""
    socket = web.WebSocketResponse(protocols=("loud",))
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data.upper())
    return socket


@dataclass
class Edge:
    """A gateway before the shop."""

    port: int
    proxy: PyproxyProcess
    log: Path

    async def logged(self, path: str) -> dict[str, Any]:
        """The line of that path, once it is there."""
        async with asyncio.timeout(20):
            while True:
                lines = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
                for line in lines:
                    if line["path"] == path:
                        return dict(line)
                await asyncio.sleep(0.05)

    async def metrics(self) -> list[str]:
        url = f"http://127.0.0.1:{self.proxy.ports['metrics']}/stats/prometheus"
        async with ClientSession() as session, session.get(url) as response:
            return (await response.text()).splitlines()


@pytest.fixture
def chromium_flags() -> tuple[str, ...]:
    return "--ignore-certificate-errors", "--host-resolver-rules=MAP shop.test 127.0.0.1"


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    application = web.Application()
    application.add_routes([web.get("/", page), web.get("/chat", chat)])
    issued = Authority("public").issue("shop.test")
    (tmp_path / "shop.crt").write_bytes(issued.pem)
    (tmp_path / "shop.key").write_bytes(issued.key_pem)
    log = tmp_path / "access.log"
    async with TestServer(application) as shop:
        port = unused_port()
        documents = DOCUMENTS.format(
            port=port, behind=shop.port, folder=tmp_path, log=log, format=json.dumps(LOG_FORMAT)
        )
        flags = ("--labels", "istio=edge")
        proxy = await asyncio.to_thread(PyproxyProcess, tmp_path / "proxy", documents, *flags, command="gateway")
        yield Edge(port, proxy, log)
        await asyncio.to_thread(proxy.close)


async def test_a_page_and_its_websocket_share_an_http2_connection(edge: Edge, browser: Chromium) -> None:
    await browser.open(f"https://shop.test:{edge.port}/")
    await browser.until("typeof answers === 'object' && answers.length === 2")
    assert await browser.evaluate("[socket.protocol, ...answers]") == ["loud", "GOOD", "MORNING"]
    assert await browser.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
    await browser.evaluate("socket.close(1000, 'enough')")
    await browser.until("answers[2] === 1000")

    shown, talked = await edge.logged("/"), await edge.logged("/chat")
    assert (talked["protocol"], talked["status"], shown["protocol"]) == ("HTTP/2", 101, "HTTP/2")
    assert talked["connection"] == shown["connection"]
    assert talked["received"] > 0 and talked["sent"] > 0
    found = [line for line in await edge.metrics() if line.startswith("istio_requests_total") and '"101"' in line]
    assert len(found) == 1 and found[0].endswith(" 1")
