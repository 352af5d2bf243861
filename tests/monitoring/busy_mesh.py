"""Two sidecars that call each other, and traffic that gives every panel of the dashboards something to show.

Both workloads, `reviews-v1` and `ratings-v1`, serve HTTP, gRPC and TCP and ask the other for it, over mutual TLS.
Beside the mesh: `flaky` with a sick host, `busy` with a full breaker, `gone` that nobody listens for.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import grpc

from tests.certificates import Authority
from tests.pyproxy_process import PyproxyProcess

SUBNET = f"127.77.{os.getpid() % 250 + 1}"
"""So that runs side by side do not meet."""
SERVICES = {"reviews": f"{SUBNET}.1", "ratings": f"{SUBNET}.2"}

MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {{number: 9080, name: http, protocol: HTTP}}
  - {{number: 9090, name: grpc, protocol: GRPC}}
  - {{number: 9000, name: tcp, protocol: TCP}}
  workloadSelector: {{labels: {{app: {name}}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}-v1}}
spec: {{address: {address}, ports: {{tcp: 9001}}, labels: {{app: {name}, version: v1}}, serviceAccount: {name}}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}}}
spec:
  workloadSelector: {{labels: {{app: {name}}}}}
  ingress:
  - {{port: {{number: 9080, name: http, protocol: HTTP}}, captureMode: NONE, defaultEndpoint: '127.0.0.1:{http}'}}
  - {{port: {{number: 9090, name: grpc, protocol: GRPC}}, captureMode: NONE, defaultEndpoint: '127.0.0.1:{grpc}'}}
  - {{port: {{number: 9001, name: tcp, protocol: TCP}}, captureMode: NONE, defaultEndpoint: '127.0.0.1:{tcp}'}}
  egress:
  - port: {{number: 9000, name: tcp, protocol: TCP}}
    captureMode: NONE
    hosts: [./{other}.default.svc.cluster.local]
  - hosts: [./*]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{name}]
  http:
  - match: [{{uri: {{prefix: /delayed}}}}]
    fault: {{delay: {{percentage: {{value: 100}}, fixedDelay: 0.02s}}}}
    route: [{{destination: {{host: {name}, port: {{number: 9080}}}}}}]
  - match: [{{uri: {{prefix: /aborted}}}}]
    fault: {{abort: {{percentage: {{value: 100}}, httpStatus: 500}}}}
    route: [{{destination: {{host: {name}, port: {{number: 9080}}}}}}]
  - match: [{{uri: {{prefix: /slow/1}}}}]
    timeout: 0.1s
    route: [{{destination: {{host: {name}, port: {{number: 9080}}}}}}]
  - match: [{{uri: {{prefix: /slow/2}}}}]
    retries: {{attempts: 1, perTryTimeout: 0.05s, retryOn: 5xx}}
    route: [{{destination: {{host: {name}, port: {{number: 9080}}}}}}]
  - match: [{{uri: {{prefix: /t/}}}}]
    route: [{{destination: {{host: {name}, port: {{number: 9090}}}}}}]
  - retries: {{attempts: 1, retryOn: 5xx}}
    route: [{{destination: {{host: {name}, port: {{number: 9080}}}}}}]
---
"""
AROUND = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default}}
spec: {{mtls: {{mode: PERMISSIVE}}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: no-secrets}}
spec: {{action: DENY, rules: [{{to: [{{operation: {{paths: [/secret], ports: ['9080']}}}}]}}]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: flaky}}
spec:
  hosts: [flaky.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {well}}}}}, {{address: 127.0.0.1, ports: {{http: {sick}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: flaky}}
spec:
  host: flaky.test
  trafficPolicy:
    outlierDetection: {{consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 300s, maxEjectionPercent: 100}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: flaky}}
spec:
  hosts: [flaky.test]
  http: [{{retries: {{attempts: 2, retryOn: 5xx}}, route: [{{destination: {{host: flaky.test}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: busy}}
spec:
  hosts: [busy.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {well}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: busy}}
spec:
  host: busy.test
  trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: 1}}, http: {{http1MaxPendingRequests: 1}}}}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: gone}}
spec:
  hosts: [gone.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: 1}}}}]
---
"""


class _Pages(BaseHTTPRequestHandler):
    """`/status/404` gets that status, `/slow/0.5` takes so many seconds; a sick server answers 503."""

    protocol_version = "HTTP/1.1"
    sick = False

    def do_GET(self) -> None:
        what, _, value = self.path.lstrip("/").partition("/")
        if what == "slow":
            time.sleep(float(value))
        status = int(value) if what == "status" else 503 if self.sick else 200
        self.send_response(status)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"pages")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the sidecars count."""


class _SickPages(_Pages):
    sick = True


class _TcpEcho(BaseRequestHandler):
    def handle(self) -> None:
        with suppress(OSError):
            while data := self.request.recv(4096):
                self.request.sendall(data)


class _GrpcEcho(grpc.GenericRpcHandler):  # type: ignore[misc]
    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda message, _: message)


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, which the timeouts below make happen."""


class _Tcp(ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def _serving(server: _Http | _Tcp) -> Iterator[int]:
    """The port of a server that runs in a thread."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _grpc() -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(4), handlers=[_GrpcEcho()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


