"""AuthorizationPolicy on requests into a workload: a real Envoy with the exported filters beside ours, case by case."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pyproxy.envoy.bootstrap import Process, bootstrap
from pyproxy.istio.loader import load
from pyproxy.snapshot.compile import compile_snapshot
from pyproxy.snapshot.model import Identity, Listening
from pyproxy.telemetry.stats import prometheus_stats, text_stats
from tests.differential.envoy_process import Envoy
from tests.differential.routing_sides import LOG_FIELDS, EchoServer, Outcome, Side
from tests.in_process import worker
from tests.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Spec = Mapping[str, Any]


def ask(path: str = "/", method: str = "GET", host: str = "x", *lines: str) -> str:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"host: {host}", *lines])


def paths(*found: str) -> list[str]:
    return [ask(path) for path in found]


def headed(*found: str | Sequence[str]) -> list[str]:
    """Requests with a header each, or several."""
    return [ask("/", "GET", "x", *([each] if isinstance(each, str) else each)) for each in found]


@dataclass(frozen=True)
class Table:
    """Policies, and what is asked of a workload that has them. PORT is the port it is asked at."""

    policies: Sequence[Spec]
    requests: Sequence[str]
    dry_run: Sequence[int] = field(default=())
    """Which of the policies are only tried out."""


def allow(*rules: Spec) -> Spec:
    return {"rules": list(rules)}


def deny(*rules: Spec) -> Spec:
    return {"action": "DENY", "rules": list(rules)}


def to(**operation: Sequence[str]) -> Spec:
    return {"to": [{"operation": operation}]}


def by(**source: Sequence[str]) -> Spec:
    return {"from": [{"source": source}]}


def when(key: str, *values: str, no: Sequence[str] = ()) -> Spec:
    return {"when": [{"key": key, **({"values": list(values)} if values else {}), **({"notValues": no} if no else {})}]}


METHODS = [ask(method=method) for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")]
PATHS = paths(
    "/",
    "/a",
    "/A",
    "/a/",
    "/ab",
    "/a/b",
    "/b/a",
    "/%61",
    "/a%2Fb",
    "/a%2fb",
    "/a/../b/a",
    "/b/../a",
    "/./a",
    "//a",
    "/a//b",
    "/a?q=/b",
    "/b?q=/a",
    "/a;x=1",
    "/a%20b",
    "/a%3Fb",
    "/a\\b",
    "/..%2fa",
    "/%2e%2e/a",
    "/a%00",
    "/a#b",
    "/a*",
    "/x.css",
    "/deep/er/x.css",
    "/x.css?v=1",
)
SEGMENTS = paths(
    "/foo",
    "/foo/",
    "/foo/bar",
    "/foo/bar/",
    "/foo/bar/baz",
    "/foo//",
    "/foo/bar/baz.txt",
    "/foo/b%41r",
    "/foo/a=b",
    "/foo/a*b",
    "/foo/a;b,c!$&'()+:@",
    "/foo/~tilde_-.",
    "/foo/%20",
    "/foo/a?b=c/d",
    "/foo/a|b",
    "/foo/a%2Fb",
    "/foo/x/end",
    "/foo/x/y/end",
    "/foo/end",
    "/foo/x/end?y",
    "/Foo/x",
    "/x/foo/y",
)
CHARACTERS = paths(*(f"/foo/a{chr(code)}b" for code in range(0x21, 0x7F) if chr(code) not in "#?"))
HOSTS = [
    ask(host=host)
    for host in ("x", "X", "x:80", "x:8080", "x.com", "X.COM", "a.x.com", "x.com:80", "x.com.", "y", "xx", "127.0.0.1")
]
FORWARDED = headed(
    "x-none: 1",
    "x-forwarded-for: 10.1.2.3",
    "x-forwarded-for: 11.1.2.3",
    "x-forwarded-for: 10.1.2.3, 11.1.2.3",
    "x-forwarded-for: 11.1.2.3, 10.1.2.3",
    "x-forwarded-for: 11.1.2.3,10.1.2.3",
    ["x-forwarded-for: 10.1.2.3", "x-forwarded-for: 11.1.2.3"],
    "x-forwarded-for: 10.1.2.999",
    "x-forwarded-for: nonsense",
    "x-forwarded-for: 10.1.2.3:80",
    "x-forwarded-for: fd00::1",
    "x-forwarded-for: [fd00::1]",
    "x-forwarded-for: 127.0.0.1",
    "x-forwarded-for: 10.1.2",
    "x-forwarded-for:",
    "x-forwarded-for: ::ffff:10.1.2.3",
)
LINES = headed(
    "x-none: 1",
    "x-a: one",
    "X-A: one",
    "x-a: ONE",
    "x-a: one two",
    "x-a: two one",
    "x-a:",
    "x-a: *",
    ["x-a: one", "x-a: two"],
    ["x-a: two", "x-a: one"],
    ["x-a: zero", "x-b: one"],
    "x-a: one,two",
)
TREATED = headed(
    "x-none: 1",
    "connection: close",
    "connection: keep-alive",
    "keep-alive: 5",
    "te: trailers",
    "te: gzip",
    "upgrade-insecure-requests: 1",
    "proxy-connection: keep-alive",
    "content-length: 0",
    "content-type: application/json",
    "x-forwarded-proto: https",
    "x-forwarded-client-cert: By=x",
    "x-request-id: 11111111-1111-4111-8111-111111111111",
    "expect: 100-nothing",
    "user-agent: curl",
    "cookie: a=b",
    "authorization: Basic eA==",
    "via: 1.1 x",
    "x-envoy-original-path: /x",
)


def present(name: str) -> Spec:
    return deny(when(f"request.headers[{name}]", "*"))


TREATED_NAMES = (
    *("connection", "keep-alive", "te", "proxy-connection", "content-length", "content-type", "x-forwarded-proto"),
    *("x-forwarded-for", "x-forwarded-client-cert", "x-request-id", "expect", "user-agent", "cookie", "authorization"),
    *("via", "host", ":path", ":method", ":authority", ":scheme", "upgrade", "transfer-encoding"),
    "x-envoy-original-path",
)

TABLES: dict[str, Table] = {
    "nothing said": Table([{}], METHODS),
    "an empty rule allows all": Table([allow({})], METHODS[:3]),
    "an empty rule denies all": Table([deny({})], METHODS[:3]),
    "some methods": Table([allow(to(methods=["GET", "P*", "*E"]))], METHODS),
    "any method": Table([allow(to(methods=["*"]))], METHODS),
    "not these methods": Table([allow(to(notMethods=["GET", "P*"]))], METHODS),
    "both": Table([allow(to(methods=["P*"], notMethods=["PUT"]))], METHODS),
    "a path": Table([deny(to(paths=["/a"]))], PATHS),
    "a path allowed": Table([allow(to(paths=["/a"]))], PATHS),
    "a path's beginning": Table([allow(to(paths=["/a/*"]))], PATHS),
    "a path's end": Table([allow(to(paths=["*.css", "*/a"]))], PATHS),
    "any path": Table([allow(to(paths=["*"]))], PATHS),
    "not these paths": Table([allow(to(notPaths=["/a", "*.css", "/b*"]))], PATHS),
    "{*}": Table([allow(to(paths=["/foo/{*}"]))], SEGMENTS),
    "{*} between": Table([allow(to(paths=["/foo/{*}/end", "/{*}/foo/{*}"]))], SEGMENTS),
    "{**}": Table([allow(to(paths=["/foo/{**}"]))], SEGMENTS),
    "{**}/": Table([allow(to(paths=["/foo/{**}/"]))], SEGMENTS),
    "{**} before": Table([allow(to(paths=["/{**}/end"]))], SEGMENTS),
    "{*} then {**}": Table([allow(to(paths=["/{*}/{**}"]))], SEGMENTS),
    "not a template": Table([allow(to(notPaths=["/foo/{*}"]))], SEGMENTS),
    "denied by a template": Table([deny(to(paths=["/foo/{**}"]))], SEGMENTS),
    "characters of {*}": Table([allow(to(paths=["/foo/{*}"]))], CHARACTERS),
    "characters of {**}": Table([allow(to(paths=["/foo/{**}"]))], CHARACTERS),
    "hosts": Table([allow(to(hosts=["x", "*.x.com", "X.com"]))], HOSTS),
    "hosts with ports": Table([allow(to(hosts=["x:*", "*:80"]))], HOSTS),
    "any host": Table([allow(to(hosts=["*"]))], HOSTS),
    "not these hosts": Table([allow(to(notHosts=["x*"]))], HOSTS),
    "its port": Table([allow(to(ports=["PORT", "1"]))], METHODS[:2]),
    "another port": Table([allow(to(ports=["1"]))], METHODS[:2]),
    "not its port": Table([deny(to(notPorts=["PORT"]))], METHODS[:2]),
    "a port in a condition": Table([deny(when("destination.port", "PORT"))], METHODS[:2]),
    "addresses": Table([allow(by(ipBlocks=["127.0.0.0/8"]))], FORWARDED),
    "other addresses": Table([allow(by(ipBlocks=["10.0.0.0/8", "::/0"]))], FORWARDED),
    "not these addresses": Table([deny(by(notIpBlocks=["127.0.0.1"]))], FORWARDED),
    "clients": Table([allow(by(remoteIpBlocks=["10.0.0.0/8", "fd00::/8"]))], FORWARDED),
    "not these clients": Table([allow(by(notRemoteIpBlocks=["10.0.0.0/8"]))], FORWARDED),
    "clients in a condition": Table([deny(when("remote.ip", "127.0.0.0/8", no=["127.0.0.2"]))], FORWARDED),
    "where to": Table([allow(when("destination.ip", "127.0.0.0/8"))], METHODS[:1]),
    "where else": Table([allow(when("destination.ip", "10.0.0.0/8"))], METHODS[:1]),
    "a header": Table([allow(when("request.headers[X-A]", "one"))], LINES),
    "a header's beginning and end": Table([allow(when("request.headers[x-a]", "one*", "*ONE"))], LINES),
    "a header at all": Table([allow(when("request.headers[x-a]", "*"))], LINES),
    "not this header": Table([allow(when("request.headers[x-a]", no=["one"]))], LINES),
    "no such header": Table([allow(when("request.headers[x-a]", no=["*"]))], LINES),
    "a header, but not so": Table([allow(when("request.headers[x-a]", "one*", no=["*two"]))], LINES),
    **{f"header {name}": Table([present(name)], TREATED) for name in TREATED_NAMES},
    "the whole target": Table(
        [deny(when("request.headers[:path]", "/a?x*"))], paths("/a", "/a?x", "/a?y", "/b/../a?x")
    ),
    "anybody with a name": Table([allow(by(principals=["*"]))], METHODS[:1]),
    "nobody with a name": Table([allow(by(notPrincipals=["*"]))], METHODS[:1]),
    "a namespace": Table([allow(by(namespaces=["*"]))], METHODS[:1]),
    "not this namespace": Table([allow(by(notNamespaces=["default"]))], METHODS[:1]),
    "accounts": Table([allow(by(serviceAccounts=["default/x"]))], METHODS[:1]),
    "not this account": Table([deny(by(notServiceAccounts=["x"]))], METHODS[:1]),
    "trust domains": Table([allow(by(trustDomains=["*"]))], METHODS[:1]),
    "not this trust domain": Table([allow(by(notTrustDomains=["cluster.local", "a*"]))], METHODS[:1]),
    "any token": Table([allow(by(requestPrincipals=["*"]))], METHODS[:1]),
    "no token": Table([deny(by(notRequestPrincipals=["*"]))], METHODS[:1]),
    "a claim": Table([allow(when("request.auth.claims[a][b]", "c"))], METHODS[:1]),
    "not this claim": Table([allow(when("request.auth.claims[a]", no=["c"]))], METHODS[:1]),
    "an audience": Table([deny(when("request.auth.audiences", no=["a"]))], METHODS[:1]),
    "SNI": Table([allow(when("connection.sni", "*"))], METHODS[:1]),
    "no SNI": Table([allow(when("connection.sni", no=["*"]))], METHODS[:1]),
    "another filter's metadata": Table([allow(when("experimental.envoy.filters.a.b[c]", "d", "[e]"))], METHODS[:1]),
    "not that metadata": Table([allow(when("experimental.envoy.filters.a.b[c]", no=["d"]))], METHODS[:1]),
    "denied before allowed": Table(
        [allow(to(paths=["/a*"])), deny(to(methods=["POST"])), deny(to(paths=["/ab"]))],
        [*paths("/", "/a", "/ab"), ask("/a", "POST"), ask("/b", "POST"), ask("/ab", "POST")],
    ),
    "rules in the order of their names": Table(
        [deny(*[to(paths=["/a"]) if number in (2, 10) else to(paths=[f"/{number}"]) for number in range(12)])],
        paths("/a", "/1", "/11", "/2"),
    ),
    "all parts of a rule": Table(
        [
            allow(
                {
                    "from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}, {"source": {"ipBlocks": ["127.0.0.1"]}}],
                    "to": [
                        {"operation": {"methods": ["GET"], "paths": ["/a*"]}},
                        {"operation": {"methods": ["POST"], "paths": ["/b"], "notPaths": ["/a"]}},
                    ],
                    "when": [
                        {"key": "request.headers[x-a]", "values": ["1", "2"]},
                        {"key": "request.headers[x-b]", "notValues": ["*"]},
                    ],
                }
            )
        ],
        [
            ask(path, method, "x", *lines)
            for path in ("/a", "/b")
            for method in ("GET", "POST")
            for lines in ((), ("x-a: 1",), ("x-a: 3",), ("x-a: 2", "x-b:"))
        ],
    ),
    "audited only": Table([{"action": "AUDIT", **to_rules} for to_rules in [allow(to(paths=["/a"]))]], PATHS[:3]),
    "audited, denied, allowed": Table(
        [{"action": "AUDIT", "rules": [{}]}, deny(to(paths=["/a"])), allow(to(paths=["/a*"]))], PATHS[:6]
    ),
    "tried out": Table([deny(to(paths=["/a"])), allow(to(paths=["/A"]))], PATHS[:5], dry_run=(0, 1)),
    "tried out beside what holds": Table(
        [deny(to(paths=["/a"])), deny(to(paths=["/A"])), allow(to(paths=["/a*"])), allow(to(paths=["/a", "/A"]))],
        PATHS[:7],
        dry_run=(0, 2),
    ),
    "an authorizer that is not there": Table(
        [{"action": "CUSTOM", "provider": {"name": "nobody"}, **allow(to(paths=["/a*"]))}, deny(to(paths=["/b*"]))],
        [*PATHS[:7], *paths("/b")],
    ),
    "two authorizers": Table(
        [
            {"action": "CUSTOM", "provider": {"name": name}, "rules": [to(paths=[f"/{name}"])]}
            for name in ("nobody", "somebody")
        ],
        paths("/nobody", "/somebody", "/"),
    ),
    "what is no websocket": Table(
        [deny({})],
        headed(
            ["connection: upgrade", "upgrade: something"],
            ["connection: upgrade", "upgrade: websocket", "sec-websocket-key: x", "sec-websocket-version: 13"],
        ),
    ),
    "websockets": Table(
        [deny(when("request.headers[upgrade]", "websocket"))],
        headed(["connection: upgrade", "upgrade: websocket"], "upgrade: websocket", "x-none: 1"),
    ),
    "gRPC": Table(
        [deny(to(paths=["/a"]))],
        [ask("/a", "POST", "x", "content-type: application/grpc", "te: trailers", "content-length: 0")],
    ),
}


def documents(table: Table, port: int, echo: int, log: Path) -> str:
    """The mesh of one table: whoever reads them has these policies on `port`."""
    found: list[Spec] = [
        {
            "apiVersion": "install.istio.io/v1alpha1",
            "kind": "IstioOperator",
            "metadata": {"name": "mesh"},
            "spec": {
                "meshConfig": {
                    "accessLogFile": str(log),
                    "accessLogEncoding": "JSON",
                    "accessLogFormat": json.dumps(LOG_FIELDS),
                    "defaultConfig": {"tracing": {"sampling": 0}},
                }
            },
        },
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Sidecar",
            "metadata": {"name": "s"},
            "spec": {
                "ingress": [
                    {
                        "port": {"number": port, "name": "http", "protocol": "HTTP"},
                        "bind": "127.0.0.1",
                        "captureMode": "NONE",
                        "defaultEndpoint": f"127.0.0.1:{echo}",
                    }
                ],
                "egress": [{"hosts": ["*/*"]}],
            },
        },
    ]
    found += [
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {
                "name": f"p{number}",
                **({"annotations": {"istio.io/dry-run": "true"}} if number in table.dry_run else {}),
            },
            "spec": spec,
        }
        for number, spec in enumerate(table.policies)
    ]
    return "\n---\n".join(json.dumps(each) for each in found).replace('"PORT"', f'"{port}"')


@dataclass
class Compared:
    """What both sides made of every table."""

    outcomes: Mapping[tuple[str, int], tuple[Outcome, Outcome]]
    statistics: Mapping[str, tuple[Mapping[str, int], Mapping[str, int]]]


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def compared(echo: EchoServer, start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory) -> Compared:
    folder = tmp_path_factory.mktemp("authorization")
    ports = {table: free_port() for table in TABLES}
    listeners, clusters = [], {}
    for number, (name, table) in enumerate(TABLES.items()):
        document = exported(documents(table, ports[name], echo.port, folder / f"envoy-{number}.log"), folder)
        static = document["static_resources"]
        listeners += [each for each in static["listeners"] if each["name"].endswith(f"_{ports[name]}")]
        clusters |= {each["name"]: each for each in static["clusters"]}
    more = {name: document[name] for name in ("node", "stats_config")}
    envoy = start_envoy(listeners, list(clusters.values()), **more)
    outcomes: dict[tuple[str, int], tuple[Outcome, Outcome]] = {}
    statistics: dict[str, tuple[Mapping[str, int], Mapping[str, int]]] = {}
    for number, (name, table) in enumerate(TABLES.items()):
        requests = raw_requests(table)
        theirs = Side(ports[name], folder / f"envoy-{number}.log")
        theirs.ask_all(requests)
        own = free_port()
        home = folder / str(number)
        home.mkdir()
        text = documents(table, own, echo.port, home / "access.log")
        ours, counted = asyncio.run(ask_ours(home, text, own, requests))
        for index, (identifier, _) in enumerate(requests):
            outcomes[name, index] = (
                portless(theirs.outcomes[identifier], ports[name]),
                portless(ours.outcomes[identifier], own),
            )
        prefix = f"http.inbound_127.0.0.1_{ports[name]}.rbac."
        label = f'http_conn_manager_prefix="inbound_127.0.0.1_{ports[name]}"'
        shown = envoy.get_admin(f"/stats?filter={prefix}") + envoy.get_admin(f"/stats/prometheus?filter={prefix}")
        statistics[name] = (of_rbac(shown, prefix, label), counted)
    return Compared(outcomes, statistics)


def exported(text: str, folder: Path) -> Any:
    file = folder / "mesh.yaml"
    file.write_text(text)
    loaded = load([file])
    assert loaded.ok, [str(problem) for problem in loaded.problems if problem.severity == "error"]
    listening = Listening(address="127.0.0.1", outbound_port=0, inbound_port=0, http_proxy_port=None)
    snapshot = compile_snapshot(loaded.documents, Identity(), listening).snapshot
    document: Any = bootstrap(snapshot, Process(admin_port=0))
    return document


async def ask_ours(
    home: Path, text: str, port: int, requests: Sequence[tuple[str, bytes]]
) -> tuple[Side, Mapping[str, int]]:
    async with worker(home, text) as app:
        side = Side(port, home / "access.log")
        asking = asyncio.create_task(asyncio.to_thread(side.ask_all, requests))
        while not asking.done():
            await asyncio.sleep(0.02)
            if app.env.access_log is not None:
                app.env.access_log.flush()
        await asking
        prefix = f"http.inbound_127.0.0.1_{port}.rbac."
        groups = list(app.http_stats.items())
        label = f'http_conn_manager_prefix="inbound_127.0.0.1_{port}"'
        return side, of_rbac("".join([*text_stats(groups), *prometheus_stats(groups)]), prefix, label)


def raw_requests(table: Table) -> list[tuple[str, bytes]]:
    return [
        (f"case-{number}", f"{each}\r\nx-case: case-{number}\r\n\r\n".encode("latin-1"))
        for number, each in enumerate(table.requests)
    ]


def of_rbac(stats: str, prefix: str, label: str) -> Mapping[str, int]:
    """The statistics of one listener's rules that are not 0, under both their names."""
    found: dict[str, int] = {}
    for line in stats.splitlines():
        if line.startswith(prefix):
            name, _, value = line.removeprefix(prefix).partition(": ")
        elif line.startswith("envoy_http_rbac") and label in line:
            family, _, rest = line.replace(label, "").partition("{")
            labels, _, value = rest.partition("} ")
            name = f"{family} {sorted(filter(None, labels.split(',')))}"
        else:
            continue
        if int(value):
            found[name] = int(value)
    return found


def portless(outcome: Outcome, port: int) -> Outcome:
    """The two sides listen at different ports."""
    return Outcome(**json.loads(json.dumps(asdict(outcome)).replace(str(port), "PORT")))


@pytest.mark.parametrize("name", TABLES)
def test_every_request_of_a_table_is_judged_alike(name: str, compared: Compared) -> None:
    different = {
        request: found
        for index, request in enumerate(TABLES[name].requests)
        for theirs, ours in [compared.outcomes[name, index]]
        if (found := list(theirs.differences(ours)))
    }
    assert different == {}, "request: what differs, Envoy's, ours"


@pytest.mark.parametrize("name", TABLES)
def test_every_judgement_is_counted_alike(name: str, compared: Compared) -> None:
    theirs, ours = compared.statistics[name]
    assert ours == theirs


def test_the_tables_hold_what_is_allowed_and_what_is_denied(compared: Compared) -> None:
    statuses = [theirs.status.split(" ")[1] for theirs, _ in compared.outcomes.values()]
    assert len(statuses) >= 150
    assert min(statuses.count("200"), statuses.count("403")) > len(statuses) / 5
