"""Traffic of programs that know nothing of the proxy, caught by iptables in network namespaces that the test makes.

Two namespaces joined by a cable: "mesh" holds a workload, its proxy and the rules; "outside" holds everybody else. The
workload listens on 127.0.0.1 alone, and the service that it calls has an address that exists nowhere: whatever gets
through went through the proxy.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

# Addresses set aside for benchmarks of network devices (RFC 2544): nobody's.
MESH, OUTSIDE, VIRTUAL = "198.18.0.1", "198.18.0.2", "198.19.0.80"
DATABASE = "198.19.0.33"
PROXY_USER = 1337

DOCUMENTS = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shop}}
spec:
  hosts: [shop.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 8080, name: http, protocol: HTTP}}]
  workloadSelector: {{labels: {{app: shop}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: shop}}
spec: {{address: {MESH}, labels: {{app: shop}}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: reviews}}
spec:
  hosts: [reviews.default.svc.cluster.local]
  addresses: [{VIRTUAL}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints:
  - {{address: {OUTSIDE}, ports: {{http: 9081}}, labels: {{version: v1}}}}
  - {{address: {OUTSIDE}, ports: {{http: 9082}}, labels: {{version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews}}
spec:
  host: reviews
  subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews}}
spec:
  hosts: [reviews]
  http:
  - match: [{{headers: {{end-user: {{exact: jason}}}}}}]
    route: [{{destination: {{host: reviews, subset: v2}}}}]
  - route: [{{destination: {{host: reviews, subset: v1}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: db}}
spec:
  hosts: [db.default.svc.cluster.local]
  addresses: [{DATABASE}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 3306, name: mysql, protocol: MySQL}}]
  endpoints:
  - {{address: {OUTSIDE}, ports: {{mysql: 7071}}, labels: {{version: v1}}}}
  - {{address: {OUTSIDE}, ports: {{mysql: 7072}}, labels: {{version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: db}}
spec:
  host: db
  subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: db}}
spec:
  hosts: [db]
  tcp:
  - match: [{{destinationSubnets: [198.19.0.0/24], port: 3306}}]
    route:
    - {{destination: {{host: db, subset: v1}}, weight: 50}}
    - {{destination: {{host: db, subset: v2}}, weight: 50}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: secure}}
spec:
  hosts: [one.secure.test, two.secure.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 443, name: tls, protocol: TLS}}]
  endpoints: [{{address: {OUTSIDE}, ports: {{tls: 7071}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: secure}}
spec:
  hosts: [two.secure.test]
  tls:
  - match: [{{sniHosts: [two.secure.test]}}]
    route: [{{destination: {{host: db, subset: v2, port: {{number: 3306}}}}}}]
"""

# A server that speaks first: its name, and what it then hears as it is. Arguments: name, address, port.
GREETING = """
import socketserver, sys
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(sys.argv[1].encode() + b"\\n")
        self.request.recv(65536)
socketserver.ThreadingTCPServer((sys.argv[2], int(sys.argv[3])), Handler).serve_forever()
"""

# Hears a line; with a server name it says first what TLS says first. Arguments: address, port, server name or nothing.
LISTENER = """
import socket, ssl, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as connection:
    if sys.argv[3]:
        outgoing = ssl.MemoryBIO()
        try:
            ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=sys.argv[3]).do_handshake()
        except ssl.SSLWantReadError:
            connection.sendall(outgoing.read())
    print(connection.makefile().readline().strip())
"""

# A server that tells its name and what it was asked. Arguments: name, address, port.
SERVER = """
import http.server, json, sys
name, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"name": name, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((address, port), Handler).serve_forever()
"""

# A server that says every line backwards. Arguments: address, port.
BACKWARDS = """
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.rstrip()[::-1] + b"\\n")
socketserver.ThreadingTCPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""

# One request; prints the answer as JSON. Arguments: address, port, headers as JSON.
CLIENT = """
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10)
connection.request("GET", sys.argv[4], headers=json.loads(sys.argv[3]))
response = connection.getresponse()
body = response.read().decode()
print(json.dumps({"status": response.status, "headers": dict(response.getheaders()), "body": body}))
"""

# Sends one line and prints the line that comes back. Arguments: address, port, line.
TCP_CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as connection:
    connection.sendall(sys.argv[3].encode() + b"\\n")
    print(connection.makefile().readline().strip())
"""


@dataclass
class Answer:
    """What a client got. body is the server's JSON where it was JSON, else text."""

    status: int
    headers: dict[str, str]
    body: Any


