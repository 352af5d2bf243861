"""What the tests of span trees share: an application that serves and asks, providers of tracing, and documents."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.snapshot.documents import entry, mesh

PROVIDERS = {
    "zipkin": "zipkin: {service: spans.test, port: 9411}",
    "both": "zipkin: {service: spans.test, port: 9411, traceContextOption: USE_B3_WITH_W3C_PROPAGATION}",
    "otlp": "opentelemetry: {service: spans.test, port: 9411, http: {path: /v1/traces}}",
}
PASSED_ON = ("x-request-id", "b3", "traceparent", "tracestate", "x-b3-")


class Application:
    """Serves; where it has a `next`, asks that first and hands on the headers that tracing needs."""

    def __init__(self) -> None:
        self.next = 0
        self.forgets = False
        application = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if application.next:
                    sent = {k: v for k, v in self.headers.items() if k.lower().startswith(PASSED_ON)}
                    ask(application.next, "back", {} if application.forgets else sent)
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def ask(port: int, host: str, headers: dict[str, str], path: str = "/") -> int:
    """The status of the answer to one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={**headers, "host": host})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def workload(name: str) -> str:
    """A WorkloadEntry on this machine."""
    return (
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n"
        f"metadata: {{name: {name}, labels: {{app: {name}}}}}\nspec: {{address: 127.0.0.1}}"
    )


def behind(name: str, inbound: int, application: int) -> list[str]:
    """A service `name` at its sidecar's port `inbound`, with the application at another."""
    ingress = (
        f"apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: {name}}}\n"
        f"spec: {{workloadSelector: {{labels: {{app: {name}}}}}, "
        f"ingress: [{{port: {{number: {inbound}, name: http, protocol: HTTP}}, bind: 127.0.0.1, "
        f"captureMode: NONE, defaultEndpoint: '127.0.0.1:{application}'}}]}}"
    )
    where = f"{{address: 127.0.0.1, ports: {{p80: {inbound}}}}}"
    return [workload(name), ingress, entry(name, "80/HTTP", endpoints=where)]


def reporting(provider: str, collector: int) -> list[str]:
    """Every request makes a span, which goes to a collector at a port."""
    return [
        entry("spans.test", "9411/HTTP", endpoints=f"{{address: 127.0.0.1, ports: {{p9411: {collector}}}}}"),
        mesh(f"extensionProviders: [{{name: tracer, {PROVIDERS[provider]}}}]"),
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t, namespace: istio-system}\n"
        "spec: {tracing: [{providers: [{name: tracer}], randomSamplingPercentage: 100}]}",
    ]
