"""Spans of the same requests, from pyproxy and from an Envoy that `pyproxy export envoy` configured, are equal.

Names, kinds, tags, annotations and who is whose parent; identifiers and times are each side's own.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pyproxy.envoy.bootstrap import Process, bootstrap
from pyproxy.snapshot.compile import compile_snapshot, identity_of
from pyproxy.snapshot.model import Identity, Listening
from tests.differential.envoy_process import Envoy
from tests.peers import Gone, Stream
from tests.ports import free_port
from tests.pyproxy_process import PyproxyProcess
from tests.snapshot.documents import documents, entry, mesh, rules
from tests.span_collector import Collector, Seen

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

WEB = "web.default.svc.cluster.local"
PROVIDERS = {
    "zipkin": "zipkin: {service: collector.test, port: 9411}",
    "both": "zipkin: {service: collector.test, port: 9411, traceContextOption: USE_B3_WITH_W3C_PROPAGATION}",
    "otlp": "opentelemetry: {service: collector.test, port: 9411, http: {path: /v1/traces, timeout: 2s}}",
}
ID = "0000000000000001000000000000000a"
REQUESTS = (
    "GET /a?b=1 HTTP/1.1\r\nhost: web\r\nuser-agent: test\r\nx-tag: from the client",
    "GET /status/404 HTTP/1.1\r\nhost: web:80",
    "GET /status/503 HTTP/1.1\r\nhost: web",
    "POST /a HTTP/1.1\r\nhost: web\r\ncontent-length: 3\r\nx-client-trace-id: mine\r\n\r\nabc",
    "GET /old/path?x=y HTTP/1.1\r\nhost: web",
    "GET /elsewhere HTTP/1.1\r\nhost: web",
    "GET /again HTTP/1.1\r\nhost: web",
    "GET /refused HTTP/1.1\r\nhost: web",
    "GET /host HTTP/1.1\r\nhost: web",
    "GET / HTTP/1.1\r\nhost: dead",
    f"GET /{'long/' * 100} HTTP/1.1\r\nhost: web",
    f"GET / HTTP/1.1\r\nhost: web\r\nx-b3-traceid: {ID}\r\nx-b3-spanid: 000000000000000b\r\nx-b3-sampled: 1",
    f"GET / HTTP/1.1\r\nhost: web\r\nx-b3-traceid: {ID}\r\nx-b3-spanid: 000000000000000b\r\nx-b3-sampled: 0",
    f"GET / HTTP/1.1\r\nhost: web\r\nb3: {ID}-000000000000000b-1",
    "GET / HTTP/1.1\r\nhost: web\r\nb3: 0",
    f"GET / HTTP/1.1\r\nhost: web\r\ntraceparent: 00-{ID}-000000000000000b-01\r\ntracestate: a=b",
    f"GET / HTTP/1.1\r\nhost: web\r\ntraceparent: 00-{ID}-000000000000000b-00",
    "GET / HTTP/1.1\r\nhost: web\r\nx-b3-traceid: no\r\nx-b3-spanid: no",
    "GET / HTTP/1.1\r\nhost: web\r\nx-envoy-decorator-operation: an operation",
    "GET /renames HTTP/1.1\r\nhost: web",
    "GET / HTTP/1.1\r\nhost: web\r\nx-envoy-downstream-service-cluster: theirs",
    "POST /grpc HTTP/1.1\r\nhost: web\r\ncontent-type: application/grpc\r\nte: trailers\r\ncontent-length: 0"
    "\r\ngrpc-timeout: 5S",
    "POST /grpc/3 HTTP/1.1\r\nhost: web\r\ncontent-type: application/grpc\r\nte: trailers\r\ncontent-length: 0",
    "POST /grpc/14 HTTP/1.1\r\nhost: web\r\ncontent-type: application/grpc\r\nte: trailers\r\ncontent-length: 0",
    "GET /cut HTTP/1.1\r\nhost: web",
    "GET /close HTTP/1.1\r\nhost: web",
)

LAST = "GET /last HTTP/1.1\r\nhost: web"


class App:
    """The workload: says what the path asks for."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                words = self.path.strip("/").split("/")
                if words[0] == "close":
                    self.close_connection = True
                    return
                self.send_response(int(words[1]) if words[0] == "status" else 503 if words[0] == "again" else 200)
                if words[0] == "renames":
                    self.send_header("x-envoy-decorator-operation", "the server's word")
                if words[0] == "grpc" and len(words) > 1:
                    self.send_header("grpc-status", words[1])
                    self.send_header("grpc-message", "why")
                self.send_header("content-length", "9" if words[0] == "cut" else "2")
                self.end_headers()
                self.wfile.write(b"ok")
                if words[0] == "cut":
                    self.close_connection = True

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    server = App()
    yield server
    server.close()


