"""HTTP/2 with the peers that people use: curl, nghttp, h2load, Go's net/http on either side."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import Request, Upstream, UpstreamConnection
from tests.pyproxy_process import PyproxyProcess

pytestmark = pytest.mark.integration

GO = Path(__file__).parents[1] / "clients" / "go_http2"
SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: p, protocol: {protocol}}}]
  endpoints: [{{address: 127.0.0.1, ports: {{p: {port}}}}}]
---
"""


def answer(connection: UpstreamConnection, request: Request) -> None:
    """The body, or ok."""
    body = connection.read_body(request) or b"ok"
    connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> str:
    program = tmp_path_factory.mktemp("go") / "http2"
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    built = subprocess.run(
        [needs("go"), "build", "-o", str(program), "."], cwd=GO, env=environment, timeout=110, capture_output=True
    )
    if b"requires go >= 1.24" in built.stderr:
        pytest.skip("LOUD SKIP: this Go cannot speak HTTP/2 without TLS")
    assert built.returncode == 0, built.stderr.decode()
    return str(program)


@pytest.fixture(scope="module")
def go_port(go_program: str) -> Iterator[int]:
    """Of a Go server."""
    with subprocess.Popen([go_program, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None and server.stdin is not None
        yield int(server.stdout.readline())
        server.stdin.close()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PyproxyProcess]:
    """Before an upstream that speaks HTTP/1.1."""
    upstream = Upstream()
    upstream.answer = answer
    documents = SERVICE.format(name="old", protocol="HTTP", port=upstream.port)
    proxy = PyproxyProcess(tmp_path_factory.mktemp("http2") / "proxy", documents)
    yield proxy
    proxy.close()
    upstream.close()


def needs(program: str) -> str:
    """The path of a program, or a loud skip."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"LOUD SKIP: {program} is not installed")
    return found


def run(command: list[str]) -> str:
    """What a program prints. It must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [([], "ok"), (["--data", "hello"], "hello"), (["--head"], None), (["--data", "x" * 9999], None)],
)
def test_curl_with_prior_knowledge(proxy: PyproxyProcess, flags: list[str], wanted: str | None) -> None:
    curl = [
        needs("curl"),
        "--silent",
        "--fail",
        "--http2-prior-knowledge",
        "-H",
        "host: old.test",
        "-w",
        "%{http_version}",
    ]
    said = run([*curl, *flags, f"http://127.0.0.1:{proxy.outbound}/"])
    assert said.endswith("2")
    if wanted is not None:
        assert said == wanted + "2"


def test_curl_that_asks_for_an_upgrade_is_served_in_http1(proxy: PyproxyProcess) -> None:
    curl = [needs("curl"), "--silent", "--fail", "--http2", "-H", "host: old.test", "-w", "%{http_version}"]
    assert run([*curl, f"http://127.0.0.1:{proxy.outbound}/"]) == "ok1.1"


def test_nghttp(proxy: PyproxyProcess) -> None:
    url = f"http://127.0.0.1:{proxy.outbound}/"
    said = run([needs("nghttp"), "-nv", "-m", "5", "-H", ":authority: old.test", url, url])
    assert said.count(":status: 200") == 10
    assert "GOAWAY" not in said.partition("send GOAWAY")[0]


def test_h2load(proxy: PyproxyProcess) -> None:
    flags = ["-n", "2000", "-c", "4", "-m", "50", "-H", ":authority: old.test"]
    said = run([needs("h2load"), *flags, f"http://127.0.0.1:{proxy.outbound}/"])
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", said)
    assert found is not None and found.groups() == ("2000", "0", "0")


@pytest.mark.parametrize("protocol", ["HTTP2", "GRPC"])
def test_go_on_both_sides(go_program: str, go_port: int, tmp_path: Path, protocol: str) -> None:
    proxy = PyproxyProcess(tmp_path / "proxy", SERVICE.format(name="new", protocol=protocol, port=go_port))
    try:
        assert run([go_program, "call", f"http://127.0.0.1:{proxy.outbound}", "new.test"]) == "all well\n"
    finally:
        proxy.close()


def test_curl_of_http1_reaches_a_server_of_http2(go_port: int, tmp_path: Path) -> None:
    proxy = PyproxyProcess(tmp_path / "proxy", SERVICE.format(name="new", protocol="HTTP2", port=go_port))
    try:
        flags = ["--silent", "--fail", "--http1.1", "-H", "host: new.test", "-D-", "--data", "hello"]
        said = run([needs("curl"), *flags, f"http://127.0.0.1:{proxy.outbound}/echo"])
        assert "x-proto: HTTP/2.0" in said
        assert said.endswith("hello")
    finally:
        proxy.close()
