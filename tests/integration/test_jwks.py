"""RequestAuthentication through a whole worker, and the issuer's keys while they change, come late or do not come."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from pyproxy.app import App
from pyproxy.settings import Settings
from pyproxy.upstream.jwks import Intervals
from tests.in_process import SECONDS, Client, Upstream, connected, get, header, status, until
from tests.integration.sidecar import Client as KeepAlive
from tests.integration.sidecar import sidecar
from tests.ports import free_port
from tests.tokens import key_set, signing_key, token

pytestmark = pytest.mark.integration

FAST = Intervals(refresh=0.1, failure=0.05, longest=0.1, retry=0.02, retries=1, file=0.05)
OLD, NEW = signing_key("ES256", "old"), signing_key("ES256", "new")
CLAIMS = {"iss": "me", "sub": "you"}
_PORTS = ("outbound_port", "inbound_port", "http_proxy_port", "admin_port", "status_port", "metrics_port")
Answer = Callable[[], Awaitable[web.StreamResponse]]


class Issuer:
    """A server of keys."""

    def __init__(self) -> None:
        self.port = 0
        self.asked = 0
        self.keys = key_set(OLD)
        self.answer: Answer | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.answer is not None:
            return await self.answer()
        return web.Response(text=self.keys)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    found = Issuer()
    application = web.Application()
    application.router.add_get("/keys", found.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    found = Upstream()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    found.hang_up()
    server.close()


def documents(port: int, rule: str, *more: str) -> str:
    """A workload behind its own port 9080, and one jwtRule."""
    return f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: own}}
spec:
  ingress: [{{port: {{number: 9080, name: http, protocol: HTTP}}, defaultEndpoint: "127.0.0.1:{port}"}}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: tokens}}
spec: {{jwtRules: [{rule}]}}
""" + "".join(f"\n---\n{each}" for each in more)


@asynccontextmanager
async def serving(folder: Path, text: str) -> AsyncIterator[App]:
    (folder / "mesh.yaml").write_text(text)
    ports = dict.fromkeys(_PORTS, 0)
    app = App(Settings(config=(folder,), address="127.0.0.1", drain_duration=0.1, **ports), intervals=FAST)  # type: ignore[arg-type]
    await app.start()
    try:
        yield app
    finally:
        await app.shut_down()


def bearer(text: str) -> str:
    return f"authorization: Bearer {text}"


async def ask(client: Client, *lines: str, path: str = "/") -> bytes:
    return await client.ask(get(path, "own:9080", *lines))


async def turns(client: Client, text: str, wanted: int) -> None:
    """Ask until the answer is so."""
    async with asyncio.timeout(SECONDS):
        while status(await ask(client, bearer(text))) != wanted:
            await asyncio.sleep(0.02)


# The keys


async def test_a_new_key_needs_no_restart_and_an_old_one_ends(
    tmp_path: Path, issuer: Issuer, upstream: Upstream
) -> None:
    rule = f"{{issuer: me, jwksUri: '{issuer.uri}'}}"
    async with serving(tmp_path, documents(upstream.port, rule)) as app, connected(app, "virtualInbound") as client:
        assert status(await ask(client, bearer(token(CLAIMS, OLD)))) == 200
        assert status(await ask(client, bearer(token(CLAIMS, NEW)))) == 401
        issuer.keys = key_set(OLD, NEW)
        await turns(client, token(CLAIMS, NEW), 200)
        assert status(await ask(client, bearer(token(CLAIMS, OLD)))) == 200
        issuer.keys = key_set(NEW)
        await turns(client, token(CLAIMS, OLD), 401)
        assert status(await ask(client, bearer(token(CLAIMS, NEW)))) == 200


async def _error() -> web.StreamResponse:
    return web.Response(status=503)


async def _huge() -> web.StreamResponse:
    return web.Response(text=" " * (2 * 1024 * 1024) + key_set(NEW))


async def _slow() -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response(text=key_set(NEW))


async def _page() -> web.StreamResponse:
    return web.Response(text="<html>sign in</html>")