@dataclass
class Side:
    """One proxy, and the collector that it alone reports to."""

    collector: Collector
    ports: dict[str, int]


def mesh_text(provider: str, app: int, dead: int, collector: int, *more: str) -> str:
    tags = (
        "{plain: {literal: {value: word}}, header: {header: {name: x-tag, defaultValue: none}}, "
        "missing: {header: {name: x-nobody}}, path: {header: {name: ':path'}}, "
        "variable: {environment: {name: NO_SUCH_VARIABLE, defaultValue: unset}}, "
        "format: {formatter: {value: '%REQ(:METHOD)% %RESPONSE_CODE% %REQ(x-nobody)%'}}}"
    )
    routes = (
        "hosts: [web]\n"
        "http:\n"
        "- {match: [{uri: {prefix: /old}}], rewrite: {uri: /new}, route: [{destination: {host: web}}]}\n"
        "- {match: [{uri: {prefix: /elsewhere}}], redirect: {uri: /there}}\n"
        "- {match: [{uri: {prefix: /again}}], retries: {attempts: 2, retryOn: 5xx}, "
        "route: [{destination: {host: web}}]}\n"
        "- {match: [{uri: {prefix: /refused}}], fault: {abort: {httpStatus: 418, percentage: {value: 100}}}, "
        "route: [{destination: {host: web}}]}\n"
        "- {match: [{uri: {prefix: /host}}], rewrite: {authority: other.test}, route: [{destination: {host: web}}]}\n"
        "- {retries: {attempts: 0}, route: [{destination: {host: web}}]}"
    )

    def at(port: int, name: str = "p80") -> str:
        return f"{{address: 127.0.0.1, ports: {{{name}: {port}}}}}"

    return "\n---\n".join(
        (
            entry(WEB, "80/HTTP", endpoints=at(app)),
            entry("dead.default.svc.cluster.local", "80/HTTP", endpoints=at(dead)),
            entry("collector.test", "9411/HTTP", endpoints=at(collector, "p9411")),
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n"
            "metadata: {name: own, labels: {app: shop, version: v1}}\n"
            "spec: {address: 127.0.0.5, locality: here/one/two}",
            entry("own.test", f"{app}/HTTP", more="workloadSelector: {labels: {app: shop}}"),
            rules(routes),
            mesh(f"extensionProviders: [{{name: tracer, {PROVIDERS[provider]}}}]\ndefaultConfig: {{meshId: school}}"),
            "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t, namespace: istio-system}\n"
            "spec: {tracing: [{providers: [{name: tracer}], randomSamplingPercentage: 100, "
            f"customTags: {tags}}}]}}",
            *more,
        )
    )


@pytest.fixture(scope="module", params=list(PROVIDERS))
def sides(
    request: pytest.FixtureRequest,
    app: App,
    start_envoy: Callable[..., Envoy],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Side, Side]]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and never listens
        dead = unused.getsockname()[1]
        collectors = Collector(), Collector()
        envoy = envoy_side(mesh_text(request.param, app.port, dead, collectors[0].port), start_envoy)
        folder: Path = tmp_path_factory.mktemp("pyproxy")
        text = mesh_text(request.param, app.port, dead, collectors[1].port)
        process = PyproxyProcess(folder, text, "--workload", "own")
        ports = {"out": process.outbound, "in": process.ports["virtualInbound"]}
        yield Side(collectors[0], envoy), Side(collectors[1], ports)
        process.close()
        for collector in collectors:
            collector.close()


def envoy_side(text: str, start_envoy: Callable[..., Envoy]) -> dict[str, int]:
    found = documents(text)
    at = Listening(address="127.0.0.1", outbound_port=free_port(), inbound_port=free_port(), http_proxy_port=None)
    document: Any = bootstrap(compile_snapshot(found, identity_of(found, "own"), at).snapshot, Process())
    static = document["static_resources"]
    captures = [each for each in static["listeners"] if each["name"].startswith("virtual")]
    rest = {name: value for name, value in document.items() if name not in ("static_resources", "admin")}
    envoy = start_envoy(captures, static["clusters"], **rest)
    return {"out": envoy.ports["virtualOutbound"], "in": envoy.ports["virtualInbound"]}


def ask(port: int, text: str) -> None:
    """One request on a connection of its own; the client hears all of the answer."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        stream = Stream(connection)
        stream.send(text.encode() + (b"" if text.endswith("abc") else b"\r\n\r\n"))
        try:
            head = stream.until(b"\r\n\r\n").lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            stream.exactly(int(length or 0))
        except Gone:
            pass


Normal = dict[str, object]


def normal(span: Seen) -> Normal:
    """A span without what is each side's own."""
    tags = dict(span.tags)
    return {
        **tags,
        "guid:x-request-id": bool(tags.get("guid:x-request-id")),
        "span name": span.name,
        "span kind": span.kind,
        "span service": span.service,
        "span failed": span.failed,
        "span annotations": span.annotations,
        "span parent": span.parent_id,
    }


