"""x-forwarded-client-cert beside a real Envoy that runs our own export with the same certificates."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from pyproxy.envoy.bootstrap import Process, bootstrap
from pyproxy.envoy.tls import Certificates
from tests.certificates import PRODUCTPAGE
from tests.differential.envoy_process import Envoy
from tests.in_process import SECONDS, port_of
from tests.inbound_side import MESH, Side, client_context, workload

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SUBJECT = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'Books, "Café" + Co; <x>'),
        x509.NameAttribute(NameOID.COMMON_NAME, "#productpage "),
    ]
)
OPERATOR = """---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh}}
spec: {{meshConfig: {{defaultConfig: {{proxyHeaders: {{{headers}}}}}}}}}
"""
CASES = {
    "as Istio has it": ("", (PRODUCTPAGE,), None, ()),
    "several names and a subject": (
        "",
        (PRODUCTPAGE, "spiffe://cluster.local/ns/a/sa/b", "a.com", "b.com", "10.0.0.1"),
        SUBJECT,
        (),
    ),
    "told before": ("", (PRODUCTPAGE,), SUBJECT, ("By=x;Hash=y", 'Subject="a,b"')),
    "with the certificate": ("setCurrentClientCertDetails: {cert: true, dns: false}", (PRODUCTPAGE,), None, ("x",)),
    "nothing but the hash": (
        "setCurrentClientCertDetails: {subject: false, uri: false, dns: false}",
        (PRODUCTPAGE,),
        None,
        (),
    ),
    "in place of what was told": ("forwardedClientCert: SANITIZE_SET", (PRODUCTPAGE,), None, ("x",)),
    "none": ("forwardedClientCert: SANITIZE", (PRODUCTPAGE,), None, ("x",)),
    "what was told": ("forwardedClientCert: FORWARD_ONLY", (PRODUCTPAGE,), None, ("x",)),
}


async def told_the_application(side: Side, port: int, context: ssl.SSLContext, lines: tuple[str, ...]) -> list[str]:
    """The lines of the header that the application got."""
    side.application.began.clear()
    head = "GET / HTTP/1.1\r\nhost: reviews\r\nconnection: close\r\n"
    head += "".join(f"x-forwarded-client-cert: {line}\r\n" for line in lines)
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="reviews")
        writer.write(head.encode() + b"\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
    (began,) = side.application.began
    received = began.decode("latin-1").split("\r\n")
    return [line for line in received if line.lower().startswith("x-forwarded-client-cert:")]


@pytest.mark.parametrize("case", CASES)
async def test_both_tell_the_application_the_same(case: str, tmp_path: Path, start_envoy: Callable[..., Envoy]) -> None:
    headers, names, subject, told = CASES[case]
    more = OPERATOR.format(headers=headers) if headers else ""
    async with workload(tmp_path, "STRICT", more=more) as side:
        process = Process(certificates=Certificates(str(tmp_path / "certs")))
        static = bootstrap(side.app.env.live.serving.snapshot, process)["static_resources"]
        assert isinstance(static, dict)
        listeners = [each for each in static["listeners"] if each["name"] == "virtualInbound"]
        envoy = start_envoy(listeners, static["clusters"])
        context = client_context(tmp_path, MESH.issue(*names, subject=subject), ["istio-http/1.1", "istio", "http/1.1"])
        ours = await told_the_application(side, port_of(side.app, "virtualInbound"), context, told)
        theirs = await told_the_application(side, envoy.ports["virtualInbound"], context, told)
        envoy.close()
    assert ours == theirs
    assert bool(theirs) is (case != "none")