@pytest.mark.parametrize("trouble", [_error, _huge, _slow, _page])
async def test_an_outage_leaves_the_keys_that_were_there(
    tmp_path: Path, issuer: Issuer, upstream: Upstream, trouble: Answer
) -> None:
    rule = f"{{issuer: me, jwksUri: '{issuer.uri}', timeout: 0.1s}}"
    async with serving(tmp_path, documents(upstream.port, rule)) as app, connected(app, "virtualInbound") as client:
        await turns(client, token(CLAIMS, OLD), 200)  # a busy machine may need more than the timeout at first
        issuer.answer = trouble
        (fetches,) = app.key_fetches
        failed = fetches.failed
        await until(lambda: fetches.failed > failed + 2)
        assert status(await ask(client, bearer(token(CLAIMS, OLD)))) == 200
        assert status(await ask(client, bearer(token(CLAIMS, NEW)))) == 401
        issuer.answer, issuer.keys = None, key_set(NEW)
        await turns(client, token(CLAIMS, NEW), 200)


async def test_keys_that_come_late_are_refused_until_then(tmp_path: Path, issuer: Issuer, upstream: Upstream) -> None:
    issuer.answer = _error
    rule = f"{{issuer: me, jwksUri: '{issuer.uri}'}}"
    async with serving(tmp_path, documents(upstream.port, rule)) as app, connected(app, "virtualInbound") as client:
        refused = await ask(client, bearer(token(CLAIMS, OLD)))
        assert status(refused) == 401 and refused.endswith(b"Jwt verification fails")
        assert status(await ask(client)) == 200
        issuer.answer = None
        await turns(client, token(CLAIMS, OLD), 200)


async def test_requests_are_answered_while_an_issuer_is_slow(
    tmp_path: Path, issuer: Issuer, upstream: Upstream
) -> None:
    """No request waits for a fetch, and none causes one."""
    issuer.answer = _slow
    rule = f"{{issuer: me, jwksUri: '{issuer.uri}', timeout: 0.1s}}"
    async with serving(tmp_path, documents(upstream.port, rule)) as app, connected(app, "virtualInbound") as client:
        asked, began = issuer.asked, time.monotonic()
        for _ in range(100):
            await ask(client, bearer(token(CLAIMS, OLD)))
        assert issuer.asked - asked <= 2 + (time.monotonic() - began) / 0.02


async def test_a_rule_that_comes_with_a_reload_gets_its_keys(
    tmp_path: Path, issuer: Issuer, upstream: Upstream
) -> None:
    async with (
        serving(tmp_path, documents(upstream.port, f"{{issuer: zoe, jwks: '{key_set(OLD)}'}}")) as app,
        connected(app, "virtualInbound") as client,
    ):
        assert status(await ask(client, bearer(token(CLAIMS, OLD)))) == 401
        rule = f"{{issuer: me, jwksUri: '{issuer.uri}'}}"
        (tmp_path / "mesh.yaml").write_text(documents(upstream.port, rule))
        await turns(client, token(CLAIMS, OLD), 200)
        (tmp_path / "mesh.yaml").write_text(documents(upstream.port, f"{{issuer: zoe, jwks: '{key_set(OLD)}'}}"))
        await turns(client, token(CLAIMS, OLD), 401)
        assert app.key_fetches == [] or not list(app.key_fetches)


async def test_keys_in_a_file_beside_the_document(tmp_path: Path, upstream: Upstream) -> None:
    file = tmp_path / "keys.jwks"
    file.write_text(key_set(OLD))
    rule = "{issuer: me, jwksUri: keys.jwks}"
    async with serving(tmp_path, documents(upstream.port, rule)) as app, connected(app, "virtualInbound") as client:
        assert status(await ask(client, bearer(token(CLAIMS, OLD)))) == 200
        file.write_text(key_set(NEW))
        await turns(client, token(CLAIMS, NEW), 200)
        file.unlink()
        await asyncio.sleep(0.2)
        assert status(await ask(client, bearer(token(CLAIMS, NEW)))) == 200


# What requests see


