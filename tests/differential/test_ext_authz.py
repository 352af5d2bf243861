"""Action CUSTOM: the same authorizers behind a real Envoy and behind pyproxy say the same of the same requests.

pyproxy reads Istio's documents; Envoy gets what istiod makes of them (extauthz.go, builder.go). What the authorizer was
asked, what the workload got, the client's answer, the log and the statistics are equal.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pyproxy.envoy.ext_authz import ext_authz_filter
from pyproxy.snapshot.ext_authz import compile_authorizers
from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.registry import Registry
from tests.differential.envoy_process import EXTENSIONS, Envoy, http_listener, loopback
from tests.peers import Headers, split_head, whole_lines
from tests.pyproxy_process import PyproxyProcess
from tests.snapshot.documents import documents as documents_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ADDRESS = "127.0.0.1"
LOG = {
    "path": "%REQ(:PATH)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
}
HANGS = b"hangs"
SLOW = b"slow"
CLOSES = b"closes"


def answer(status: int = 200, *lines: str, body: bytes = b"") -> bytes:
    """An authorizer's."""
    head = "\r\n".join([f"HTTP/1.1 {status} -", *lines, f"content-length: {len(body)}"])
    return head.encode() + b"\r\n\r\n" + body


ALLOW = answer()
DENIAL = answer(
    401,
    "x-deny: 1",
    "x-deny: 2",
    "x-other: o",
    "www-authenticate: Basic",
    "location: /l",
    "set-cookie: a=b",
    "content-type: application/json",
    "server: theirs",
    body=b'{"no": 1}',
)
GENEROUS = answer(
    200,
    "x-up: new",
    "x-up-more: 1",
    "x-up-more: 2",
    "x-old: replaced",
    "x-not: listed",
    "x-ok: fine",
    "x-ok: twice",
    "set-cookie: session=1",
    "x-envoy-auth-headers-to-remove: cookie, X-Gone",
)
PROVIDERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "full": {
        "pathPrefix": "/check",
        "includeRequestHeadersInCheck": ["X-A", "x-pre-*", "*-suf", "cookie", "x-request-id", "content-type"],
        "includeAdditionalHeadersInCheck": {"x-add": "v", "x-a2": "%REQ(X-A)%", "x-pre-1": "ours"},
        "headersToUpstreamOnAllow": ["x-up*", "X-Old"],
        "headersToDownstreamOnAllow": ["x-ok", "set-cookie"],
        "headersToDownstreamOnDeny": ["x-deny", "set-*"],
        "statusOnError": "503",
    },
    "body": {"includeRequestBodyInCheck": {"maxRequestBytes": 10}},
    "partial": {"includeRequestBodyInCheck": {"maxRequestBytes": 10, "allowPartialMessage": True}},
    "raw": {"includeRequestBodyInCheck": {"maxRequestBytes": 10, "packAsBytes": True}},
    "quick": {"timeout": "0.3s"},
    "open": {"timeout": "0.3s", "failOpen": True},
    "nobody": {"port": 9001, "statusOnError": "500"},
    "unported": {"port": 9002},
}


@dataclass(frozen=True)
class Case:
    """One request, and what the authorizer says to it."""

    provider: str = "plain"
    says: bytes = ALLOW
    method: str = "GET"
    path: str = "/guarded?q=1"
    lines: tuple[str, ...] = ()
    body: bytes = b""
    chunked: bool = False
    app: bytes = answer(200, "x-app: 1", body=b"ok")


