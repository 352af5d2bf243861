"""openssl and curl as clients: they get of our proxy what they get of an exported Envoy with the same documents."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.certificates import HOUR, PRODUCTPAGE, REVIEWS, Authority, Issued
from tests.interop.mesh import called, operator
from tests.interop.proxies import Proxy
from tests.peers import Upstream
from tests.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
MESH, OTHER = Authority("mesh"), Authority("somebody else")
REQUEST = b"GET /open/x HTTP/1.1\r\nhost: reviews\r\nconnection: close\r\n\r\n"
NEW_ONLY = "meshMTLS: {minProtocolVersion: TLSV1_3}"
ONE_CIPHER = "meshMTLS: {cipherSuites: [ECDHE-ECDSA-AES256-GCM-SHA384]}"
ISTIO = "istio-http/1.1,istio,http/1.1"
OLD = ("-cipher", "ALL:@SECLEVEL=0")
SHOWN: dict[str, Issued] = {
    "good": MESH.issue(PRODUCTPAGE),
    "chained": Authority("intermediate", MESH).issue(PRODUCTPAGE),
    "forged": OTHER.issue(PRODUCTPAGE),
    "expired": MESH.issue(PRODUCTPAGE, start=-3 * HOUR, end=-HOUR),
    "tomorrow": MESH.issue(PRODUCTPAGE, start=HOUR, end=2 * HOUR),
    "stranger": MESH.issue("spiffe://elsewhere/ns/default/sa/productpage"),
    "no-name": MESH.issue(),
}


@dataclass
class Side:
    """One kind of proxy, with its servers and gateway."""

    kind: str
    ports: dict[str, dict[str, int]]
    """Of each sidecar, by mode."""
    gateway: int
    folder: Path


@pytest.fixture(scope="module")
def application() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def sides(
    application: Upstream, envoy_path: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Side, Side]]:
    """Envoy's, ours."""
    folder = tmp_path_factory.mktemp("third-parties")
    MESH.workload(folder / "certs", REVIEWS)
    write_credentials(folder / "edge-certs")
    for name, issued in SHOWN.items():
        MESH.write(folder / name, issued)
    started: list[Proxy] = []
    try:
        theirs, ours = (start(kind, envoy_path, folder, application.port, started) for kind in ("envoy", "pyproxy"))
        yield theirs, ours
    finally:
        for proxy in started:
            proxy.close()


def start(kind: str, envoy_path: str, folder: Path, application: int, started: list[Proxy]) -> Side:
    ports: dict[str, dict[str, int]] = {}
    for name, more in (("usual", ""), ("new", NEW_ONLY), ("one-cipher", ONE_CIPHER)):
        ports[name] = {mode: free_port() for mode in ("strict", "permissive", "disable")}
        flags = ("--workload", "reviews-v1", "--certs", str(folder / "certs"))
        started.append(Proxy(kind, envoy_path, folder / kind / name, called(application, ports[name], more), *flags))
    gateway = free_port()
    who = ("--gateway", "--labels", "istio=edge", "--certs", str(folder / "edge-certs"))
    started.append(Proxy(kind, envoy_path, folder / kind / "edge", doors(gateway, application), *who))
    return Side(kind, ports, gateway, folder)


def write_credentials(certs: Path) -> None:
    MESH.workload(certs, "spiffe://cluster.local/ns/default/sa/edge")
    for name in ("shop", "partners"):
        own = certs / "credentials" / name
        own.mkdir(parents=True)
        issued = MESH.issue(f"{name}.test")
        for file, content in (("tls.crt", issued.pem), ("tls.key", issued.key_pem), ("ca.crt", MESH.root_pem)):
            (own / file).write_bytes(content)


def doors(port: int, application: int) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  selector: {{istio: edge}}
  servers:
  - port: {{number: {port}, name: https, protocol: HTTPS}}
    hosts: [shop.test]
    tls: {{mode: SIMPLE, credentialName: shop}}
  - port: {{number: {port}, name: https-partners, protocol: HTTPS}}
    hosts: [partners.test]
    tls: {{mode: MUTUAL, credentialName: partners, minProtocolVersion: TLSV1_3}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: edge}}