async def test_a_sidecar_verifies_and_tells_the_workload(tmp_path: Path, upstream: Upstream) -> None:
    rule = json.dumps(
        {
            "issuer": "me",
            "jwks": key_set(OLD),
            "outputClaimToHeaders": [{"header": "x-user", "claim": "sub"}],
            "outputPayloadToHeader": "x-claims",
        }
    )
    async with serving(tmp_path, documents(upstream.port, rule)) as app, connected(app, "virtualInbound") as client:
        text = token(CLAIMS, OLD)
        assert status(await ask(client, bearer(text), "x-user: root", path="/a?access_token=" + text + "&b=1")) == 200
        (head,) = upstream.heads
        assert head.startswith(b"GET /a?b=1 ")
        assert text.encode() not in head
        assert header(head, b"x-user") == b"you"
        assert header(head, b"x-claims") == text.split(".")[1].encode()
        refused = await ask(client, "authorization: Bearer a.b.c", path="/a?b=1")
        assert status(refused) == 401
        realm = b'Bearer realm="http://own:9080/a?b=1", error="invalid_token"'
        assert header(refused, b"www-authenticate") == realm
        assert len(upstream.heads) == 1
        async with connected(app, "admin") as admin:
            found = (await admin.ask(get("/stats?filter=jwt_authn&usedonly", "localhost"))).decode()
        assert "http.inbound_0.0.0.0_15006.jwt_authn.allowed: 1" in found
        assert "http.inbound_0.0.0.0_15006.jwt_authn.denied: 1" in found


async def test_what_goes_out_is_not_verified(tmp_path: Path, upstream: Upstream) -> None:
    """The workload's own requests carry tokens for others."""
    service = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: other}}
spec:
  hosts: [other.test]
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {upstream.port}}}}}]
"""
    text = documents(upstream.port, f"{{issuer: me, jwks: '{key_set(OLD)}'}}", service)
    async with serving(tmp_path, text) as app, connected(app) as client:
        assert status(await client.ask(get("/", "other.test", bearer("a.b.c")))) == 200


async def test_claims_decide_in_authorization_rules(tmp_path: Path, upstream: Upstream) -> None:
    policy = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: admins}
spec:
  rules:
  - from: [{source: {requestPrincipals: [me/you]}}]
    when: [{key: "request.auth.claims[groups]", values: [admin]}]
"""
    text = documents(upstream.port, f"{{issuer: me, jwks: '{key_set(OLD)}'}}", policy)
    async with serving(tmp_path, text) as app, connected(app, "virtualInbound") as client:
        admin = token({**CLAIMS, "groups": ["x", "admin"]}, OLD)
        assert status(await ask(client, bearer(admin))) == 200
        assert status(await ask(client, bearer(token({**CLAIMS, "groups": ["x"]}, OLD)))) == 403
        assert status(await ask(client, bearer(token({**CLAIMS, "sub": "he", "groups": ["admin"]}, OLD)))) == 403
        assert status(await ask(client)) == 403
        assert status(await ask(client, bearer("a.b.c"))) == 401


@asynccontextmanager
async def gateway(folder: Path, upstream: Upstream, *more: str) -> AsyncIterator[Client]:
    """A client of a gateway whose one way to the upstream a claim opens; /open is open to all."""
    port = free_port()
    text = f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: door}}
spec:
  selector: {{istio: door}}
  servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: other}}
spec:
  hosts: [other.test]
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {upstream.port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: other}}
spec:
  hosts: [shop.test]
  gateways: [door]
  http:
  - match: [{{headers: {{"@request.auth.claims.groups": {{exact: admin}}}}}}]
    route: [{{destination: {{host: other.test}}}}]
  - match: [{{uri: {{prefix: /open}}}}]
    directResponse: {{status: 299}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: tokens}}
