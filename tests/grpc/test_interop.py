"""gRPC's own interop cases through two sidecars: C core and grpc-go on either side, in plaintext and mutual TLS."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.grpc.interop import CASES
from tests.grpc.service import Server
from tests.grpc.sidecars import HOST, Pair, sidecars

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
GO = Path(__file__).parents[1] / "clients" / "go_grpc"
_TOO_OLD = ("requires go >=", "invalid go version", "module requires Go")
_NO_MODULES = ("dial tcp", "no such host", "proxyconnect", "Forbidden", "404 Not Found", "disabled by GOPROXY")
TRANSPORTS = ("plaintext", "mutual TLS")


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> str:
    """grpc-go's suite, built."""
    if shutil.which("go") is None:
        pytest.skip("LOUD SKIP: go is not installed")
    program = tmp_path_factory.mktemp("go") / "grpc"
    environment = {**os.environ, "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    built = subprocess.run(
        ["go", "build", "-o", str(program), "."], cwd=GO, env=environment, timeout=280, capture_output=True, text=True
    )
    if any(sign in built.stderr for sign in _TOO_OLD):
        pytest.skip("LOUD SKIP: this Go is too old for grpc-go")
    if any(sign in built.stderr for sign in _NO_MODULES):
        pytest.skip("LOUD SKIP: grpc-go cannot be fetched here")
    assert built.returncode == 0, built.stderr
    return str(program)


@contextmanager
def go_server(program: str) -> Iterator[int]:
    """Its port."""
    with subprocess.Popen([program, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None and server.stdin is not None
        yield int(server.stdout.readline())
        server.stdin.close()


@pytest.fixture(scope="module", params=TRANSPORTS)
def before_core(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two proxies before a server on the C core."""
    server = Server()
    folder = tmp_path_factory.mktemp("core")
    with sidecars(folder, [server.port], mutual_tls=request.param == "mutual TLS") as pair:
        yield pair
    server.stop()


@pytest.fixture(scope="module", params=TRANSPORTS)
def before_go(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, go: str) -> Iterator[Pair]:
    """Two proxies before a server of grpc-go."""
    folder = tmp_path_factory.mktemp("go")
    with go_server(go) as port, sidecars(folder, [port], mutual_tls=request.param == "mutual TLS") as pair:
        yield pair


@pytest.mark.parametrize("case", CASES)
def test_core_calls_core(before_core: Pair, case: str) -> None:
    with before_core.channel() as channel:
        CASES[case](channel)


@pytest.mark.parametrize("case", CASES)
def test_core_calls_go(before_go: Pair, case: str) -> None:
    with before_go.channel() as channel:
        CASES[case](channel)


def test_go_calls_core(before_core: Pair, go: str) -> None:
    assert go_calls(go, before_core) == list(CASES)


def test_go_calls_go(before_go: Pair, go: str) -> None:
    assert go_calls(go, before_go) == list(CASES)


def go_calls(program: str, pair: Pair) -> list[str]:
    """The cases that passed."""
    done = subprocess.run(
        [program, "call", pair.address, HOST, *CASES], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()