spec:
  hosts: ["*.test"]
  gateways: [edge]
  http: [{{route: [{{destination: {{host: app.test}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: app}}
spec:
  hosts: [app.test]
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {application}}}}}]
{operator("%RESPONSE_CODE%")}"""


# openssl


@dataclass(frozen=True)
class Spoken:
    """What openssl says of a connection."""

    version: str = ""
    cipher: str = ""
    alpn: str = ""
    reused: bool = False
    status: str = ""
    """Of the response; empty when none came."""
    alert: str = ""


def s_client(openssl: str, port: int, *arguments: str) -> Spoken:
    command = [openssl, "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *arguments]
    done = subprocess.run(command, input=REQUEST, capture_output=True, timeout=60, check=False)
    text, errors = done.stdout.decode("latin-1"), done.stderr.decode("latin-1")
    state = re.search(r"^(New|Reused), (\S+), Cipher is (\S+)", text, re.MULTILINE)
    return Spoken(
        version=state[2] if state else "",
        cipher=state[3] if state else "",
        alpn=found(r"^ALPN protocol: (.*)$", text),
        reused=state is not None and state[1] == "Reused",
        status=found(r"HTTP/1\.1 (\d+)", text),
        alert=found(r"SSL alert number (\d+)", errors),
    )


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""


def showing(side: Side, name: str) -> tuple[str, ...]:
    own = side.folder / name
    chain = str(own / "cert-chain.pem")
    return ("-cert", chain, "-cert_chain", chain, "-key", str(own / "key.pem"))


OPENSSL = {
    # server, port, certificate, arguments: what both answer
    "1.3": ("usual", "strict", "good", ("-tls1_3",)),
    "1.2": ("usual", "strict", "good", ("-tls1_2",)),
    "1.1": ("usual", "strict", "good", ("-tls1_1", *OLD)),
    "1.0": ("usual", "strict", "good", ("-tls1", *OLD)),
    "1.2 where 1.3 is asked for": ("new", "strict", "good", ("-tls1_2",)),
    "1.3 where it is asked for": ("new", "strict", "good", ()),
    "the cipher": ("one-cipher", "strict", "good", ("-tls1_2",)),
    "another cipher": ("one-cipher", "strict", "good", ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")),
    "a weak cipher": ("usual", "strict", "good", ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")),
    "no certificate": ("usual", "strict", "", ()),
    "no certificate in 1.2": ("usual", "strict", "", ("-tls1_2",)),
    "an intermediate": ("usual", "strict", "chained", ()),
    "another root": ("usual", "strict", "forged", ()),
    "another root in 1.2": ("usual", "strict", "forged", ("-tls1_2",)),
    "expired": ("usual", "strict", "expired", ("-tls1_2",)),
    "not yet valid": ("usual", "strict", "tomorrow", ("-tls1_2",)),
    "another trust domain": ("usual", "strict", "stranger", ()),
    "no name": ("usual", "strict", "no-name", ()),
    "Istio's ALPN": ("usual", "strict", "good", ("-alpn", ISTIO)),
    "Istio's ALPN for HTTP/2": ("usual", "strict", "good", ("-alpn", "istio-h2,istio,h2")),
    "ALPN of others": ("usual", "strict", "good", ("-alpn", "http/1.1")),
    "ALPN that nobody knows": ("usual", "strict", "good", ("-alpn", "gopher")),
    "Istio's ALPN to permissive": ("usual", "permissive", "good", ("-alpn", ISTIO)),
    "ALPN of others to permissive": ("usual", "permissive", "good", ("-alpn", "http/1.1")),
    "no ALPN to permissive": ("usual", "permissive", "good", ()),
    "TLS to disable": ("usual", "disable", "good", ("-alpn", ISTIO)),
}
SERVED = ("1.3", "1.2", "1.3 where it is asked for", "the cipher", "an intermediate", "Istio's ALPN", "ALPN of others")


@pytest.mark.parametrize("case", OPENSSL)
def test_openssl_hears_of_both_the_same(case: str, sides: tuple[Side, Side], openssl: str) -> None:
    server, mode, name, arguments = OPENSSL[case]
    theirs, ours = (
        s_client(openssl, side.ports[server][mode], *(showing(side, name) if name else ()), *arguments)
        for side in sides
    )
    assert ours == theirs
    if case in SERVED:
        assert ours.status == "200"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_resumes_with_both(version: str, sides: tuple[Side, Side], openssl: str, tmp_path: Path) -> None:
    for side in sides:
        session = str(tmp_path / side.kind)
        port, shown = side.ports["usual"]["strict"], showing(side, "good")
        first = s_client(openssl, port, *shown, version, "-sess_out", session)
        again = s_client(openssl, port, *shown, version, "-sess_in", session)
        assert (first.reused, first.status) == (False, "200")
        assert again == replace(first, reused=True)


# curl


CURL = {
    # where, certificate, arguments
    "strict": ("strict", "good", ("https://reviews/open/x", "-k")),
    "strict in 1.2": ("strict", "good", ("https://reviews/open/x", "-k", "--tls-max", "1.2")),
    "strict in HTTP/1.1": ("strict", "good", ("https://reviews/open/x", "-k", "--http1.1")),
    "strict, and not allowed": ("strict", "good", ("https://reviews/closed", "-k", "--http1.1")),
    "strict without a certificate": ("strict", "", ("https://reviews/open/x", "-k")),
    "strict in plaintext": ("strict", "", ("http://reviews/open/x",)),
    "permissive": ("permissive", "good", ("https://reviews/open/x", "-k")),
    "permissive in plaintext": ("permissive", "", ("http://reviews/open/x",)),
    "disable": ("disable", "good", ("https://reviews/open/x", "-k")),
    "disable in plaintext": ("disable", "", ("http://reviews/open/x",)),
    "who it is": ("strict", "good", ("https://reviews/open/x",)),
    "simple": ("gateway", "", ("https://shop.test/",)),
    "simple in HTTP/1.1": ("gateway", "", ("https://shop.test/", "--http1.1")),
    "simple in 1.2": ("gateway", "", ("https://shop.test/", "--tls-max", "1.2")),
    "simple to somebody else": ("gateway", "", ("https://other.test/",)),
    "another host than SNI": ("gateway", "", ("https://shop.test/", "-H", "host: partners.test")),
    "mutual": ("gateway", "good", ("https://partners.test/",)),
    "mutual in 1.2": ("gateway", "good", ("https://partners.test/", "--tls-max", "1.2")),
    "mutual without a certificate": ("gateway", "", ("https://partners.test/",)),
    "mutual with a forged one": ("gateway", "forged", ("https://partners.test/",)),
    "plaintext to a gateway's TLS": ("gateway", "", ("http://shop.test/",)),
}


@pytest.mark.parametrize("case", CURL)
def test_curl_gets_of_both_the_same(case: str, sides: tuple[Side, Side], curl: str) -> None:
    where, name, (url, *arguments) = CURL[case]
    theirs, ours = (asked(curl, side, where, name, url, *arguments) for side in sides)
    assert ours == theirs


def asked(curl: str, side: Side, where: str, name: str, url: str, *arguments: str) -> str:
    """What curl prints: body, status, version, exit code; or its error."""
    port = side.gateway if where == "gateway" else side.ports["usual"][where]
    host, own = url.split("/")[2], side.folder / name
    shown = ["--cert", str(own / "cert-chain.pem"), "--key", str(own / "key.pem")] if name else []
    command = [curl, "-sS", "--cacert", str(side.folder / "certs" / "root-cert.pem"), *shown, *arguments]
    command += ["--resolve", f"{host}:{port}:127.0.0.1", "--noproxy", "*", "--max-time", "15"]
    command += ["-w", "\n%{http_code} %{http_version} %{exitcode}", url.replace(host, f"{host}:{port}")]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    if done.returncode in (16, 55) or (done.returncode == 56 and url.startswith("https")):
        # It was writing, or done with it, when it was refused: TLS 1.3 lets it.
        return "refused later"
    return done.stdout.decode() + done.stderr.decode().replace(str(port), "PORT")
