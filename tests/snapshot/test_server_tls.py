"""TLS that a Gateway's server ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyproxy.core.tls import ServerTls, ServerTlsMode, TlsParameters
from pyproxy.istio.networking.gateway import ServerTLSSettings
from pyproxy.snapshot.credentials import Credentials
from pyproxy.snapshot.mesh import MeshSettings, mesh_settings
from pyproxy.snapshot.server_tls import compile_server_tls, missing_files
from tests.snapshot.documents import documents, mesh

PAIR = {"serverCertificate": "a.pem", "privateKey": "a.key", "caCertificates": "ca.pem", "caCrl": "ca.crl"}


def server(tls: dict[str, Any], settings: MeshSettings | None = None) -> ServerTls:
    block = ServerTLSSettings.model_validate(tls)
    return compile_server_tls(block, ("a.com",), "https", Credentials("certs"), settings or MeshSettings())


def at(name: str, file: str) -> str:
    return str(Path("certs", "credentials", name, file))


def test_files_of_a_simple_server_without_an_authority() -> None:
    found = server({"mode": "SIMPLE", **PAIR})

    assert found == ServerTls(
        ServerTlsMode.SIMPLE, ("a.com",), "a.pem", "a.key", crl_file="ca.crl", route_table="https"
    )


@pytest.mark.parametrize("mode", ["MUTUAL", "OPTIONAL_MUTUAL"])
def test_files_of_a_server_that_asks_for_certificates(mode: str) -> None:
    found = server({"mode": mode, **PAIR, "subjectAltNames": ["client"], "insecureSkipVerify": True})

    assert (found.mode.value, found.ca_file, found.subject_alt_names) == (mode, "ca.pem", ("client",))
    assert found.accept_untrusted


def test_a_credential_is_a_folder() -> None:
    found = server({"mode": "MUTUAL", "credentialName": "shop"})

    assert (found.certificate_file, found.key_file) == (at("shop", "tls.crt"), at("shop", "tls.key"))
    assert found.ca_file == at("shop", "ca.crt")


def test_of_two_credentials_the_first_brings_the_authority() -> None:
    found = server({"mode": "MUTUAL", "credentialNames": ["rsa", "ec"]})

    assert found.certificate_file == at("rsa", "tls.crt")
    assert found.more_certificates == ((at("ec", "tls.crt"), at("ec", "tls.key")),)
    assert found.ca_file == at("rsa", "ca.crt")


def test_an_authority_may_have_a_credential_of_its_own() -> None:
    assert server({"mode": "MUTUAL", "credentialName": "shop", "caCertCredentialName": "roots"}).ca_file == at(
        "roots", "ca.crt"
    )


def test_two_pairs_of_files() -> None:
    pairs = [{"serverCertificate": f"{name}.pem", "privateKey": f"{name}.key"} for name in ("rsa", "ec")]
    found = server({"mode": "SIMPLE", "tlsCertificates": pairs})

    assert (found.certificate_file, found.more_certificates) == ("rsa.pem", (("ec.pem", "ec.key"),))


def test_istio_mutual_has_no_files_and_no_parameters_of_its_own() -> None:
    defaults = mesh_settings(documents(mesh("tlsDefaults: {minProtocolVersion: TLSV1_3}")))

    assert server({"mode": "ISTIO_MUTUAL"}, defaults) == ServerTls(
        ServerTlsMode.ISTIO_MUTUAL, ("a.com",), route_table="https"
    )


def test_fingerprints_as_openssl_prints_them() -> None:
    found = server({"mode": "MUTUAL", "credentialName": "shop", "verifyCertificateHash": ["AB:CD"]})

    assert found.certificate_hashes == ("abcd",)


def test_a_servers_parameters_come_before_the_meshs() -> None:
    defaults = mesh_settings(
        documents(mesh("tlsDefaults: {minProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384]}"))
    )
    own = {"minProtocolVersion": "TLSV1_3", "maxProtocolVersion": "TLSV1_3", "cipherSuites": ["AES128-SHA", "WEAK"]}

    assert server({"mode": "SIMPLE"}, defaults).parameters == TlsParameters(
        "TLSv1_2", ciphers=("ECDHE-RSA-AES256-GCM-SHA384",)
    )
    assert server({"mode": "SIMPLE", **own}, defaults).parameters == TlsParameters(
        "TLSv1_3", "TLSv1_3", ("AES128-SHA",)
    )


def test_what_is_missing_depends_on_the_mode(tmp_path: Path) -> None:
    credentials = Credentials(str(tmp_path))

    def count(**tls: str) -> int:
        return len(missing_files(ServerTLSSettings.model_validate(tls), credentials))

    assert count(mode="SIMPLE", credentialName="shop") == 2
    assert count(mode="OPTIONAL_MUTUAL", credentialName="shop") == 3
    assert count(mode="ISTIO_MUTUAL") == count(mode="SIMPLE", **PAIR) == 0
