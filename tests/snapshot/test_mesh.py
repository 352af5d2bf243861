"""MeshConfig and its defaults."""

from __future__ import annotations

import pytest

from pyproxy.core.tls import MeshTls, TlsParameters
from pyproxy.snapshot.mesh import MESH_CIPHERS, MeshSettings, mesh_settings
from pyproxy.snapshot.model import AccessLog, Direction, PathNormalization
from tests.snapshot.documents import documents, mesh


def settings(*configs: str) -> MeshSettings:
    return mesh_settings(documents("\n---\n".join(mesh(config) for config in configs)))


def test_istios_defaults() -> None:
    found = mesh_settings(())

    assert (found.root_namespace, found.trust_domain, found.domain) == (
        "istio-system",
        "cluster.local",
        "cluster.local",
    )
    assert found.allow_any
    assert (found.connect_timeout, found.dns_refresh) == (10.0, 60.0)
    assert found.interception
    assert found.services_export == found.virtual_services_export == found.destination_rules_export == {"*"}
    assert found.access_log == AccessLog()


def test_the_oldest_document_gives_the_mesh_config() -> None:
    found = settings("rootNamespace: one\nconnectTimeout: 1s", "rootNamespace: two\ntrustDomain: two")

    assert (found.root_namespace, found.trust_domain, found.connect_timeout) == ("one", "cluster.local", 1.0)


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ("{mode: ALLOW_ANY}", True),
        ("{mode: REGISTRY_ONLY}", False),
        ("{}", False),
        ("{mode: ALLOW_ANY_DYNAMIC_DNS}", True),
    ],
)
def test_outbound_traffic_policy(policy: str, allowed: bool) -> None:
    assert settings(f"outboundTrafficPolicy: {policy}").allow_any is allowed


def test_access_log_and_sampling() -> None:
    found = settings(
        "accessLogFile: /dev/stdout\naccessLogEncoding: JSON\naccessLogFormat: '{}'\nenableTracing: false\n"
        "defaultConfig: {tracing: {sampling: 0}}"
    )

    assert found.access_log == AccessLog("/dev/stdout", "JSON", "{}")


@pytest.mark.parametrize(
    ("word", "normalization"),
    [
        ("DEFAULT", PathNormalization.BASE),
        ("NONE", PathNormalization.NONE),
        ("MERGE_SLASHES", PathNormalization.MERGE_SLASHES),
        ("DECODE_AND_MERGE_SLASHES", PathNormalization.DECODE_AND_MERGE_SLASHES),
    ],
)
def test_path_normalization(word: str, normalization: PathNormalization) -> None:
    found = settings(f"pathNormalization: {{normalization: {word}}}").http(Direction.INBOUND)

    assert found.path_normalization is normalization
    assert mesh_settings(()).http(Direction.INBOUND).path_normalization is PathNormalization.BASE


def test_sidecars_trust_nobody_and_gateways_look_at_the_connection() -> None:
    found = mesh_settings(())

    assert [found.http(each).use_remote_address for each in Direction] == [False, False, True]
    assert [found.http(each).server_name for each in Direction] == [b"envoy", b"istio-envoy", b"istio-envoy"]
    assert found.http(Direction.OUTBOUND).stream_idle_timeout == 0.0
    assert not found.http(Direction.OUTBOUND).accept_http_10


def test_proxy_headers_can_be_switched() -> None:
    switched = "{server: {value: web}, requestId: {disabled: true}, attemptCount: {disabled: true}}"
    found = settings(f"defaultConfig: {{proxyHeaders: {switched}}}").http(Direction.INBOUND)
    silent = settings("defaultConfig: {proxyHeaders: {server: {disabled: true}}}").http(Direction.OUTBOUND)

    assert (found.server_name, found.generate_request_id, found.attempt_count_header) == (b"web", False, False)
    assert silent.server_name == b""


def test_the_edge_profile_is_for_gateways() -> None:
    found = settings("defaultConfig: {connectionSettings: {profile: EDGE, httpStreamIdleTimeout: 1s}}")

    gateway, inbound = found.http(Direction.GATEWAY), found.http(Direction.INBOUND)
    assert (gateway.stream_idle_timeout, gateway.request_headers_timeout) == (1.0, 60.0)
    assert gateway.path_normalization is PathNormalization.MERGE_SLASHES
    assert (inbound.stream_idle_timeout, inbound.request_headers_timeout) == (1.0, 0.0)


