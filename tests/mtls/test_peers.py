"""Who is at the other end: facts, and verdicts in Envoy's words."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from pyproxy.core.tls import ClientTls, ClientTlsMode, MeshTls, Peer, ServerTls, ServerTlsMode
from pyproxy.mtls.channel import TlsChannel
from pyproxy.mtls.contexts import Contexts
from pyproxy.mtls.facts import facts_of
from pyproxy.mtls.openssl import TlsContext
from pyproxy.mtls.peers import EXPIRED, peer_of, verify_client, verify_gateway_client, verify_server
from tests.certificates import PRODUCTPAGE, REVIEWS, Authority
from tests.fakes import FakeTransport

ROOT = Authority()
NOW = 0.0
MUTUAL = ClientTls(ClientTlsMode.ISTIO_MUTUAL, subject_alt_names=(REVIEWS,))
SIMPLE = ClientTls(ClientTlsMode.SIMPLE, auto_san=True)
LEAD = "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: "


def peer(*names: str) -> Peer:
    """Somebody who showed a certificate with these names."""
    return Peer(presented=True, certificate=ROOT.issue(*names).der)


def handshake(client: TlsContext, server: TlsContext) -> tuple[TlsChannel, TlsChannel]:
    """Two channels after their handshake."""
    channels: list[TlsChannel] = []
    raws: list[FakeTransport] = []
    for context, server_side in ((client, False), (server, True)):
        channel = TlsChannel(
            context,
            secured=lambda one: one.set_protocol(asyncio.Protocol()),
            failed=pytest.fail,
            server_hostname=None if server_side else "outbound_.80_._.reviews",
        )
        raw = FakeTransport()
        channels.append(channel)
        raws.append(raw)
        channel.connection_made(cast(asyncio.Transport, raw))
    for _ in range(3):
        for raw, other in zip(raws, reversed(channels), strict=True):
            sent = _take(raw)
            if sent:
                other.data_received(sent)
    return channels[0], channels[1]


def _take(raw: Any) -> bytes:
    data = bytes(raw.written)
    raw.written = b""
    return data


async def test_both_ends_know_each_other(tmp_path: Path) -> None:
    ours = Contexts(ROOT.workload(tmp_path / "a", PRODUCTPAGE))
    theirs = Contexts(ROOT.workload(tmp_path / "b", REVIEWS))
    client, server = ours.client(MUTUAL, ("istio", "http/1.1")), theirs.server(MeshTls())
    assert client is not None
    assert server is not None
    seen, shown = (peer_of(channel) for channel in handshake(client, server))
    assert (seen.uri_san, seen.local_uri_san, seen.mutual) == (REVIEWS, PRODUCTPAGE, True)
    assert (shown.uri_san, shown.local_uri_san, shown.presented) == (PRODUCTPAGE, REVIEWS, True)
    assert (seen.version, seen.alpn, seen.server_name) == ("TLSv1.3", "http/1.1", "outbound_.80_._.reviews")
    assert seen.cipher.startswith("TLS_AES_")
    facts = facts_of(seen.certificate)
    assert (seen.sha256, seen.serial, seen.issuer) == (facts.sha256, facts.serial, "CN=root,O=cluster.local")
    assert not seen.resumed


# Servers


def test_one_of_the_expected_names_is_enough() -> None:
    assert verify_server(peer(REVIEWS), MUTUAL, "", NOW) is None
    either = replace(MUTUAL, subject_alt_names=(PRODUCTPAGE, REVIEWS))
    assert verify_server(peer("reviews.example.com", REVIEWS), either, "", NOW) is None


def test_another_name_is_told_with_all_that_the_certificate_has() -> None:
    reason = verify_server(peer(PRODUCTPAGE, "a.example.com"), MUTUAL, "", NOW)
    assert reason == f"{LEAD}SAN matcher, certificate SANs are [{PRODUCTPAGE}, a.example.com]:TLS_error_end"


@pytest.mark.parametrize(
    "near",
    [REVIEWS + "x", REVIEWS[:-1], REVIEWS.upper(), REVIEWS + "/", "spiffe://cluster.local.evil/ns/default/sa/reviews"],
)
def test_a_name_that_is_nearly_the_expected_one_is_another(near: str) -> None:
    assert verify_server(peer(near), MUTUAL, "", NOW) is not None


def test_nothing_expected_is_nothing_asked() -> None:
    assert verify_server(peer(PRODUCTPAGE), replace(MUTUAL, subject_alt_names=()), "reviews", NOW) is None


def test_skipping_verification_skips_it() -> None:
    skip = replace(SIMPLE, insecure_skip_verify=True, auto_san=False)
    assert verify_server(peer(), skip, "reviews", NOW) is None


def test_a_broken_certificate_is_not_believed() -> None:
    broken = Peer(presented=True, certificate=b"\x30\x03\x02\x01\x01")
    for verdict in (
        verify_server(broken, MUTUAL, "", NOW),
        verify_client(broken, MeshTls(), NOW),
        verify_gateway_client(broken, ServerTls(ServerTlsMode.MUTUAL), NOW),
    ):
        assert verdict is not None


def test_the_requests_host_may_be_what_is_expected() -> None:
    assert verify_server(peer("api.example.com"), SIMPLE, "api.example.com", NOW) is None
    assert verify_server(peer("10.0.0.1"), SIMPLE, "10.0.0.1", NOW) is None
    reason = verify_server(peer("api.example.com"), SIMPLE, "www.example.com", NOW)
    assert reason == (
        f"{LEAD}verify SAN list, expected SANs: [www.example.com], certificate SANs: [api.example.com]:TLS_error_end"
    )


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("*.example.com", "api.example.com", True),
        ("*.EXAMPLE.com", "api.example.com", True),
        ("api*.example.com", "api-v1.example.com", True),
        ("*-v1.example.com", "api-v1.example.com", True),
        ("a*a.example.com", "a.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("*.*.example.com", "a.b.example.com", False),
        ("api.*.com", "api.example.com", False),
        ("xn--*.example.com", "xn--a.example.com", False),
        ("*", "localhost", False),
    ],
)
def test_wildcards_in_certificates_fit_as_envoys_do(pattern: str, host: str, fits: bool) -> None:
    assert (verify_server(peer(pattern), SIMPLE, host, NOW) is None) is fits


# Clients


def test_a_client_must_be_of_a_trusted_domain() -> None:
    mesh = MeshTls(trust_domains=("cluster.local", "old.example.com"))
    assert verify_client(peer(REVIEWS), mesh, NOW) is None
    assert verify_client(peer("spiffe://old.example.com/ns/a/sa/b"), mesh, NOW) is None
    for stranger in ("spiffe://cluster.local.evil/ns/a/sa/b", "spiffe://other/ns/a/sa/b", "cluster.local"):
        assert verify_client(peer(stranger), mesh, NOW) == (
            f"{LEAD}SAN matcher, certificate SANs are [{stranger}]:TLS_error_end"
        )
    assert verify_client(peer(), mesh, NOW) is not None


def test_a_resumed_session_is_asked_for_its_date() -> None:
    resumed = replace(peer(REVIEWS), resumed=True)
    end = facts_of(resumed.certificate).not_after
    assert verify_client(resumed, MeshTls(), end - 1) is None
    assert verify_client(resumed, MeshTls(), end + 1) == EXPIRED
    assert verify_server(resumed, MUTUAL, "", end + 1) == EXPIRED


def test_a_gateways_client_may_have_to_have_a_name() -> None:
    server = ServerTls(ServerTlsMode.MUTUAL, subject_alt_names=("client.example.com",))
    assert verify_gateway_client(peer("client.example.com"), server, NOW) is None
    assert verify_gateway_client(peer("other.example.com"), server, NOW) is not None


def test_a_gateways_client_may_be_known_by_its_certificate_or_key() -> None:
    one = peer("client.example.com")
    facts = facts_of(one.certificate)
    colons = ":".join(facts.sha256[at : at + 2] for at in range(0, 64, 2)).upper()
    key = base64.b64encode(bytes.fromhex(facts.spki_sha256)).decode()
    for more in ({"certificate_hashes": (colons,)}, {"certificate_spki": (key,)}):
        server = ServerTls(ServerTlsMode.MUTUAL, **more)
        assert verify_gateway_client(one, server, NOW) is None
        refused = verify_gateway_client(peer("client.example.com"), server, NOW)
        assert refused == f"{LEAD}cert hash and spki:TLS_error_end"


def test_a_gateways_client_that_showed_nothing_was_not_asked_to() -> None:
    server = ServerTls(ServerTlsMode.OPTIONAL_MUTUAL, subject_alt_names=("client.example.com",))
    assert verify_gateway_client(Peer(), server, NOW) is None
