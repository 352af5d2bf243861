"""openssl as a server of one version or cipher: our caller gets and says what an exported Envoy gets and says."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import PRODUCTPAGE, REVIEWS, Authority
from tests.interop.mesh import caller, operator, shown, towards
from tests.interop.proxies import Proxy
from tests.peers import RawClient, until
from tests.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
MESH = Authority("mesh")
KINDS = ("envoy", "pyproxy")
FORMAT = (
    "%REQ(X-CASE)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON% "
    "%UPSTREAM_TLS_VERSION% %UPSTREAM_PEER_URI_SAN% %UPSTREAM_LOCAL_URI_SAN%"
)
WEAK = ("-cipher", "ALL:@SECLEVEL=0")
SERVERS = {
    "tls1": (503, ("-tls1", *WEAK)),
    "tls11": (503, ("-tls1_1", *WEAK)),
    "tls12": (200, ("-tls1_2",)),
    "tls13": (200, ("-tls1_3",)),
    "chacha": (200, ("-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305")),
    "aes256": (200, ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384")),
    "no-tickets": (200, ("-no_ticket",)),
    "needs-a-certificate": (200, ("-Verify", "3", "-verify_return_error")),
    "needs-one-of-another": (503, ("-Verify", "3", "-verify_return_error", "-tls1_2")),
}


@pytest.fixture(scope="module")
def heard(
    envoy_path: str, openssl: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], tuple[int, bytes, str]]]:
    """Status, body and log line, by case and kind of caller."""
    folder = tmp_path_factory.mktemp("servers")
    certs = MESH.workload(folder / "certs", PRODUCTPAGE)
    MESH.workload(folder / "server", REVIEWS)
    stranger = MESH.write(folder / "stranger", Authority("somebody else").issue(PRODUCTPAGE))
    documents = caller() + operator(FORMAT)
    with contextlib.ExitStack() as cleanup:
        for name, (_, arguments) in SERVERS.items():
            port = free_port()
            cleanup.callback(stop, serve(openssl, folder / "server", port, *arguments))
            tls = shown(stranger if name == "needs-one-of-another" else certs, REVIEWS)
            documents += towards(name, port, tls)
        told: dict[tuple[str, str], tuple[int, bytes, str]] = {}
        for kind in KINDS:
            flags = ("--workload", "productpage-v1", "--certs", str(certs))
            proxy = Proxy(kind, envoy_path, folder / kind, documents, *flags)
            cleanup.callback(proxy.close)
            answers = {name: ask(proxy, name) for name in SERVERS}
            lines = dict(line.split(" ", 1) for line in proxy.log_lines(len(SERVERS)))
            told |= {(name, kind): (*answers[name], lines[name]) for name in SERVERS}
        yield told


def serve(openssl: str, certs: Path, port: int, *arguments: str) -> subprocess.Popen[bytes]:
    """openssl s_server with its page about the connection; ready when given."""
    files = ("-cert", "cert-chain.pem", "-key", "key.pem", "-CAfile", "root-cert.pem")
    command = [openssl, "s_server", "-accept", f"127.0.0.1:{port}", *files, "-www", "-quiet", *arguments]
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=certs, stdin=silent, stdout=silent, stderr=silent)
    until(lambda: connects(port))
    return process


def connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(10)


def ask(proxy: Proxy, name: str) -> tuple[int, bytes]:
    client = RawClient(proxy.ports["virtualOutbound"])
    response = client.ask(f"GET / HTTP/1.1\r\nhost: {name}.test\r\nx-case: {name}\r\n\r\n".encode())
    client.close()
    return response.status, response.body if response.status != 200 else b""


@pytest.mark.parametrize("name", SERVERS)
def test_both_callers_hear_the_same(name: str, heard: dict[tuple[str, str], tuple[int, bytes, str]]) -> None:
    assert heard[name, "pyproxy"] == heard[name, "envoy"]
    assert heard[name, "pyproxy"][0] == SERVERS[name][0]