class Namespace:
    """A network namespace and what the test started in it."""

    def __init__(self, name: str, processes: contextlib.ExitStack) -> None:
        self.name = name
        self._processes = processes

    def run(self, *command: str) -> str:
        """Standard output of a command in the namespace. Raises CalledProcessError."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *command], capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def start(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        """A process that lives until the test ends."""
        process = subprocess.Popen(["ip", "netns", "exec", self.name, *command], **options)
        self._processes.callback(_end, process)
        return process

    def serve(self, program: str, *arguments: str) -> None:
        self.start(sys.executable, "-c", program, *arguments)

    def get(self, address: str, port: int, path: str = "/", **headers: str) -> Answer:
        """One plain HTTP request from a program in the namespace that knows no proxy."""
        named = json.dumps({name.replace("_", "-"): value for name, value in headers.items()})
        answer = json.loads(self.run(sys.executable, "-c", CLIENT, address, str(port), named, path))
        with contextlib.suppress(ValueError):
            answer["body"] = json.loads(answer["body"])
        return Answer(**answer)

    def pyproxy(self, *arguments: str) -> str:
        """Standard output of a pyproxy command."""
        return self.run(sys.executable, "-m", "pyproxy", *arguments)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)


def _need(programs: tuple[str, ...]) -> None:
    if os.geteuid() != 0:
        pytest.skip("LOUD SKIP: network namespaces need root")
    if absent := [program for program in programs if shutil.which(program) is None]:
        pytest.skip(f"LOUD SKIP: not installed: {', '.join(absent)}")


@pytest.fixture(scope="module")
def namespaces() -> Iterator[tuple[Namespace, Namespace]]:
    """mesh and outside, joined by a cable; the way to everywhere leads from mesh to outside."""
    _need(("ip", "iptables-save", "iptables-restore", "setpriv"))
    names = [f"pyproxy-{os.getpid()}-{side}" for side in ("mesh", "outside")]
    ends = [f"px{os.getpid()}{side}" for side in "mo"]
    with contextlib.ExitStack() as stack:
        try:
            for name in names:
                _ip("netns", "add", name)
                stack.callback(_ip, "netns", "del", name)
            _ip("link", "add", ends[0], "netns", names[0], "type", "veth", "peer", "name", ends[1], "netns", names[1])
        except subprocess.CalledProcessError as error:
            pytest.skip(f"LOUD SKIP: no network namespaces here: {error.stderr.decode().strip()}")
        for name, end, address in zip(names, ends, (MESH, OUTSIDE), strict=True):
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "address", "add", f"{address}/24", "dev", end)
            _ip("-n", name, "link", "set", end, "up")
        _ip("-n", names[0], "route", "add", "default", "via", OUTSIDE)
        processes = stack.enter_context(contextlib.ExitStack())
        yield Namespace(names[0], processes), Namespace(names[1], processes)


@pytest.fixture(scope="module")
def captured(namespaces: tuple[Namespace, Namespace]) -> Iterator[tuple[Namespace, Namespace]]:
    """The same, with servers on both sides, the proxy beside the workload, and the rules in force."""
    mesh, outside = namespaces
    mesh.serve(SERVER, "shop", "127.0.0.1", "8080")
    outside.serve(SERVER, "reviews v1", OUTSIDE, "9081")
    outside.serve(SERVER, "reviews v2", OUTSIDE, "9082")
    outside.serve(SERVER, "stranger", OUTSIDE, "7777")
    outside.serve(BACKWARDS, OUTSIDE, "7070")
    outside.serve(GREETING, "database v1", OUTSIDE, "7071")
    outside.serve(GREETING, "database v2", OUTSIDE, "7072")
    # Not pytest's tmp_path, which only root may enter.
    with tempfile.TemporaryDirectory() as folder:
        _start_proxy(mesh, Path(folder))
        _wait_for(mesh, "127.0.0.1", 8080)
        for port in (9081, 9082, 7777, 7070, 7071, 7072):
            _wait_for(outside, OUTSIDE, port)
        mesh.pyproxy("iptables", "apply", "--proxy-uid", str(PROXY_USER), "--proxy-gid", str(PROXY_USER))
        yield mesh, outside


def _start_proxy(mesh: Namespace, folder: Path) -> None:
    documents, ready, log = (folder / name for name in ("mesh.yaml", "ready.json", "proxy.log"))
    documents.write_text(DOCUMENTS)
    for path in (folder, documents):
        os.chown(path, PROXY_USER, PROXY_USER)
    # The proxy is another user than the workload: that is how the rules tell them apart. It may read what root may,
    # because the interpreter that runs this test may lie in root's home.
    capability = "-all,+dac_read_search"
    identity = (f"--reuid={PROXY_USER}", f"--regid={PROXY_USER}", "--clear-groups")
    command = ("setpriv", *identity, f"--inh-caps={capability}", f"--ambient-caps={capability}")
    options = ("--config", str(documents), "--workload", "shop", "--ready-file", str(ready))
    with log.open("wb") as output:
        proxy = mesh.start(*command, sys.executable, "-m", "pyproxy", "run", *options, stderr=output, stdout=output)
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert proxy.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def _wait_for(namespace: Namespace, address: str, port: int) -> None:
    probe = f"import socket; socket.create_connection(({address!r}, {port}), timeout=1)"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.CalledProcessError):
            namespace.run(sys.executable, "-c", probe)
            return
        time.sleep(0.1)
    pytest.fail(f"nobody listens on {address}:{port}")


def test_a_call_to_a_virtual_address_is_routed_by_its_virtual_service(captured: tuple[Namespace, Namespace]) -> None:
    mesh, _ = captured
    assert mesh.get(VIRTUAL, 80, Host="reviews").body["name"] == "reviews v1"
    assert mesh.get(VIRTUAL, 80, Host="reviews", end_user="jason").body["name"] == "reviews v2"


def test_an_outgoing_call_carries_what_a_sidecar_adds(captured: tuple[Namespace, Namespace]) -> None:
    mesh, _ = captured
    answer = mesh.get(VIRTUAL, 80, Host="reviews")
    assert answer.status == 200
    assert answer.headers["server"] == "envoy"
    assert "x-request-id" in answer.body["headers"]


def test_a_call_to_the_workload_from_outside_comes_in_through_the_proxy(captured: tuple[Namespace, Namespace]) -> None:
    _, outside = captured
    answer = outside.get(MESH, 8080, Host="shop")
    assert (answer.status, answer.body["name"]) == (200, "shop")
    assert answer.headers["server"] == "istio-envoy"
    assert "x-request-id" in answer.body["headers"]


def test_an_unknown_destination_is_reached_where_it_was_addressed(captured: tuple[Namespace, Namespace]) -> None:
    mesh, _ = captured
    assert mesh.get(OUTSIDE, 7777, Host="stranger.example").body["name"] == "stranger"


def test_what_is_not_http_is_passed_on_untouched(captured: tuple[Namespace, Namespace]) -> None:
    mesh, _ = captured
    printed = mesh.run(sys.executable, "-c", TCP_CLIENT, OUTSIDE, "7070", "desserts")
    assert printed.strip() == "stressed"


def test_a_tcp_route_divides_connections_to_a_server_that_speaks_first(captured: tuple[Namespace, Namespace]) -> None:
    mesh, _ = captured
    greeted = {mesh.run(sys.executable, "-c", LISTENER, DATABASE, "3306", "").strip() for _ in range(16)}
    assert greeted == {"database v1", "database v2"}


@pytest.mark.parametrize(("name", "expected"), [("one.secure.test", "database v1"), ("two.secure.test", "database v2")])
def test_tls_goes_by_its_server_name(name: str, expected: str, captured: tuple[Namespace, Namespace]) -> None:
    mesh, _ = captured
    assert mesh.run(sys.executable, "-c", LISTENER, "198.19.0.44", "443", name).strip() == expected


def test_the_proxys_own_ports_are_answered_by_the_proxy(captured: tuple[Namespace, Namespace]) -> None:
    _, outside = captured
    assert outside.get(MESH, 15021, "/healthz/ready").status == 200
    metrics = outside.get(MESH, 15090, "/stats/prometheus").body
    assert 'istio_requests_total{reporter="destination"' in metrics
    assert 'istio_requests_total{reporter="source"' in metrics


def test_show_tells_the_rules_in_force(captured: tuple[Namespace, Namespace]) -> None:
    mesh, outside = captured
    rules = json.loads(mesh.pyproxy("iptables", "show", "--output", "json"))
    assert rules["PREROUTING"] == ["-p tcp -j ISTIO_INBOUND"]
    assert rules["ISTIO_REDIRECT"] == ["-p tcp -j REDIRECT --to-ports 15001"]
    assert json.loads(outside.pyproxy("iptables", "show", "--output", "json")) == {}


def test_applying_twice_is_applying_once_and_removing_leaves_nothing(captured: tuple[Namespace, Namespace]) -> None:
    mesh, outside = captured
    before = mesh.pyproxy("iptables", "show")
    mesh.pyproxy("iptables", "apply")
    assert mesh.pyproxy("iptables", "show") == before
    mesh.pyproxy("iptables", "remove")
    mesh.pyproxy("iptables", "remove")
    assert "ISTIO" not in mesh.run("iptables-save", "-t", "nat")
    with pytest.raises(subprocess.CalledProcessError, match="ip"):
        outside.get(MESH, 8080, Host="shop")  # the workload itself listens on 127.0.0.1 alone
