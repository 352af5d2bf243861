"""TLS towards a destination."""

from __future__ import annotations

from pyproxy.istio.metadata import DEFAULT_NAMESPACE, ObjectMeta
from pyproxy.istio.networking.destination_rule import ClientTLSSettings
from pyproxy.istio.rules.place import Place

_CONFIG_MAP = "configmap://"


def check_client_tls(tls: ClientTLSSettings | None, meta: ObjectMeta, place: Place) -> None:
    """Where certificates come from, and what is checked of the server's."""
    if tls is None:
        return
    _check_config_map(tls.credential_name or "", meta, place.at("credentialName"))
    if tls.insecure_skip_verify:
        _check_no_verification(tls, place)
    if tls.mode in ("SIMPLE", "MUTUAL") and tls.credential_name:
        for name, value in (
            ("clientCertificate", tls.client_certificate),
            ("privateKey", tls.private_key),
            ("caCertificates", tls.ca_certificates),
            ("caCrl", tls.ca_crl),
        ):
            if value:
                place.at(name).error("credentialName excludes it")
    elif tls.mode == "MUTUAL":
        if not tls.client_certificate:
            place.error("mode MUTUAL requires clientCertificate, or credentialName")
        if not tls.private_key:
            place.error("mode MUTUAL requires privateKey, or credentialName")


def _check_no_verification(tls: ClientTLSSettings, place: Place) -> None:
    excluded: list[tuple[str, object]] = []
    if tls.mode in ("SIMPLE", "MUTUAL"):
        excluded += [("caCertificates", tls.ca_certificates), ("subjectAltNames", tls.subject_alt_names)]
    if tls.mode == "SIMPLE":
        excluded.append(("credentialName", tls.credential_name))
    for name, value in excluded:
        if value:
            place.at(name).error("insecureSkipVerify excludes it")


def _check_config_map(credential: str, meta: ObjectMeta, place: Place) -> None:
    if not credential.startswith(_CONFIG_MAP):
        return
    namespace, _, name = credential.removeprefix(_CONFIG_MAP).partition("/")
    own = meta.namespace or DEFAULT_NAMESPACE
    if namespace != own or not name:
        place.error(f"must be {_CONFIG_MAP}{own}/NAME: a ConfigMap of the document's own namespace")