def test_http_10_is_a_proxys_own_setting() -> None:
    assert settings("defaultConfig: {proxyMetadata: {ISTIO_META_HTTP10: '1'}}").http(Direction.INBOUND).accept_http_10


NETWORKS = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  values:
    pilot: {env: {ENABLE_HCM_INTERNAL_NETWORKS: %s}}
    global:
      meshNetworks:
        b: {endpoints: [{fromCidr: fd00::/8}, {fromRegistry: r}, {fromCidr: nonsense}], gateways: [{address: 1.1.1.1}]}
        a: {endpoints: [{fromCidr: 10.1.2.3/8}, {fromCidr: 10.0.0.1}]}
        c: null
"""


@pytest.mark.parametrize(("flag", "sidecars"), [("'true'", 3), ("true", 3), ("'1'", 3), ("'false'", 0), ("'yes'", 0)])
def test_networks_are_internal_to_gateways_and_under_a_flag_to_sidecars(flag: str, sidecars: int) -> None:
    found = mesh_settings(documents(NETWORKS % flag))

    assert [len(found.http(each).internal_networks) for each in Direction] == [sidecars, sidecars, 3]
    assert [str(each) for each in found.internal_networks] == ["10.0.0.0/8", "10.0.0.1/32", "fd00::/8"]
    assert not mesh_settings(()).http(Direction.GATEWAY).internal_networks


# TLS


def test_mutual_tls_between_proxies() -> None:
    assert settings().mesh_tls == MeshTls(("cluster.local",), TlsParameters(ciphers=MESH_CIPHERS))
    found = settings(
        "trustDomain: td\ntrustDomainAliases: [old, td]\nmeshMTLS: {minProtocolVersion: TLSV1_3, cipherSuites: [A]}"
    )
    assert found.mesh_tls == MeshTls(("td", "old"), TlsParameters("TLSv1_3", ciphers=("A",)))
    assert settings("meshMTLS: {minProtocolVersion: TLSV1_2}").mesh_tls.parameters.min_version == ""


def test_tls_with_others() -> None:
    assert settings().tls_defaults == TlsParameters()
    found = settings("tlsDefaults: {minProtocolVersion: TLSV1_2, cipherSuites: [AES128-SHA, AES128-SHA, NONE]}")
    assert found.tls_defaults == TlsParameters("TLSv1_2", ciphers=("AES128-SHA",))


def test_automatic_mutual_tls_is_on_unless_it_is_off() -> None:
    assert [settings(text).auto_mtls for text in ("rootNamespace: x", "enableAutoMtls: false")] == [True, False]


@pytest.mark.parametrize(
    ("direction", "config", "mode", "details"),
    [
        (Direction.INBOUND, "", "APPEND_FORWARD", ("Subject", "URI", "DNS")),
        (Direction.OUTBOUND, "", "SANITIZE", ("Subject", "URI", "DNS")),
        (Direction.GATEWAY, "", "SANITIZE_SET", ("Cert", "Subject", "URI", "DNS")),
        (Direction.INBOUND, "proxyHeaders: {forwardedClientCert: FORWARD_ONLY}", "FORWARD_ONLY", None),
        (Direction.OUTBOUND, "proxyHeaders: {forwardedClientCert: FORWARD_ONLY}", "SANITIZE", None),
        (Direction.GATEWAY, "proxyHeaders: {forwardedClientCert: FORWARD_ONLY}", "SANITIZE_SET", None),
        (Direction.GATEWAY, "gatewayTopology: {forwardClientCertDetails: APPEND_FORWARD}", "APPEND_FORWARD", None),
        (Direction.INBOUND, "gatewayTopology: {forwardClientCertDetails: SANITIZE}", "APPEND_FORWARD", None),
        (Direction.INBOUND, "proxyHeaders: {forwardedClientCert: UNDEFINED}", "APPEND_FORWARD", None),
        (
            Direction.INBOUND,
            "proxyHeaders: {setCurrentClientCertDetails: {cert: true, subject: false}}",
            "APPEND_FORWARD",
            ("Cert", "URI", "DNS"),
        ),
        (
            Direction.GATEWAY,
            "proxyHeaders: {setCurrentClientCertDetails: {uri: false}}",
            "SANITIZE_SET",
            ("Cert", "Subject", "URI", "DNS"),
        ),
    ],
)
def test_who_is_told_of_client_certificates(
    direction: Direction, config: str, mode: str, details: tuple[str, ...] | None
) -> None:
    found = settings(f"defaultConfig: {{{config}}}").http(direction)
    assert found.forward_client_cert.value == mode
    assert details is None or found.client_cert_details == details
