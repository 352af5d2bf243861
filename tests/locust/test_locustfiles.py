"""Each file of examples/locust runs headless against a small service, and its numbers are those of that service."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.pyproxy_process import PyproxyProcess

# Importing locust here would make gevent take over this process.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(find_spec("locust") is None, reason="LOUD SKIP: locust is not installed"),
]

FOLDER = Path(__file__).parents[2] / "examples" / "locust"
MESH = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: front}}
spec:
  selector: {{app: gateway}}
  servers: [{{port: {{number: {gateway}, name: http, protocol: HTTP}}, hosts: ['*']}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: front}}
spec:
  hosts: [shop.test, 127.0.0.1]
  gateways: [front]
  http: [{{retries: {{attempts: 0}}, route: [{{destination: {{host: shop.test}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shop}}
spec:
  hosts: [shop.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
"""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A visitor who left when the run was over."""


class Shop:
    """A page that knows who asked for it; slow or failing when told."""

    def __init__(self) -> None:
        self.users: Counter[str] = Counter()
        self.seconds = 0.0
        self.fails = False
        shop = self

        class Pages(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                time.sleep(shop.seconds)
                shop.users[self.headers.get("end-user", "edition" if "cookie" in self.headers else "anonymous")] += 1
                self.send_response(503 if shop.fails else 200)
                self.send_header("content-length", "4")
                self.end_headers()
                self.wfile.write(b"page")

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = _Server(("127.0.0.1", 0), Pages)
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


class Mesh:
    """A gateway before the shop."""

    def __init__(self, folder: Path) -> None:
        self.shop = Shop()
        documents = MESH.format(port=self.shop.port, gateway=free_port())
        flags = ("--labels", "app=gateway")
        self.gateway = PyproxyProcess(folder, documents, *flags, command="gateway")
        (port,) = (port for name, port in self.gateway.ports.items() if name not in ("admin", "status", "metrics"))
        self.url = f"http://127.0.0.1:{port}"

    def close(self) -> None:
        self.gateway.close()
        self.shop.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    mesh = Mesh(tmp_path_factory.mktemp("gateway"))
    yield mesh
    mesh.close()


@pytest.fixture
def mesh(shared: Mesh) -> Mesh:
    """With a shop that is well and has seen nobody."""
    shared.shop.users.clear()
    shared.shop.seconds, shared.shop.fails = 0.0, False
    return shared


Rows = dict[str, dict[str, str]]


def run(mesh: Mesh, folder: Path, name: str, *flags: str, fails: bool = False) -> Rows:
    """Name of a request → its row of the CSV."""
    command = [sys.executable, "-m", "locust", "-f", str(FOLDER / f"{name}.py"), "--headless", "--host", mesh.url]
    command += ["--csv", str(folder / name), "--only-summary", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == (1 if fails else 0), done.stderr
    assert "Traceback" not in done.stderr
    with (folder / f"{name}_stats.csv").open(newline="") as file:
        return {row["Name"]: row for row in csv.DictReader(file)}


def count(row: dict[str, str]) -> int:
    return int(row["Request Count"])


LATE = 25
"""Requests after the last time that locust wrote its files, at most."""
FIXED = ("--users", "4", "--spawn-rate", "20", "--run-time", "2s")
SHAPED = ("--users-peak", "8", "--stage", "0.9", "--think", "0.1")


def test_steady_visitors_are_counted_on_both_sides(mesh: Mesh, tmp_path: Path) -> None:
    flags = ("--think", "0.1", "--header", "end-user: jason", "--path", "/a", "--run-time", "5s")
    rows = run(mesh, tmp_path, "steady", *FIXED, *flags)
    assert 30 <= count(rows["page"]) <= 200  # 4 visitors, 10 pages a second each, 5 seconds; fewer on a busy machine
    assert 0 <= mesh.shop.users["jason"] - count(rows["page"]) <= LATE
    assert rows["page"]["Failure Count"] == "0"


@pytest.mark.parametrize("name", ["spike", "ramp", "step"])
def test_a_shape_ends_by_itself(mesh: Mesh, tmp_path: Path, name: str) -> None:
    rows = run(mesh, tmp_path, name, *SHAPED)
    assert count(rows["page"]) > 10
    assert rows["page"]["Failure Count"] == "0"


def test_a_mix_keeps_its_weights(mesh: Mesh, tmp_path: Path) -> None:
    rows = run(mesh, tmp_path, "header_mix", *FIXED, "--think", "0.01")
    counts = {name: count(row) for name, row in rows.items()}
    assert {"anonymous", "jason", "new edition"} <= set(counts)
    total = sum(mesh.shop.users.values())
    assert abs(mesh.shop.users["anonymous"] / total - 0.7) < 0.15
    assert abs(mesh.shop.users["jason"] / total - 0.2) < 0.12
    assert 0 < mesh.shop.users["edition"] / total < 0.25


def test_a_retry_happy_client_multiplies_the_load_of_a_failing_service(mesh: Mesh, tmp_path: Path) -> None:
    mesh.shop.fails = True
    rows = run(mesh, tmp_path, "retry_happy", *FIXED, "--think", "0.2", fails=True)
    under_way = count(rows["attempt"]) - 4 * count(rows["visit"])
    assert 0 <= under_way <= 4 * 4  # four visitors, each in a visit of four attempts
    assert rows["visit"]["Failure Count"] == rows["visit"]["Request Count"]


def test_a_retry_happy_client_of_a_sound_service_asks_once(mesh: Mesh, tmp_path: Path) -> None:
    rows = run(mesh, tmp_path, "retry_happy", *FIXED, "--think", "0.2")
    assert abs(count(rows["attempt"]) - count(rows["visit"])) <= 4


def test_a_closed_loop_slows_down_with_the_service_and_an_open_one_tells_how_late_it_is(
    mesh: Mesh, tmp_path: Path
) -> None:
    mesh.shop.seconds = 0.8
    flags = ("--users", "4", "--spawn-rate", "20", "--run-time", "6s")
    closed = run(mesh, tmp_path, "closed_loop", *flags, "--think", "0.1")
    opened = run(mesh, tmp_path, "open_loop", *flags, "--arrivals", "10")
    assert float(closed["page"]["95%"]) < 1400
    assert float(opened["page"]["95%"]) < 1400
    assert float(opened["page, since due"]["95%"]) > 2400  # ten arrivals a second, five answered


def test_an_open_loop_keeps_its_rate_where_the_service_keeps_up(mesh: Mesh, tmp_path: Path) -> None:
    rows = run(mesh, tmp_path, "open_loop", *FIXED, "--arrivals", "5")
    assert 24 <= count(rows["page"]) <= 48  # 4 visitors, 5 a second each, 2 seconds
    assert float(rows["page, since due"]["50%"]) - float(rows["page"]["50%"]) < 50


def test_a_host_header_names_the_service(mesh: Mesh, tmp_path: Path) -> None:
    rows = run(mesh, tmp_path, "steady", *FIXED, "--think", "0.1", "--header", "Host: other.test", fails=True)
    assert rows["page"]["Failure Count"] == rows["page"]["Request Count"]  # 404: the gateway knows shop.test alone


def test_two_processes_share_the_visitors(mesh: Mesh, tmp_path: Path) -> None:
    flags = ("--users", "4", "--spawn-rate", "20", "--run-time", "5s")  # workers report every three seconds
    rows = run(mesh, tmp_path, "steady", *flags, "--processes", "2", "--think", "0.1")
    assert count(rows["page"]) > 10
    assert rows["page"]["Failure Count"] == "0"


def test_the_web_page_has_our_fields(mesh: Mesh) -> None:
    port = free_port()
    command = [sys.executable, "-m", "locust", "-f", str(FOLDER / "step.py"), "--host", mesh.url]
    process = subprocess.Popen(
        [*command, "--web-host", "127.0.0.1", "--web-port", str(port)], stderr=subprocess.DEVNULL
    )
    try:
        page = _page(f"http://127.0.0.1:{port}/")
    finally:
        process.terminate()
        process.wait(20)
    assert "users_peak" in page
    assert "/productpage" in page


def _page(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 30
    while True:
        try:
            with opener.open(url, timeout=30) as answer:
                return str(answer.read().decode())
        except OSError:
            assert time.monotonic() < deadline, "the page did not come"
            time.sleep(0.1)


def test_two_runs_are_compared(mesh: Mesh, tmp_path: Path) -> None:
    run(mesh, tmp_path, "steady", *FIXED, "--think", "0.1")
    mesh.shop.seconds = 0.5
    run(mesh, tmp_path, "closed_loop", *FIXED, "--think", "0.1")
    command = [sys.executable, str(FOLDER / "compare.py"), str(tmp_path / "steady"), str(tmp_path / "closed_loop")]
    table = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "p95 ms" in table
    found = subprocess.run([*command, "--output", "json"], capture_output=True, text=True, check=True, timeout=60)
    rows = {(row["name"], row["measure"]): row for row in json.loads(found.stdout)}
    assert rows["page", "p50 ms"]["difference"] >= 300
    assert rows["page", "per second"]["difference"] < 0
    assert rows["Aggregated", "failed %"]["after"] == 0