RICH = (
    "x-a: 1",
    "x-a: 2",
    "authorization: Bearer t",
    "cookie: c=1",
    "x-pre-1: p",
    "x-pre-2: p",
    "x-b-suf: s",
    "x-old: old",
    "x-gone: g",
    "x-request-id: mine",
    "x-up: client's",
    "x-ok: client's",
)
GRPC = ("content-type: application/grpc", "te: trailers")
CASES = {
    "allowed": Case(lines=RICH),
    "allowed, with all that it may say": Case("full", GENEROUS, lines=RICH),
    "allowed, and told what it may know": Case("full", lines=RICH),
    "a 200 with a body": Case(says=answer(body=b"what?")),
    "two cookies, both told": Case("full", lines=("cookie: a=1", "cookie: b=2", "x-A: 1", "x-a: 2")),
    "told of what is empty": Case("full", lines=("x-a:",)),
    "POST": Case(method="POST", body=b"x" * 100),
    "POST in chunks": Case(method="POST", body=b"x" * 100, chunked=True),
    "PUT, denied": Case(says=DENIAL, method="PUT", body=b"x" * 100),
    "OPTIONS": Case(method="OPTIONS"),
    "HEAD": Case(method="HEAD", app=b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    "denied": Case(says=DENIAL, lines=RICH),
    "denied, with what it may say": Case("full", DENIAL, lines=RICH),
    "denied without a word": Case(says=answer(403)),
    "denied with 201": Case(says=answer(201)),
    "denied with 204": Case(says=b"HTTP/1.1 204 -\r\n\r\n"),
    "denied with 302": Case(says=answer(302, "location: /login")),
    "denied with 404": Case("full", answer(404, "x-deny: d", body=b"nothing here")),
    "denied with 429": Case(says=answer(429, "retry-after: 9", body=b"later")),
    "denied with headers to remove": Case(says=answer(403, "x-envoy-auth-headers-to-remove: cookie")),
    "denied, gRPC": Case(says=DENIAL, method="POST", lines=GRPC),
    "denied, gRPC, a few headers": Case("full", DENIAL, method="POST", lines=GRPC),
    "denied with a date": Case(says=answer(403, "date: Sat, 01 Jan 2000 00:00:00 GMT", body=b"no")),
    "an error": Case(says=answer(500, "x-deny: 1", body=b"oh")),
    "503": Case("full", answer(503, body=b"oh")),
    "an error, gRPC": Case(says=answer(500), method="POST", lines=GRPC),
    "no answer": Case(says=CLOSES),
    "nonsense": Case(says=b"this is no HTTP\r\n\r\n"),
    "half an answer": Case(says=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"),
    "too late": Case("quick", HANGS),
    "in time": Case("quick", SLOW),
    "nobody there": Case("nobody"),
    "no such port": Case("unported"),
    "open: an error": Case("open", answer(500), lines=RICH),
    "open: no answer": Case("open", CLOSES),
    "open: too late": Case("open", HANGS, method="POST", body=b"x" * 30),
    "open: denied": Case("open", DENIAL),
    "open: allowed": Case("open"),
    "not asked": Case(path="/free/for?all=1", says=DENIAL),
    "not asked, open": Case("open", path="/free", says=DENIAL),
    "body": Case("body", method="POST", body=b"12345"),
    "body, all that fits": Case("body", method="POST", body=b"1234567890"),
    "body, one too many": Case("body", method="POST", body=b"12345678901"),
    "body, in chunks": Case("body", method="POST", body=b"12345", chunked=True),
    "body, none": Case("body"),
    "body, of length 0": Case("body", method="POST", lines=("content-length: 0",)),
    "body, denied": Case("body", DENIAL, method="POST", body=b"12345"),
    "body, far too large": Case("body", method="POST", body=b"x" * 100_000),
    "body, no text": Case("body", method="POST", body=b"a\xff\xfe\x00\xc3\xa4"),
    "body, packed": Case("raw", method="POST", body=b"12345"),
    "body, packed, no text": Case("raw", method="POST", body=b"a\xff\xfe\x00\xc3\xa4"),
    "body, packed, one too many": Case("raw", method="POST", body=b"12345678901"),
    "body, not asked": Case("body", method="POST", path="/free", body=b"x" * 100),
    "partial": Case("partial", method="POST", body=b"12345"),
    "partial, all that fits": Case("partial", method="POST", body=b"1234567890"),
    "partial, more": Case("partial", method="POST", body=b"1234567890abcde"),
    "partial, much more": Case("partial", method="POST", body=b"x" * 300_000),
    "partial, denied": Case("partial", DENIAL, method="POST", body=b"1234567890abcde"),
}


class Servers:
    """The authorizer and the workload, on a loop of their own. Which case it is the path says: `/c7/...`."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[str, bytes, Headers, bytes]]] = {}
        self.ports: dict[str, int] = {}
        self._cases = list(CASES.values())
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        servers = []
        for name in ("authorizer", "app"):
            server = self._loop.run_until_complete(asyncio.start_server(self._accept(name), ADDRESS, 0))
            servers.append(server)
            self.ports[name] = server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()
        for server in servers:
            server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _accept(self, name: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while await self._serve(name, reader, writer):
                    pass
            except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
                pass
            writer.close()

        return serve

    async def _serve(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line, headers = split_head(await reader.readuntil(b"\r\n\r\n"))
        body = await _read_body(reader, dict(headers))
        found = re.search(rb"/(c(\d+)-\w+)/", line)
        assert found is not None
        self.seen.setdefault(found[1].decode(), []).append((name, line, headers, body))
        case = self._cases[int(found[2])]
        says = case.app if name == "app" else case.says
        if says == HANGS:
            await reader.read(1)
        elif says == SLOW:
            await asyncio.sleep(0.1)
            says = ALLOW
        if says in (HANGS, CLOSES):
            return False
        if line.startswith(b"HEAD"):
            says = says.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        writer.write(says)
        await writer.drain()
        return not says.endswith((b"half", b"no HTTP\r\n\r\n"))


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[bytes, bytes]) -> bytes:
    if b"transfer-encoding" not in headers:
        return await reader.readexactly(int(headers.get(b"content-length", b"0")))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


# Envoy's configuration


def filters(provider: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What istiod makes of one provider and the policy: an RBAC filter that only looks, and ext_authz."""
    free = {"not_rule": {"url_path": {"path": {"safe_regex": {"regex": r"/c\d+-\w+/free.*"}}}}}
    rule = {"permissions": [{"and_rules": {"rules": [free]}}], "principals": [{"any": True}]}
    rbac = {
        "@type": f"{EXTENSIONS}.filters.http.rbac.v3.RBAC",
        "shadow_rules": {"action": "DENY", "policies": {"istio-ext-authz-p-ns[default]-policy[ask]-rule[0]": rule}},
        "shadow_rules_stat_prefix": "istio_ext_authz_",
    }
    key = {"key": "istio_ext_authz_shadow_effective_policy_id"}
    cluster = f"outbound|{provider.get('port', 9000)}||authz.test"
    service: dict[str, Any] = {
        "server_uri": {"uri": "http://authz.test", "cluster": cluster, "timeout": provider.get("timeout", "600s")},
        "path_prefix": provider.get("pathPrefix", ""),
        "authorization_request": {
            "headers_to_add": [
                {"key": name, "value": value}
                for name, value in sorted(provider.get("includeAdditionalHeadersInCheck", {}).items())
            ]
        },
        "authorization_response": {
            **patterns("allowed_upstream_headers", provider.get("headersToUpstreamOnAllow")),
            **patterns("allowed_client_headers", provider.get("headersToDownstreamOnDeny")),
            **patterns("allowed_client_headers_on_success", provider.get("headersToDownstreamOnAllow")),
        },
    }
    authorizer: dict[str, Any] = {
        "@type": f"{EXTENSIONS}.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "http_service": service,
        "failure_mode_allow": provider.get("failOpen", False),
        **patterns("allowed_headers", provider.get("includeRequestHeadersInCheck")),
        "filter_enabled_metadata": {
            "filter": "envoy.filters.http.rbac",
            "path": [key],
            "value": {"string_match": {"prefix": "istio-ext-authz-p"}},
        },
    }
    if "statusOnError" in provider:
        authorizer["status_on_error"] = {"code": int(provider["statusOnError"])}
    body = provider.get("includeRequestBodyInCheck")
    if body is not None:
        authorizer["with_request_body"] = {
            "max_request_bytes": body["maxRequestBytes"],
            "allow_partial_message": body.get("allowPartialMessage", False),
            "pack_as_bytes": body.get("packAsBytes", False),
        }
    return [
        {"name": "envoy.filters.http.rbac", "typed_config": rbac},
        {"name": "envoy.filters.http.ext_authz", "typed_config": authorizer},
    ]


def patterns(field: str, names: list[str] | None) -> dict[str, Any]:
    """As Istio's generateHeaders: nothing for no names."""
    found = []
    for name in names or ():
        if name.startswith("*"):
            kind = {"suffix": name[1:]}
        elif name.endswith("*"):
            kind = {"prefix": name[:-1]}
        else:
            kind = {"exact": name}
        found.append({**kind, "ignore_case": True})
    return {field: {"patterns": found}} if found else {}


def envoy_cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": loopback(port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def exported(provider: Mapping[str, Any], ports: Mapping[str, int]) -> dict[str, Any]:
    """Our own ext_authz filter for it."""
    found = documents_of(documents(provider, Path("log"), ports))
    mesh = mesh_settings(found)
    return ext_authz_filter(compile_authorizers(mesh, Registry(found, mesh)).usable["p"])


def envoy_listener(name: str, chain: list[dict[str, Any]], log: Path) -> dict[str, Any]:
    kind = f"{EXTENSIONS}.access_loggers.file.v3.FileAccessLog"
    retry = {"retry_on": "reset-before-request", "num_retries": 2}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s", "retry_policy": retry}}
    hosts = [{"name": "all", "domains": ["*"], "routes": [route], "include_request_attempt_count": True}]
    return http_listener(
        name,
        [],
        chain,
        server_name="istio-envoy",
        stream_idle_timeout="0s",
        proxy_100_continue=True,
        access_log=[
            {"name": "file", "typed_config": {"@type": kind, "path": str(log), "log_format": {"json_format": LOG}}}
        ],
        route_config={"name": name, "virtual_hosts": hosts},
    )


# pyproxy's documents


def documents(provider: Mapping[str, Any], log: Path, ports: Mapping[str, int]) -> str:
    """A mesh of one workload with one authorizer."""
    mesh = {
        "accessLogFile": str(log),
        "accessLogEncoding": "JSON",
        "accessLogFormat": json.dumps(LOG),
        "defaultConfig": {"tracing": {"sampling": 0}},
        "extensionProviders": [
            {"name": "p", "envoyExtAuthzHttp": {"service": "authz.test", "port": 9000, **provider}},
        ],
    }
    outside = [{"number": number, "name": f"http-{number}", "protocol": "HTTP"} for number in (9000, 9001)]
    where = {"address": ADDRESS, "ports": {"http-9000": ports["authorizer"], "http-9001": 1}}
    rule = {"to": [{"operation": {"notPaths": [f"/c{i}-ours/free*" for i in range(len(CASES))]}}]}
    network = "networking.istio.io/v1"
    found = [
        ("install.istio.io/v1alpha1", "IstioOperator", {"meshConfig": mesh}),
        (network, "WorkloadEntry", {"address": ADDRESS, "labels": {"app": "app"}}),
        (
            network,
            "ServiceEntry",
            {"hosts": ["authz.test"], "resolution": "STATIC", "ports": outside, "endpoints": [where]},
        ),
        (
            "security.istio.io/v1",
            "AuthorizationPolicy",
            {"action": "CUSTOM", "provider": {"name": "p"}, "rules": [rule]},
        ),
    ]
    app = {
        "hosts": ["app.test"],
        "resolution": "STATIC",
        "ports": [{"number": ports["app"], "name": "http", "protocol": "HTTP"}],
        "workloadSelector": {"labels": {"app": "app"}},
    }
    texts = [
        {"apiVersion": version, "kind": kind, "metadata": {"name": f"{kind.lower()}-{index}"}, "spec": spec}
        for index, (version, kind, spec) in enumerate([*found, (network, "ServiceEntry", app)])
    ]
    return "\n---\n".join(json.dumps(text) for text in texts)


# Both


@dataclass
class Seen:
    """What came of one case."""

    answer: tuple[int, Headers, bytes] = (0, [], b"")
    servers: list[tuple[str, bytes, Headers, bytes]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)


_HIDDEN = re.compile(rb"x-envoy-peer-metadata(-id)?|x-envoy-decorator-operation|x-b3-.*")
_MASKED = {b"date", b"x-envoy-upstream-service-time", b"x-request-id"}


def masked(headers: Headers) -> Headers:
    """In order of name; without what only one of the two has been told to write."""
    shown = [(name, b"*" if name in _MASKED else value) for name, value in headers if not _HIDDEN.fullmatch(name)]
    return sorted(shown)


class Side:
    """One proxy for each provider."""

    def __init__(self, name: str, ports: Mapping[str, int], logs: Mapping[str, Path], servers: Servers) -> None:
        self.name = name
        self.ports = ports
        self.logs = logs
        self.servers = servers

    async def ask(self, index: int, case: Case) -> Seen:
        """One case."""
        mark = f"c{index}-{self.name}"
        reader, writer = await asyncio.open_connection(ADDRESS, self.ports[case.provider])
        lines = [
            f"{case.method} /{mark}{case.path} HTTP/1.1",
            f"host: app.test:{self.servers.ports['app']}",
            *case.lines,
        ]
        body = case.body
        if case.chunked:
            lines.append("transfer-encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        elif body:
            lines.append(f"content-length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        seen = Seen()
        async with asyncio.timeout(15):
            line, headers = split_head(await reader.readuntil(b"\r\n\r\n"))
            status = int(line.split(b" ")[1])
            shown = dict(headers)
            got = b""
            if case.method != "HEAD" and status != 204:
                got = await _read_body(reader, shown)
        writer.close()
        seen.answer = status, masked(headers), got
        seen.servers = [
            (name, line.replace(mark.encode(), b"c"), masked(headers), body)
            for name, line, headers, body in self.servers.seen.get(mark, [])
        ]
        return seen

    def read_logs(self, cases: Mapping[int, Seen]) -> None:
        """Add what was logged of each."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            lines = [json.loads(line) for log in self.logs.values() for line in whole_lines(log)]
            if len(lines) >= len(cases):
                break
            time.sleep(0.1)
        for line in lines:
            index = int(re.search(r"/c(\d+)-", line["path"])[1])  # type: ignore[index]
            cases[index].log.append({key: value for key, value in line.items() if key != "path"})


def statistics(admin: int, prefix: str) -> dict[str, int]:
    """What authorization counts at one listener."""
    connection = http.client.HTTPConnection(ADDRESS, admin, timeout=10)
    connection.request("GET", f"/stats?filter=^http.{re.escape(prefix)}.(ext_authz|rbac)")
    text = connection.getresponse().read().decode()
    connection.close()
    found = (line.rpartition(": ") for line in text.splitlines())
    return {name.removeprefix(f"http.{prefix}."): int(value) for name, _, value in found}


@dataclass
class Compared:
    """All cases through both."""

    seen: dict[str, tuple[Seen, Seen]]
    stats: dict[str, tuple[dict[str, int], dict[str, int]]]
    exported: dict[str, Seen]
    """Envoy once more, under what `pyproxy export envoy` makes of the provider."""


@pytest.fixture(scope="module")
def compared(start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    folder = tmp_path_factory.mktemp("ext_authz")
    servers = Servers()
    processes: dict[str, PyproxyProcess] = {}
    try:
        unread = folder / "exported.log"
        logs = {side: {name: folder / f"{side}-{name}.log" for name in PROVIDERS} for side in ("envoy", "ours")}
        for name, provider in PROVIDERS.items():
            text = documents(provider, logs["ours"][name], servers.ports)
            processes[name] = PyproxyProcess(folder / name, text, "--app-address", ADDRESS)
        envoy = start_envoy(
            [
                *(envoy_listener(name, filters(each), logs["envoy"][name]) for name, each in PROVIDERS.items()),
                *(
                    envoy_listener(f"exported-{name}", [filters(each)[0], exported(each, servers.ports)], unread)
                    for name, each in PROVIDERS.items()
                ),
            ],
            [
                envoy_cluster("app", servers.ports["app"]),
                envoy_cluster("outbound|9000||authz.test", servers.ports["authorizer"]),
                envoy_cluster("outbound|9001||authz.test", 1),
            ],
        )
        ports = {name: process.ports["virtualInbound"] for name, process in processes.items()}
        sides = (
            Side("envoy", envoy.ports, logs["envoy"], servers),
            Side("ours", ports, logs["ours"], servers),
        )
        again = {name: envoy.ports[f"exported-{name}"] for name in PROVIDERS}
        found = [asyncio.run(_run(side)) for side in sides]
        export = asyncio.run(_run(Side("exported", again, {}, servers)))
        for side, seen in zip(sides, found, strict=True):
            side.read_logs(seen)
        stats = {
            name: (
                statistics(envoy.admin_port, name),
                statistics(processes[name].ports["admin"], "inbound_0.0.0.0_15006"),
            )
            for name in PROVIDERS
        }
        seen = {name: (found[0][index], found[1][index]) for index, name in enumerate(CASES)}
        yield Compared(seen, stats, {name: export[index] for index, name in enumerate(CASES)})
    finally:
        for process in processes.values():
            process.close()
        servers.close()


async def _run(side: Side) -> dict[int, Seen]:
    turns = asyncio.Semaphore(4)

    async def one(index: int, case: Case) -> Seen:
        async with turns:
            return await side.ask(index, case)

    found = await asyncio.gather(*(one(index, case) for index, case in enumerate(CASES.values())))
    return dict(enumerate(found))


@pytest.mark.parametrize("name", CASES)
def test_the_same_is_asked_and_answered(name: str, compared: Compared) -> None:
    theirs, ours = compared.seen[name]
    if CASES[name].says == CLOSES:  # we ask once more, on a new connection: docs/decisions/0004
        ours.servers[:] = ours.servers[-len(theirs.servers) :]
    assert ours.servers == theirs.servers
    assert ours.answer == theirs.answer
    assert ours.log == theirs.log
    assert len(ours.log) == 1


@pytest.mark.parametrize("name", CASES)
def test_the_export_does_the_same(name: str, compared: Compared) -> None:
    theirs, _ = compared.seen[name]
    assert compared.exported[name].servers == theirs.servers
    assert compared.exported[name].answer == theirs.answer


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_same_is_counted(name: str, compared: Compared) -> None:
    theirs, ours = compared.stats[name]
    names = [f"ext_authz.{each}" for each in ("ok", "denied", "error", "disabled", "failure_mode_allowed")]
    names += [f"rbac.istio_ext_authz_.shadow_{each}" for each in ("allowed", "denied")]
    assert {each: ours[each] for each in names} == {each: theirs[each] for each in names}
