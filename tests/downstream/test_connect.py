"""CONNECT on the HTTP proxy port."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.in_process import cluster, connected, get, service, status, until, upstream, worker

REGISTRY_ONLY = """
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec: {meshConfig: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}}
"""


@pytest.mark.parametrize("protocol", ["HTTP", "TCP", "TLS"])
async def test_a_tunnel_to_a_service_by_its_name(tmp_path: Path, protocol: str) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port, protocol=protocol)) as app:
        async with connected(app, "http_proxy") as client:
            client.send(get("x:80", "x:80", method="CONNECT"))
            assert status(await client.head()) == 200
            assert (await client.ask(get("/through", "anything"))).endswith(b"ok")
            assert there.heads[0].startswith(b"GET /through HTTP/1.1\r\nhost: anything\r\n\r\n")
            assert cluster(app, "x").stats.upstream_cx_active == 1
        await until(lambda: cluster(app, "x").stats.upstream_cx_active == 0)


async def test_a_tunnel_to_anywhere_where_the_mesh_allows_it(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, service("x", 1)) as app, connected(app, "http_proxy") as client:
        where = f"127.0.0.1:{there.port}"
        client.send(get(where, where, method="CONNECT"))
        assert status(await client.head()) == 200
        assert (await client.ask(get())).endswith(b"ok")


@pytest.mark.parametrize(
    ("target", "code"), [("127.0.0.1:9", 502), ("nowhere.invalid:443", 502), ("x:80", 503), ("x", 400), ("a<b:80", 400)]
)
async def test_what_cannot_be_reached_is_answered(tmp_path: Path, target: str, code: int) -> None:
    async with worker(tmp_path, service("x", 1), REGISTRY_ONLY) as app, connected(app, "http_proxy") as client:
        assert status(await client.ask(get(target, "x", method="CONNECT"))) == code


async def test_a_tunnel_never_comes_back_to_us(tmp_path: Path) -> None:
    async with worker(tmp_path, service("x", 1)) as app, connected(app, "http_proxy") as client:
        assert status(await client.ask(get(app.addresses()["virtualOutbound"], "x", method="CONNECT"))) == 503
