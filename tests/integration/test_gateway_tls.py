"""A Gateway's servers on one port, told apart by SNI: TLS ended, clients asked for certificates, TLS passed on."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pyproxy.app import App
from pyproxy.settings import Settings
from tests.certificates import Authority, Issued
from tests.in_process import SECONDS, header, status
from tests.inbound_side import Answering, Application
from tests.ports import free_port

pytestmark = pytest.mark.integration
PUBLIC, PARTNERS = Authority("public"), Authority("partners")
_PORTS = ("outbound_port", "inbound_port", "http_proxy_port", "admin_port", "status_port", "metrics_port")
DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  selector: {{istio: edge}}
  servers:
  - port: {{number: {port}, name: https, protocol: HTTPS}}
    hosts: [shop.test]
    tls: {{mode: SIMPLE, credentialName: shop}}
  - port: {{number: {port}, name: https-any, protocol: HTTPS}}
    hosts: ["*.test"]
    tls: {{mode: SIMPLE, credentialName: any}}
  - port: {{number: {port}, name: https-partners, protocol: HTTPS}}
    hosts: [partners.test]
    tls: {{mode: MUTUAL, credentialName: shop}}
  - port: {{number: {port}, name: tls, protocol: TLS}}
    hosts: [raw.test]
    tls: {{mode: PASSTHROUGH}}
  - port: {{number: {port}, name: tls-ended, protocol: TLS}}
    hosts: [ended.test]
    tls: {{mode: SIMPLE, credentialName: any}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop}}
spec:
  hosts: ["*.test"]
  gateways: [edge]
  http: [{{route: [{{destination: {{host: app.default.svc.cluster.local}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: raw}}
spec:
  hosts: [raw.test]
  gateways: [edge]
  tls:
  - match: [{{sniHosts: [raw.test]}}]
    route: [{{destination: {{host: app.default.svc.cluster.local}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: ended}}
spec:
  hosts: [ended.test]
  gateways: [edge]
  tcp: [{{route: [{{destination: {{host: app.default.svc.cluster.local}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: app}}
spec:
  hosts: [app.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {behind}}}}}]
"""


def credential(folder: Path, name: str, issued: Issued) -> None:
    place = folder / "credentials" / name
    place.mkdir(parents=True)
    (place / "tls.crt").write_bytes(issued.pem)
    (place / "tls.key").write_bytes(issued.key_pem)
    (place / "ca.crt").write_bytes(PARTNERS.root_pem)


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[tuple[int, Application]]:
    """A gateway before one application: its port, and what arrives behind it."""
    application = Application()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(application), "127.0.0.1", 0)
    behind = server.sockets[0].getsockname()[1]
    port = free_port()
    credential(folder, "shop", PUBLIC.issue("shop.test", "partners.test"))
    credential(folder, "any", PUBLIC.issue("other.test", "ended.test"))
    (folder / "mesh.yaml").write_text(DOCUMENTS.format(port=port, behind=behind))
    app = App(
        Settings(
            config=(folder / "mesh.yaml",),
            gateway=True,
            labels={"istio": "edge"},
            address="127.0.0.1",
            certs=None,
            **dict.fromkeys(_PORTS, 0),  # type: ignore[arg-type]
        )
    )
    await app.start()
    try:
        async with server:
            yield port, application
    finally:
        await app.shut_down()


def context(folder: Path, shows: Issued | None = None) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(cadata=PUBLIC.root_pem.decode())
    made.set_alpn_protocols(["http/1.1"])
    if shows is not None:
        (folder / "shown.pem").write_bytes(shows.pem + shows.key_pem)
        made.load_cert_chain(folder / "shown.pem")
    return made


async def ask(port: int, name: str, client: ssl.SSLContext) -> bytes:
    """The answer to a request by that SNI; empty when there is none."""
    answer = b""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
            writer.write(b"GET / HTTP/1.1\r\nhost: %b\r\n\r\n" % name.encode())
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                answer = await reader.readuntil(b"\r\n\r\n")
            writer.close()
    return answer


@pytest.mark.parametrize("name", ["shop.test", "other.test"])
async def test_https_ends_here_with_the_certificate_of_the_best_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    async with gateway(tmp_path / "certs") as (port, _):
        answer = await ask(port, name, context(tmp_path))
        assert status(answer) == 200
        assert header(answer, b"server") == b"istio-envoy"


async def test_mutual_asks_for_a_certificate_of_that_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with gateway(tmp_path / "certs") as (port, application):
        assert await ask(port, "partners.test", context(tmp_path)) == b""
        assert await ask(port, "partners.test", context(tmp_path, PUBLIC.issue("somebody"))) == b""
        assert application.began == []
        assert status(await ask(port, "partners.test", context(tmp_path, PARTNERS.issue("a.partner")))) == 200


async def test_passthrough_leaves_tls_to_what_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with gateway(tmp_path / "certs") as (port, application):
        assert await ask(port, "raw.test", context(tmp_path)) == b""
        assert application.began[0].startswith(b"\x16\x03")


async def test_tls_that_carries_no_http_ends_here_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with gateway(tmp_path / "certs") as (port, application):
        answer = await ask(port, "ended.test", context(tmp_path))
        assert status(answer) == 200
        assert header(answer, b"server") is None, "nobody read it"
        assert application.began == [b"GET / HTTP/1.1\r\nhost: ended.test\r\n\r\n"]


async def test_who_asks_for_nobody_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with gateway(tmp_path / "certs") as (port, application):
        assert await ask(port, "elsewhere.example", context(tmp_path)) == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), SECONDS)
        writer.close()
        assert application.began == []
