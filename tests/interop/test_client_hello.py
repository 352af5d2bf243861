"""What our caller says first to a TLS server is what an exported Envoy says: name, protocols, versions."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pyproxy.wire.client_hello import ClientHello, parse_client_hello
from tests.certificates import PRODUCTPAGE, Authority
from tests.interop.mesh import caller, operator, towards
from tests.interop.proxies import Proxy
from tests.peers import RawClient, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
MESH = Authority("mesh")
SUBSET = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: subset}
spec: {hosts: [subset.test], http: [{route: [{destination: {host: subset.test, subset: v1}}]}]}
"""
FILES = "clientCertificate: CERTS/cert-chain.pem, privateKey: CERTS/key.pem, caCertificates: CERTS/root-cert.pem"
CASES = {
    "automatic": "",
    "istio-mutual": "mode: ISTIO_MUTUAL",
    "istio-mutual-with-sni": "mode: ISTIO_MUTUAL, sni: Shop.example.com",
    "subset": "mode: ISTIO_MUTUAL",
    "simple": "mode: SIMPLE, caCertificates: CERTS/root-cert.pem",
    "simple-with-sni": "mode: SIMPLE, caCertificates: CERTS/root-cert.pem, sni: shop.example.com",
    "mutual": f"mode: MUTUAL, {FILES}",
    "http2-automatic": "",
    "http2-simple": "mode: SIMPLE, caCertificates: CERTS/root-cert.pem",
}


class Listener:
    """Keeps the first bytes of each connection, and closes it."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.began: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._server.accept()
                accepted.settimeout(5)
                self.began.append(accepted.recv(16384))
                accepted.close()


@dataclass
class Callers:
    proxies: dict[str, Proxy]
    listener: Listener

    def hello(self, kind: str, name: str) -> ClientHello:
        """What a proxy says when it calls that service."""
        self.listener.began.clear()
        client = RawClient(self.proxies[kind].ports["virtualOutbound"])
        assert client.ask(f"GET / HTTP/1.1\r\nhost: {name}.test\r\n\r\n".encode()).status == 503
        client.close()
        until(lambda: bool(self.listener.began))
        hello = parse_client_hello(self.listener.began[0])
        assert isinstance(hello, ClientHello)
        return hello


@pytest.fixture(scope="module")
def callers(envoy_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    folder = tmp_path_factory.mktemp("hello")
    certs = MESH.workload(folder / "certs", PRODUCTPAGE)
    listener = Listener()
    documents = caller() + SUBSET + operator("%RESPONSE_CODE%")
    for name, tls in CASES.items():
        text = towards(name, listener.port, tls.replace("CERTS", str(certs)))
        if name.startswith("http2"):
            text = text.replace("protocol: HTTP}", "protocol: HTTP2}")
        if name == "subset":
            text = text.replace("trafficPolicy", "subsets: [{name: v1, labels: {app: reviews}}], trafficPolicy")
        documents += text
    flags = ("--workload", "productpage-v1", "--certs", str(certs))
    proxies: dict[str, Proxy] = {}
    try:
        for kind in ("envoy", "pyproxy"):
            proxies[kind] = Proxy(kind, envoy_path, folder / kind, documents, *flags)
        yield Callers(proxies, listener)
    finally:
        for proxy in proxies.values():
            proxy.close()
        listener.close()


@pytest.mark.parametrize("name", CASES)
def test_both_say_the_same(name: str, callers: Callers) -> None:
    theirs, ours = callers.hello("envoy", name), callers.hello("pyproxy", name)
    assert (ours.server_name, ours.alpn) == (theirs.server_name, theirs.alpn)
    assert set(ours.versions) == set(theirs.versions) == {"TLSv1.3", "TLSv1.2"}


def test_istios_words(callers: Callers) -> None:
    assert callers.hello("pyproxy", "subset").server_name == "outbound_.80_.v1_.subset.test"
    assert callers.hello("pyproxy", "automatic").alpn == (b"istio-http/1.1", b"istio", b"http/1.1")
    assert callers.hello("pyproxy", "http2-automatic").alpn == (b"istio-h2", b"istio", b"h2")
