"""TLS contexts: who may shake hands with whom, under which parameters, and what new certificates change."""

from __future__ import annotations

import contextlib
import logging
import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from pyproxy.core.tls import ClientTls, ClientTlsMode, MeshTls, ServerTls, ServerTlsMode, TlsParameters
from pyproxy.mtls.contexts import CIPHERS, Contexts
from pyproxy.mtls.engine import TlsConnection, lib
from pyproxy.mtls.failure import TlsError
from pyproxy.mtls.material import MaterialError
from pyproxy.mtls.openssl import TlsContext
from pyproxy.snapshot.model import Cluster, Identity, Snapshot
from tests.certificates import PRODUCTPAGE, REVIEWS, Authority

ROOT, OTHER = Authority(), Authority("other")
MESH = MeshTls()
MUTUAL = ClientTls(ClientTlsMode.ISTIO_MUTUAL)
HTTP = ("istio-http/1.1", "istio", "http/1.1")


@pytest.fixture
def contexts(tmp_path: Path) -> Contexts:
    return Contexts(ROOT.workload(tmp_path / "certs"))


def there(context: TlsContext | None) -> TlsContext:
    assert context is not None
    return context


class Other:
    """Another program's end: Python's own `ssl`, which has another OpenSSL."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool = False) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server_side else "reviews.example.com"
        self.tls = context.wrap_bio(self._in, self._out, server_side=server_side, server_hostname=name)

    def feed(self, data: bytes) -> None:
        self._in.write(data)

    def outgoing(self) -> bytes:
        return self._out.read()

    def shake(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()

    def write(self, data: bytes) -> None:
        self.tls.write(data)

    def read(self) -> bytes:
        return self.tls.read(1)


def shake(client: TlsContext, server: TlsContext, session: Any = None) -> tuple[TlsConnection, TlsConnection]:
    """Both sides after the handshake and a byte from the server. Raises TlsError."""
    ends = client.connection("reviews.example.com", session), server.connection()
    meet(*ends)
    return ends


def meet(client: TlsConnection | Other, server: TlsConnection | Other) -> None:
    """The handshake of two sides, and a byte from the server. Raises TlsError."""
    for _ in range(3):
        for side, other in ((client, server), (server, client)):
            side.shake()
            other.feed(side.outgoing())
    server.write(b"x")
    client.feed(server.outgoing())
    assert client.read() == b"x"


def test_two_workloads_of_a_mesh_shake_hands(contexts: Contexts) -> None:
    client, server = shake(there(contexts.client(MUTUAL, HTTP)), there(contexts.server(MESH)))
    assert client.version == "TLSv1.3"
    assert REVIEWS.encode() in client.certificate
    assert REVIEWS.encode() in server.certificate
    assert server.alpn == "http/1.1"


def test_a_context_knows_what_it_shows(contexts: Contexts) -> None:
    context = there(contexts.server(MESH))
    assert (context.local_uri_san, context.local_subject) == (REVIEWS, "")


def test_a_client_without_a_certificate_is_refused(contexts: Contexts) -> None:
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    with pytest.raises(TlsError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        meet(Other(stranger), there(contexts.server(MESH)).connection())


def test_somebody_of_another_root_is_refused_on_either_side(contexts: Contexts, tmp_path: Path) -> None:
    others = Contexts(OTHER.workload(tmp_path / "other"))
    for client, server in [(contexts, others), (others, contexts)]:
        with pytest.raises(TlsError, match="unable to get local issuer certificate"):
            shake(there(client.client(MUTUAL, HTTP)), there(server.server(MESH)))


def test_contexts_are_made_once(contexts: Contexts) -> None:
    assert contexts.server(MESH) is contexts.server(MeshTls(trust_domains=("other",)))
    assert contexts.server(MESH) is not contexts.server(MESH, tcp=True)
    named = ClientTls(ClientTlsMode.ISTIO_MUTUAL, sni="outbound_.80_._.x", subject_alt_names=(REVIEWS,))
    assert contexts.client(MUTUAL, HTTP) is contexts.client(named, HTTP)


def ciphers_of(context: TlsContext, folder: Path) -> list[str]:
    """What a client of this context offers, but for TLS 1.3, where there is no choice."""
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stranger.load_cert_chain(folder / "cert-chain.pem", folder / "key.pem")
    stranger.set_ciphers("ALL:@SECLEVEL=0")
    server = Other(stranger, server_side=True)
    client = context.connection()
    client.shake()
    server.feed(client.outgoing())
    server.shake()
    return [name for name, version, _ in server.tls.shared_ciphers() or () if version != "TLSv1.3"]


def test_old_versions_compression_and_renegotiation_are_off(contexts: Contexts, tmp_path: Path) -> None:
    server, client = there(contexts.server(MESH)), there(contexts.client(MUTUAL, HTTP))
    assert set(ciphers_of(client, tmp_path / "certs")) == set(CIPHERS)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(TlsError, match="UNSUPPORTED_PROTOCOL"):
        meet(Other(old), server.connection())
    for context in (server, client):
        assert context.options & lib.SSL_OP_NO_RENEGOTIATION
        assert context.options & lib.SSL_OP_NO_COMPRESSION


def test_parameters_are_followed(contexts: Contexts) -> None:
    strict = there(contexts.server(MeshTls(parameters=TlsParameters(min_version="TLSv1_3"))))
    old = TlsParameters(max_version="TLSv1_2", ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256", "no-such-cipher"))
    client, _ = shake(there(contexts.client(ClientTls(MUTUAL.mode, parameters=old), ())), there(contexts.server(MESH)))
    assert (client.version, client.cipher) == ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256")
    with pytest.raises(TlsError, match="UNSUPPORTED_PROTOCOL"):
        shake(there(contexts.client(ClientTls(MUTUAL.mode, parameters=old), ())), strict)


def test_ciphers_that_do_not_exist_are_the_default_ones(contexts: Contexts, tmp_path: Path) -> None:
    context = there(contexts.client(ClientTls(MUTUAL.mode, parameters=TlsParameters(ciphers=("none",))), HTTP))
    assert set(ciphers_of(context, tmp_path / "certs")) == set(CIPHERS)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_sessions_are_resumed_until_the_certificates_are_others(
    contexts: Contexts, tmp_path: Path, version: str
) -> None:
    tls = ClientTls(MUTUAL.mode, parameters=TlsParameters(max_version=version))
    client, _ = shake(there(contexts.client(tls, HTTP)), there(contexts.server(MESH)))
    again, _ = shake(there(contexts.client(tls, HTTP)), there(contexts.server(MESH)), client.session)
    assert again.resumed
    before = there(contexts.client(tls, HTTP))
    ROOT.workload(tmp_path / "certs", PRODUCTPAGE)
    contexts.holdings[0].look()
    contexts.holdings[0].look()
    contexts.renew()
    fresh, _ = shake(before, there(contexts.server(MESH)), again.session)
    assert not fresh.resumed
    assert PRODUCTPAGE.encode() in fresh.certificate
    assert contexts.client(tls, HTTP) is not before


def test_a_proxy_without_a_certificate_has_no_contexts_for_the_mesh(caplog: pytest.LogCaptureFixture) -> None:
    contexts = Contexts()
    assert not contexts.has_certificate
    assert contexts.server(MESH) is None
    assert caplog.messages == []
    for _ in range(3):
        assert contexts.client(MUTUAL, HTTP) is None
    assert len(caplog.messages) == 1
    assert "--certs" in caplog.messages[0]


def test_a_folder_without_a_certificate_stops_the_start(tmp_path: Path) -> None:
    contexts = Contexts(tmp_path)
    with pytest.raises(MaterialError, match=r"cert-chain\.pem: No such file"):
        contexts.check("")


def test_a_certificate_for_somebody_else_is_warned_about(contexts: Contexts, caplog: pytest.LogCaptureFixture) -> None:
    contexts.check(REVIEWS)
    contexts.check("")
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    contexts.check(PRODUCTPAGE)
    assert f"is for {REVIEWS}, and the documents say that this workload is {PRODUCTPAGE}" in caplog.text


def test_simple_tls_trusts_the_file_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(ROOT.root_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = ROOT.workload(tmp_path / "server")
    server.load_cert_chain(folder / "cert-chain.pem", folder / "key.pem")
    contexts = Contexts()
    simple = ClientTls(ClientTlsMode.SIMPLE, ca_file=str(tmp_path / "ca.pem"))
    meet(there(contexts.client(simple, ())).connection(), Other(server, server_side=True))
    with pytest.raises(TlsError, match="CERTIFICATE_VERIFY_FAILED"):  # the system's roots
        meet(there(contexts.client(ClientTls(ClientTlsMode.SIMPLE), ())).connection(), Other(server, server_side=True))
    skipping = ClientTls(ClientTlsMode.SIMPLE, insecure_skip_verify=True)
    meet(there(contexts.client(skipping, ())).connection(), Other(server, server_side=True))


def test_a_revoked_certificate_is_refused(tmp_path: Path) -> None:
    issued = ROOT.issue(REVIEWS)
    folder = ROOT.write(tmp_path / "server", issued)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert-chain.pem", folder / "key.pem")
    (tmp_path / "crl.pem").write_bytes(ROOT.revoke(issued))
    tls = ClientTls(ClientTlsMode.SIMPLE, ca_file=str(folder / "root-cert.pem"), crl_file=str(tmp_path / "crl.pem"))
    with pytest.raises(TlsError, match="certificate revoked"):
        meet(there(Contexts().client(tls, ())).connection(), Other(server, server_side=True))


def test_files_that_cannot_be_read_make_no_context_until_they_can(tmp_path: Path) -> None:
    tls = ClientTls(ClientTlsMode.SIMPLE, ca_file=str(tmp_path / "ca.pem"))
    contexts = Contexts()
    assert contexts.client(tls, ()) is None
    (tmp_path / "ca.pem").write_bytes(ROOT.root_pem)
    (holding,) = contexts.holdings
    holding.look()
    assert holding.look()
    contexts.renew()
    assert contexts.client(tls, ()) is not None


@pytest.mark.parametrize(
    ("mode", "asks"),
    [
        (ServerTlsMode.SIMPLE, "nobody"),
        (ServerTlsMode.MUTUAL, "everybody"),
        (ServerTlsMode.OPTIONAL_MUTUAL, "who shows one"),
        (ServerTlsMode.ISTIO_MUTUAL, "everybody"),
    ],
)
def test_a_gateway_asks_its_clients_as_its_mode_says(
    contexts: Contexts, tmp_path: Path, mode: ServerTlsMode, asks: str
) -> None:
    folder = ROOT.workload(tmp_path / "gateway")
    names = [str(folder / name) for name in ("cert-chain.pem", "key.pem", "root-cert.pem")]
    server = ServerTls(mode, ("*",), *names, route_table="https.443")
    context = there(contexts.gateway(server))
    assert context.verifies == asks
    client, _ = shake(there(contexts.client(MUTUAL, HTTP)), context)
    assert client.alpn == "http/1.1"


@pytest.mark.parametrize(
    ("mode", "table", "expected"),
    [
        (ServerTlsMode.ISTIO_MUTUAL, "", "istio-peer-exchange"),
        (ServerTlsMode.ISTIO_MUTUAL, "https.443", None),
        (ServerTlsMode.SIMPLE, "", None),
    ],
)
def test_metadata_before_tcp_is_agreed_on_with_the_mesh_alone(
    contexts: Contexts, tmp_path: Path, mode: ServerTlsMode, table: str, expected: str | None
) -> None:
    folder = tmp_path / "certs"
    names = str(folder / "cert-chain.pem"), str(folder / "key.pem")
    files = () if mode is ServerTlsMode.ISTIO_MUTUAL else names
    server = there(contexts.gateway(ServerTls(mode, ("*",), *files, route_table=table)))
    client = there(contexts.client(MUTUAL, ("istio-peer-exchange", "istio")))
    assert shake(client, server)[0].alpn == (expected or "")


@pytest.mark.parametrize(("tcp", "expected"), [(True, "istio-peer-exchange"), (False, None)])
def test_a_workloads_port_agrees_on_it_where_it_carries_no_http(
    contexts: Contexts, tcp: bool, expected: str | None
) -> None:
    client = there(contexts.client(MUTUAL, ("istio-peer-exchange", "istio")))
    assert shake(client, there(contexts.server(MESH, tcp)))[0].alpn == (expected or "")


def test_a_gateway_may_have_certificates_of_two_kinds(contexts: Contexts, tmp_path: Path) -> None:
    folder = ROOT.workload(tmp_path / "gateway")
    pair = str(folder / "cert-chain.pem"), str(folder / "key.pem")
    assert contexts.gateway(ServerTls(ServerTlsMode.SIMPLE, ("*",), *pair, more_certificates=(pair,))) is not None


def test_documents_say_which_files_are_watched(contexts: Contexts, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(ROOT.root_pem)
    tls = ClientTls(ClientTlsMode.SIMPLE, ca_file=str(tmp_path / "ca.pem"))
    named = {"x": Cluster("x", tls=tls), "y": Cluster("y", tls=MUTUAL), "z": Cluster("z")}
    contexts.follow(Snapshot(Identity(), (), {}, named))
    assert [holding.path for holding in contexts.holdings] == [
        str(tmp_path / "certs" / "cert-chain.pem"),
        str(tmp_path / "ca.pem"),
    ]
    contexts.follow(Snapshot(Identity(), (), {}, {}))
    assert len(contexts.holdings) == 1


def test_what_openssl_refuses_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A key too weak for this machine's OpenSSL, for one."""
    folder = ROOT.write(tmp_path, ROOT.issue(REVIEWS, key=rsa.generate_private_key(65537, 1024)))
    files = str(folder / "cert-chain.pem"), str(folder / "key.pem")
    with caplog.at_level(logging.ERROR):
        assert Contexts().gateway(ServerTls(ServerTlsMode.SIMPLE, ("*",), *files)) is None
    assert "OpenSSL does not take it: EE_KEY_TOO_SMALL" in caplog.text