@dataclass
class BusyMesh:
    """The two sidecars by service, and what their traffic can do besides."""

    proxies: dict[str, PyproxyProcess]
    authority: Authority
    folder: Path

    def write_certificates(self, service: str) -> Path:
        """New ones, which the sidecar takes up by itself."""
        identity = f"spiffe://cluster.local/ns/default/sa/{service}"
        return self.authority.workload(self.folder / f"certs-{service}", identity)

    def targets(self) -> list[dict[str, Any]]:
        """What to scrape, as static_configs."""
        return [
            {
                "targets": [f"{SERVICES[name]}:{proxy.ports['metrics']}"],
                "labels": {"namespace": "default", "app": name, "version": "v1"},
            }
            for name, proxy in self.proxies.items()
        ]

    def reload(self) -> None:
        """Documents with an error, and good ones again."""
        for proxy in self.proxies.values():
            document = proxy.folder / "config" / "mesh.yaml"
            good = document.read_text()
            document.write_text(good + "apiVersion: networking.istio.io/v1\nkind: VirtualService\nspec: {nothing: 1}\n")
            time.sleep(1)
            document.write_text(good + "# again\n")

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """Of every kind, until left."""
        stop = threading.Event()
        ends: list[Callable[[threading.Event], None]] = []
        for service, proxy in self.proxies.items():
            other = next(name for name in SERVICES if name != service)
            outbound = (SERVICES[service], proxy.outbound)
            ends.append(lambda stop, at=outbound, other=other: _visit(stop, at, other))
            ends.append(lambda stop, at=outbound, other=other: _call(stop, at, other))
            ends.append(lambda stop, at=(SERVICES[service], 9000): _talk(stop, at))
            ends.append(lambda stop, at=(SERVICES[service], 9080): _visit_from_outside(stop, at))
            ends += [lambda stop, at=outbound: _fill(stop, at)] * 4
        threads = [threading.Thread(target=end, args=(stop,)) for end in ends]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()


@contextmanager
def busy_mesh(folder: Path) -> Iterator[BusyMesh]:
    """Started and quiet."""
    with ExitStack() as stack:
        well = stack.enter_context(_serving(_Http(("127.0.0.1", 0), _Pages)))
        sick = stack.enter_context(_serving(_Http(("127.0.0.1", 0), _SickPages)))
        documents = AROUND.format(well=well, sick=sick)
        for (name, address), other in zip(SERVICES.items(), reversed(SERVICES), strict=True):
            ports = {
                "http": stack.enter_context(_serving(_Http(("127.0.0.1", 0), _Pages))),
                "tcp": stack.enter_context(_serving(_Tcp(("127.0.0.1", 0), _TcpEcho))),
                "grpc": stack.enter_context(_grpc()),
            }
            documents += MESH.format(name=name, address=address, other=other, **ports)
        mesh = BusyMesh({}, Authority("mesh"), folder)
        for name, address in SERVICES.items():
            flags = ("--workload", f"{name}-v1", "--address", address, "--certs", str(mesh.write_certificates(name)))
            mesh.proxies[name] = PyproxyProcess(folder / name, documents, *flags)
            stack.callback(mesh.proxies[name].close)
        yield mesh


# Traffic

Address = tuple[str, int]
PAUSE = 0.05
PATHS = ("/", "/", "/", "/status/404", "/status/503", "/delayed", "/aborted", "/slow/1", "/slow/2", "/secret")


_STRANGER = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Wants mutual TLS and has no certificate."""
_STRANGER.check_hostname = False
_STRANGER.verify_mode = ssl.CERT_NONE
_STRANGER.set_alpn_protocols(["istio"])


def _get(at: Address, host: str, path: str) -> int:
    connection = http.client.HTTPConnection(*at, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def _visit(stop: threading.Event, at: Address, other: str) -> None:
    while not stop.is_set():
        for path in PATHS:
            _get(at, other, path)
        for host in ("flaky.test", "flaky.test", "gone.test"):
            _get(at, host, "/")


def _visit_from_outside(stop: threading.Event, at: Address) -> None:
    """Without a certificate, which PERMISSIVE allows."""
    while not stop.wait(PAUSE):
        _get(at, "anybody", "/")
        with suppress(OSError), socket.create_connection(at, 2) as plain, _STRANGER.wrap_socket(plain) as stranger:
            stranger.recv(100)


def _fill(stop: threading.Event, at: Address) -> None:
    while not stop.is_set():
        if _get(at, "busy.test", "/slow/0.3") == 503:
            stop.wait(PAUSE)


def _call(stop: threading.Event, at: Address, other: str) -> None:
    options = [("grpc.default_authority", other), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"{at[0]}:{at[1]}", options=options) as channel:
        while not stop.wait(PAUSE):
            channel.unary_unary("/t/Echo")(b"hello")


def _talk(stop: threading.Event, at: Address) -> None:
    while not stop.wait(PAUSE):
        with socket.create_connection(at, 5) as connection:
            connection.sendall(b"hello")
            assert connection.recv(5) == b"hello"
