"""A request at the gate, while its authorizer is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pyproxy.app import App
from pyproxy.runtime.counters import HttpStats
from tests.in_process import Client, Upstream, connected, get, header, never, status, until, upstream, worker

ALLOW = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
DENY = b"HTTP/1.1 401 No\r\nx-why: because\r\ncontent-length: 2\r\n\r\nno"


def documents(authorizer: int, application: int, provider: str = "", rules: str = "[{}]") -> str:
    """A workload behind an authorizer."""
    return f"""
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  meshConfig:
    extensionProviders:
    - {{name: p, envoyExtAuthzHttp: {{service: authz.test, port: 9000, {provider}}}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: ask}}
spec: {{action: CUSTOM, provider: {{name: p}}, rules: {rules}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: authz}}
spec:
  hosts: [authz.test]
  resolution: STATIC
  ports: [{{number: 9000, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {authorizer}}}}}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: app}}
spec: {{address: 127.0.0.1, labels: {{app: app}}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: app}}
spec:
  hosts: [x]
  resolution: STATIC
  ports: [{{number: {application}, name: http, protocol: HTTP}}]
  workloadSelector: {{labels: {{app: app}}}}
"""


@dataclass
class Mesh:
    """The proxy of a workload, its authorizer, the workload, and a client."""

    app: App
    authorizer: Upstream
    workload: Upstream
    client: Client

    def get(self, path: str = "/", *lines: str) -> bytes:
        """A request that names the workload's port: the authorizer's address is the same."""
        return get(path, f"x:{self.workload.port}", *lines)

    def post(self, body: bytes) -> bytes:
        """The same with a body."""
        length = f"content-length: {len(body)}"
        return get("/", f"x:{self.workload.port}", length, method="POST") + body

    @property
    def stats(self) -> HttpStats:
        return self.app.http_stats["inbound_0.0.0.0_15006"]


@asynccontextmanager
async def mesh(folder: Path, provider: str = "", rules: str = "[{}]") -> AsyncIterator[Mesh]:
    async with upstream() as authorizer, upstream() as workload:
        text = documents(authorizer.port, workload.port, provider, rules)
        async with worker(folder, text) as app, connected(app, "virtualInbound") as client:
            yield Mesh(app, authorizer, workload, client)


async def test_who_is_allowed_passes(tmp_path: Path) -> None:
    async with mesh(tmp_path, "pathPrefix: /check") as found:
        found.authorizer.answers = [ALLOW]
        assert status(await found.client.ask(found.get("/a?q=1", "authorization: t", "cookie: c"))) == 200
        (asked,) = found.authorizer.heads
        assert asked.startswith(b"GET /check/a?q=1 HTTP/1.1\r\nhost: x:%d\r\n" % found.workload.port)
        assert (header(asked, b"authorization"), header(asked, b"cookie")) == (b"t", None)
        assert len(found.workload.heads) == 1
        assert (found.stats.ext_authz_ok, found.stats.rbac_istio_ext_authz_shadow_denied) == (1, 1)


async def test_who_is_denied_meets_no_workload_and_the_connection_stays(tmp_path: Path) -> None:
    async with mesh(tmp_path) as found:
        found.authorizer.answers = [DENY, ALLOW]
        response = await found.client.ask(found.get())
        assert (status(response), header(response, b"x-why")) == (401, b"because")
        assert response.endswith(b"\r\n\r\nno")
        assert found.workload.heads == []
        assert found.stats.ext_authz_denied == 1
        assert status(await found.client.ask(found.get())) == 200


async def test_an_authorizer_changes_both_ways(tmp_path: Path) -> None:
    lists = "headersToUpstreamOnAllow: [x-user], headersToDownstreamOnAllow: [x-session]"
    async with mesh(tmp_path, lists) as found:
        extra = b"x-user: me\r\nx-session: s\r\nx-envoy-auth-headers-to-remove: cookie\r\n"
        found.authorizer.answers = [b"HTTP/1.1 200 OK\r\n" + extra + b"content-length: 0\r\n\r\n"]
        response = await found.client.ask(found.get("/", "cookie: c", "x-user: forged"))
        assert header(response, b"x-session") == b"s"
        (seen,) = found.workload.heads
        assert (header(seen, b"x-user"), header(seen, b"cookie"), seen.count(b"x-user")) == (b"me", None, 1)


async def test_what_no_rule_matches_is_not_asked_about(tmp_path: Path) -> None:
    async with mesh(tmp_path, rules="[{to: [{operation: {paths: [/private]}}]}]") as found:
        assert status(await found.client.ask(found.get("/public"))) == 200
        assert found.authorizer.heads == []
        assert (found.stats.ext_authz_disabled, found.stats.rbac_istio_ext_authz_shadow_allowed) == (1, 1)


async def test_an_authorizer_that_fails_denies(tmp_path: Path) -> None:
    async with mesh(tmp_path, "timeout: 50ms, statusOnError: '503'") as found:
        found.authorizer.answers = [b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", never]
        for _ in range(2):
            response = await found.client.ask(found.get())
            assert (status(response), header(response, b"content-length")) == (503, b"0")
        assert found.stats.ext_authz_error == 2
        assert found.workload.heads == []


async def test_an_authorizer_that_fails_open_lets_pass(tmp_path: Path) -> None:
    async with mesh(tmp_path, "timeout: 50ms, failOpen: true") as found:
        found.authorizer.answers = [never, DENY]
        assert status(await found.client.ask(found.get())) == 200
        assert status(await found.client.ask(found.get())) == 401
        assert (found.stats.ext_authz_error, found.stats.ext_authz_failure_mode_allowed) == (1, 1)


async def test_a_service_without_that_port_denies(tmp_path: Path) -> None:
    async with upstream() as workload:
        text = documents(1, workload.port).replace("port: 9000,", "port: 9001,")
        async with worker(tmp_path, text) as app, connected(app, "virtualInbound") as client:
            assert status(await client.ask(get("/", f"x:{workload.port}"))) == 403
            assert app.http_stats["inbound_0.0.0.0_15006"].ext_authz_error == 1


async def test_a_body_waits_for_the_answer(tmp_path: Path) -> None:
    async with mesh(tmp_path) as found:
        gate = asyncio.Event()

        async def later() -> bytes:
            await gate.wait()
            return ALLOW

        found.authorizer.answers = [later]
        found.client.send(found.post(b"x" * 3_000_000))
        await until(lambda: len(found.authorizer.heads) == 1)
        assert found.workload.heads == []
        gate.set()
        assert status(await found.client.response()) == 200
        assert found.workload.bodies == [b"x" * 3_000_000]
        assert found.authorizer.bodies == [b""]


async def test_an_authorizer_that_reads_the_body_gets_it_whole(tmp_path: Path) -> None:
    async with mesh(tmp_path, "includeRequestBodyInCheck: {maxRequestBytes: 2000000}") as found:
        found.authorizer.answers = [ALLOW]
        body = b"y" * 2_000_000
        assert status(await found.client.ask(found.post(body))) == 200
        assert found.authorizer.bodies == found.workload.bodies == [body]
        assert header(found.authorizer.heads[0], b"x-envoy-auth-partial-body") == b"false"


async def test_a_body_larger_than_it_reads_is_refused(tmp_path: Path) -> None:
    async with mesh(tmp_path, "includeRequestBodyInCheck: {maxRequestBytes: 5}") as found:
        response = await found.client.ask(found.post(b"123456"))
        assert (status(response), response.partition(b"\r\n\r\n")[2]) == (413, b"Payload Too Large")
        assert found.authorizer.heads == found.workload.heads == []


async def test_or_cut_while_the_rest_is_still_on_its_way(tmp_path: Path) -> None:
    body = "includeRequestBodyInCheck: {maxRequestBytes: 5, allowPartialMessage: true}"
    async with mesh(tmp_path, body) as found:
        found.authorizer.answers = [ALLOW]
        whole = found.post(b"1234567890")
        found.client.send(whole[:-3])
        await until(lambda: found.authorizer.bodies == [b"12345"])
        assert header(found.authorizer.heads[0], b"x-envoy-auth-partial-body") == b"true"
        found.client.send(whole[-3:])
        assert status(await found.client.response()) == 200
        assert found.workload.bodies == [b"1234567890"]


async def test_a_client_that_leaves_ends_the_question(tmp_path: Path) -> None:
    async with mesh(tmp_path) as found:
        found.authorizer.answers = [never]
        found.client.send(found.get())
        await until(lambda: len(found.authorizer.heads) == 1)
        found.client.close()
        state = found.app.live.serving.clusters["outbound|9000||authz.test"]
        await until(lambda: state.stats.upstream_rq_active == 0 and state.stats.upstream_cx_active == 0)
        assert found.stats.ext_authz_error == 0


async def test_a_provider_that_nobody_has_denies(tmp_path: Path) -> None:
    async with upstream() as workload:
        text = documents(1, workload.port).replace("provider: {name: p}", "provider: {name: q}")
        async with worker(tmp_path, text) as app, connected(app, "virtualInbound") as client:
            response = await client.ask(get("/", f"x:{workload.port}"))
    assert (status(response), response.partition(b"\r\n\r\n")[2]) == (403, b"RBAC: access denied")
