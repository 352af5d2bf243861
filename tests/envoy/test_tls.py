"""TLS in Envoy's words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyproxy.core.tls import ClientTls, ClientTlsMode, MeshTls, ServerTls, ServerTlsMode, TlsParameters
from pyproxy.envoy.tls import (
    Certificates,
    can_connect,
    cluster_socket,
    gateway_socket,
    inbound_socket,
    names_by_request,
)
from pyproxy.snapshot.model import Cluster, ConnectionSettings

OWN = Certificates("/certs")
NONE = Certificates()
MESH = MeshTls(("cluster.local", "old"), TlsParameters("TLSv1_3", ciphers=("A", "B")))
MUTUAL = ClientTls(ClientTlsMode.ISTIO_MUTUAL, sni="outbound_.80_._.a", subject_alt_names=("spiffe://a",))


def cluster(tls: ClientTls | None) -> Cluster:
    return Cluster("outbound|80||a", tls=tls)


def context(socket: Any) -> Any:
    assert socket["name"] == "envoy.transport_sockets.tls"
    return socket["typed_config"]


def common(socket: Any) -> Any:
    return context(socket)["common_tls_context"]


def simple(**more: Any) -> ClientTls:
    return ClientTls(ClientTlsMode.SIMPLE, ca_file="/ca.pem", **more)


# Towards clusters


@pytest.mark.parametrize("tls", [None, MUTUAL, replace(MUTUAL, automatic=True)])
def test_who_the_client_is_comes_before_all_else(tls: ClientTls | None) -> None:
    told: Any = cluster_socket(replace(cluster(tls), connection=ConnectionSettings(proxy_protocol="V2")), OWN)
    plain: Any = cluster_socket(cluster(tls), OWN)
    sockets = (
        [told["transport_socket"]]
        if "transport_socket" in told
        else [each["transport_socket"] for each in told["transport_socket_matches"]]
    )
    within = [socket["typed_config"]["transport_socket"] for socket in sockets]
    assert {socket["typed_config"]["config"]["version"] for socket in sockets} == {"V2"}
    if tls is None:
        assert [each["name"] for each in within] == ["envoy.transport_sockets.raw_buffer"]
    elif not tls.automatic:
        assert within == [plain["transport_socket"]]
    else:
        assert within == [each["transport_socket"] for each in plain["transport_socket_matches"]]


def test_mutual_tls_within_the_mesh() -> None:
    found: Any = cluster_socket(cluster(MUTUAL), OWN)["transport_socket"]

    assert context(found)["sni"] == "outbound_.80_._.a"
    assert common(found) == {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [
            {
                "certificate_chain": {"filename": "/certs/cert-chain.pem"},
                "private_key": {"filename": "/certs/key.pem"},
            }
        ],
        "validation_context": {
            "trusted_ca": {"filename": "/certs/root-cert.pem"},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": "spiffe://a"}}],
        },
        "alpn_protocols": ["istio"],
    }


def test_automatic_mutual_tls_by_the_endpoints_metadata() -> None:
    automatic = ClientTls(ClientTlsMode.ISTIO_MUTUAL, automatic=True, alpn=("istio-h2", "istio", "h2"))
    found: Any = cluster_socket(cluster(automatic), OWN)["transport_socket_matches"]

    assert [(each["name"], each["match"]) for each in found] == [
        ("tlsMode-istio", {"tlsMode": "istio"}),
        ("tlsMode-disabled", {}),
    ]
    assert common(found[0]["transport_socket"])["alpn_protocols"] == ["istio-h2", "istio", "h2"]
    assert found[1]["transport_socket"]["name"] == "envoy.transport_sockets.raw_buffer"
    assert cluster_socket(cluster(automatic), NONE) == {}
    assert can_connect(cluster(automatic), NONE)


def test_plaintext_has_no_socket() -> None:
    assert cluster_socket(cluster(None), OWN) == {}


@pytest.mark.parametrize(
    ("name", "kind"), [("spiffe://a/b", "URI"), ("a.com", "DNS"), ("10.0.0.1", "IP_ADDRESS"), ("::1", "IP_ADDRESS")]
)
def test_a_name_is_looked_for_among_those_of_its_kind(name: str, kind: str) -> None:
    found: Any = cluster_socket(cluster(simple(subject_alt_names=(name,))), NONE)["transport_socket"]

    assert common(found)["validation_context"]["match_typed_subject_alt_names"] == [
        {"san_type": kind, "matcher": {"exact": name}}
    ]


def test_files_of_a_rule() -> None:
    tls = ClientTls(
        ClientTlsMode.MUTUAL, certificate_file="/c.pem", key_file="/c.key", ca_file="/ca.pem", crl_file="/crl.pem"
    )
    found: Any = cluster_socket(cluster(tls), NONE)["transport_socket"]

    assert common(found)["tls_certificates"] == [
        {"certificate_chain": {"filename": "/c.pem"}, "private_key": {"filename": "/c.key"}}
    ]
    assert common(found)["validation_context"] == {
        "trusted_ca": {"filename": "/ca.pem"},
        "crl": {"filename": "/crl.pem"},
    }


def test_nothing_is_checked_where_that_is_asked_for() -> None:
    found: Any = cluster_socket(cluster(ClientTls(ClientTlsMode.SIMPLE, insecure_skip_verify=True)), NONE)

    assert "validation_context" not in common(found["transport_socket"])


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        (simple(auto_san=True), {"auto_sni": True, "auto_san_validation": True}),
        (simple(subject_alt_names=("a",)), {"auto_sni": True}),
        (simple(sni="a.com"), None),
        (MUTUAL, None),
        (None, None),
    ],
)
def test_names_out_of_the_request(tls: ClientTls | None, expected: dict[str, bool] | None) -> None:
    assert names_by_request(tls) == ({} if expected is None else {"upstream_http_protocol_options": expected})


@pytest.mark.parametrize("missing", ["/c.pem", "/c.key", "/ca.pem", "/crl.pem"])
def test_without_one_of_its_files_nothing_connects(missing: str) -> None:
    tls = ClientTls(
        ClientTlsMode.MUTUAL, certificate_file="/c.pem", key_file="/c.key", ca_file="/ca.pem", crl_file="/crl.pem"
    )

    assert can_connect(cluster(tls), Certificates(exists=lambda _: True))
    assert not can_connect(cluster(tls), Certificates(exists=lambda file: file != missing))
    assert cluster_socket(cluster(tls), Certificates(exists=lambda file: file != missing)) == {}


def test_without_a_certificate_nothing_connects_that_must_show_one() -> None:
    assert not can_connect(cluster(MUTUAL), NONE)


# From clients


def test_mutual_tls_on_a_port() -> None:
    found = inbound_socket(MESH, OWN, http=True)

    assert context(found)["require_client_certificate"] is True
    assert common(found)["tls_params"] == {
        "tls_minimum_protocol_version": "TLSv1_3",
        "tls_maximum_protocol_version": "TLSv1_3",
        "cipher_suites": ["A", "B"],
    }
    assert common(found)["validation_context"]["match_typed_subject_alt_names"] == [
        {"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/"}},
        {"san_type": "URI", "matcher": {"prefix": "spiffe://old/"}},
    ]
    assert common(found)["alpn_protocols"] == ["h2", "http/1.1"]
    assert common(inbound_socket(MESH, OWN, http=False))["alpn_protocols"] == ["http/1.1"]


def server(mode: ServerTlsMode, **more: Any) -> ServerTls:
    return ServerTls(mode, certificate_file="/a.pem", key_file="/a.key", ca_file="/ca.pem", **more)


def test_a_simple_server_asks_for_nothing() -> None:
    found: Any = gateway_socket(
        server(ServerTlsMode.SIMPLE, route_table="https", more_certificates=(("/b.pem", "/b.key"),)), NONE
    )

    assert context(found)["require_client_certificate"] is False
    assert common(found) == {
        "tls_certificates": [
            {"certificate_chain": {"filename": f"/{name}.pem"}, "private_key": {"filename": f"/{name}.key"}}
            for name in "ab"
        ],
        "alpn_protocols": ["h2", "http/1.1"],
    }


@pytest.mark.parametrize(("mode", "required"), [(ServerTlsMode.MUTUAL, True), (ServerTlsMode.OPTIONAL_MUTUAL, False)])
def test_a_server_that_asks_for_a_certificate(mode: ServerTlsMode, required: bool) -> None:
    found: Any = gateway_socket(
        server(mode, subject_alt_names=("a.com",), certificate_hashes=("ab",), accept_untrusted=True), NONE
    )

    assert context(found)["require_client_certificate"] is required
    assert common(found)["validation_context"] == {
        "trusted_ca": {"filename": "/ca.pem"},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "a.com"}}],
        "verify_certificate_hash": ["ab"],
        "trust_chain_verification": "ACCEPT_UNTRUSTED",
    }
    assert "alpn_protocols" not in common(found)


def test_the_mesh_at_a_gateway() -> None:
    istio = ServerTls(ServerTlsMode.ISTIO_MUTUAL, subject_alt_names=("spiffe://a",), route_table="https")
    found = gateway_socket(istio, OWN)

    assert context(found)["require_client_certificate"] is True
    assert common(found)["tls_certificates"][0]["private_key"] == {"filename": "/certs/key.pem"}
    assert common(found)["validation_context"] == {
        "trusted_ca": {"filename": "/certs/root-cert.pem"},
        "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": "spiffe://a"}}],
    }
    assert gateway_socket(istio, NONE) is None


def test_a_server_without_its_files_has_no_socket() -> None:
    absent = Certificates(exists=lambda file: file != "/ca.pem")

    assert gateway_socket(server(ServerTlsMode.MUTUAL), absent) is None
    assert gateway_socket(server(ServerTlsMode.SIMPLE), absent) is not None


def test_the_names_of_our_own_files() -> None:
    assert Certificates("certs").own("key.pem") == str(Path("certs", "key.pem"))