spec: {{jwtRules: [{{issuer: me, jwks: '{key_set(OLD)}'}}]}}
"""
    (folder / "mesh.yaml").write_text("\n---\n".join((text, *more)))
    ports = {"admin_port": 0, "status_port": 0, "metrics_port": 0}
    settings = Settings(
        config=(folder,), address="127.0.0.1", drain_duration=0.1, gateway=True, labels={"istio": "door"}, **ports
    )
    app = App(settings)
    await app.start()
    try:
        client = Client(*await asyncio.open_connection("127.0.0.1", port))
        yield client
        client.close()
    finally:
        await app.shut_down()


ADMIN, READER = (token({**CLAIMS, "groups": [name]}, OLD) for name in ("admin", "reader"))


async def test_a_gateway_routes_by_claims(tmp_path: Path, upstream: Upstream) -> None:
    async with gateway(tmp_path, upstream) as client:
        for path, lines, code in (
            ("/open", [bearer(ADMIN)], 200),
            ("/open", [bearer(READER)], 299),
            ("/open", [], 299),
            ("/", [bearer(ADMIN)], 200),
            ("/", [bearer(READER)], 404),
            ("/", [bearer("a.b.c")], 401),
            ("/", ["@request.auth.claims.groups: admin"], 400),
        ):
            assert status(await client.ask(get(path, "shop.test", *lines))) == code, (path, lines)
    assert len(upstream.heads) == 2


async def test_a_way_that_a_claim_opens_does_not_lead_past_the_external_authorizer(
    tmp_path: Path, upstream: Upstream
) -> None:
    """Envoy asks nobody about a request without a route, and this one has none before its token is verified."""
    refusing = Upstream()
    refusing.answers = [b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"]
    server = await asyncio.start_server(refusing.serve, "127.0.0.1", 0)
    asked = f"""
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh}}
spec:
  meshConfig:
    extensionProviders: [{{name: asked, envoyExtAuthzHttp: {{service: authz.test, port: 80}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: authz}}
spec:
  hosts: [authz.test]
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {server.sockets[0].getsockname()[1]}}}}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: ask}}
spec: {{action: CUSTOM, provider: {{name: asked}}, rules: [{{}}]}}
"""
    async with gateway(tmp_path, upstream, asked) as client:
        assert status(await client.ask(get("/", "shop.test", bearer(ADMIN)))) == 403
        assert status(await client.ask(get("/", "shop.test", bearer(ADMIN)))) == 200
    assert (len(refusing.heads), len(upstream.heads)) == (2, 1)
    refusing.hang_up()
    server.close()


async def test_no_token_is_in_any_log(
    tmp_path: Path, issuer: Issuer, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    log = tmp_path / "access.log"
    mesh = f"""
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh}}
spec: {{meshConfig: {{accessLogFile: "{log}"}}}}
"""
    uri = issuer.uri.replace("http://", "http://name:password@") + "?key=password"
    issuer.answer = _page
    good, bad = token({**CLAIMS, "secret": "hush"}, OLD), token({**CLAIMS, "secret": "hush"}, NEW)
    text = documents(upstream.port, f"{{issuer: me, jwksUri: '{uri}'}}", mesh)
    async with serving(tmp_path, text) as app, connected(app, "virtualInbound") as client:
        await ask(client, bearer(good))
        issuer.answer = None
        await turns(client, good, 200)
        await ask(client, bearer(bad))
    logged = caplog.text + log.read_text()
    for secret in (*good.split("."), *bad.split("."), "hush", "password", "sign in"):
        assert secret not in logged


@pytest.mark.slow
async def test_every_worker_has_the_keys(tmp_path: Path, issuer: Issuer, upstream: Upstream) -> None:
    rule = f"{{issuer: me, jwksUri: '{issuer.uri}'}}"
    config = tmp_path / "config"
    config.mkdir()
    (config / "mesh.yaml").write_text(documents(upstream.port, rule))
    async with sidecar(tmp_path, config, "--workers", "2") as proxy:
        good = {"authorization": f"Bearer {token(CLAIMS, OLD)}"}
        for _ in range(20):
            client = KeepAlive(proxy.addresses["virtualInbound"])
            assert (await client.request("/", "own:9080", headers=good)).status == 200
            await client.close()
        assert issuer.asked == 1
        metrics = (await proxy.admin("/stats/prometheus")).body.decode()
        assert f'pyproxy_jwks_fetches_total{{result="success",source="{issuer.uri}"}} 1.0' in metrics