@pytest.mark.parametrize("direction", ["out", "in"])
def test_each_request_has_the_same_span(sides: tuple[Side, Side], direction: str, app: App) -> None:
    theirs, ours = (spans_of(side, direction, app.port) for side in sides)
    assert "\n".join(differences(ours, theirs)) == ""
    assert len(ours) == len(theirs)


def differences(ours: Sequence[Normal], theirs: Sequence[Normal]) -> Iterator[str]:
    """What differs, in words: which request, which part, ours and Envoy's."""
    for mine, their in zip(ours, theirs, strict=False):
        for name in mine.keys() | their.keys():
            if mine.get(name) != their.get(name):
                which = their.get("http.url", their["span name"])
                yield f"{which} {name}: {mine.get(name)} instead of {their.get(name)}"


def spans_of(side: Side, direction: str, app: int, asked: Sequence[str] = REQUESTS) -> list[Normal]:
    """The spans of all requests, one after the other."""
    collector = side.collector
    collector.spans.clear()
    for number, text in enumerate((*asked, LAST)):
        if direction == "in":
            text = text.replace("host: web:80", "host: web").replace("host: web", f"host: web:{app}")
        ask(side.ports[direction], text.replace("HTTP/1.1", f"HTTP/1.1\r\nx-number: {number}", 1))
    until = time.monotonic() + 15
    while not any(span.tags.get("http.url", "").endswith("/last") for span in collector.spans):
        assert time.monotonic() < until, collector.refused
        time.sleep(0.05)
    assert collector.refused == []
    return [normal(span) for span in sorted(collector.spans, key=lambda span: span.started)]


# A gateway, whose attempts have spans of their own


GATEWAY_REQUESTS = tuple(text for text in REQUESTS if "x-b3" not in text and "decorator" not in text)


@pytest.mark.parametrize("provider", ["zipkin", "otlp"])
def test_a_gateways_attempts_have_the_same_spans(
    provider: str, app: App, start_envoy: Callable[..., Envoy], tmp_path: Path
) -> None:
    port = free_port()
    gateway = (
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: door}\nspec: {selector: {istio: door}, "
        f"servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ['*']}}]}}"
    )
    routes = rules(
        "hosts: ['*']\ngateways: [door]\nhttp:\n"
        "- {match: [{uri: {prefix: /again}}], retries: {attempts: 2, retryOn: 5xx}, "
        "route: [{destination: {host: web}}]}\n"
        "- {match: [{uri: {prefix: /dead}}], retries: {attempts: 1, retryOn: connect-failure}, "
        "route: [{destination: {host: dead}}]}\n"
        "- {match: [{uri: {prefix: /elsewhere}}], redirect: {uri: /there}}\n"
        "- {retries: {attempts: 0}, route: [{destination: {host: web}}]}",
        name="of-door",
    )
    collectors = Collector(), Collector()
    texts = [mesh_text(provider, app.port, free_port(), each.port, gateway, routes) for each in collectors]
    identity = Identity(labels={"istio": "door"}, gateway=True, workload="door")
    at = Listening(address="127.0.0.1")
    document: Any = bootstrap(compile_snapshot(documents(texts[0]), identity, at).snapshot, Process(admin_port=0))
    static = document["static_resources"]
    (listener,) = (each for each in static["listeners"] if each["name"].endswith(str(port)))
    listener["address"]["socket_address"]["port_value"] = 0
    envoy = start_envoy([listener], static["clusters"], node=document["node"])
    flags = ("--labels", "istio=door", "--workload-name", "door")
    process = PyproxyProcess(tmp_path / "p", texts[1], *flags[:2], command="gateway")
    sides = (
        Side(collectors[0], {"door": envoy.ports[listener["name"]]}),
        Side(collectors[1], {"door": port}),
    )
    asked = (*GATEWAY_REQUESTS, "GET /dead HTTP/1.1\r\nhost: web")
    theirs, ours = (spans_of(side, "door", app.port, asked) for side in sides)
    process.close()
    for spans in (theirs, ours):
        for span in spans:
            for name in ("node_id", "istio.canonical_service", "span service", "upstream_address", "zone"):
                span.pop(name, None)
            span["span parent"] = bool(span["span parent"])
            if span["span kind"] == "CLIENT":
                span.pop("peer.address", None)
    assert "\n".join(differences(ours, theirs)) == ""
    assert len(ours) == len(theirs)
