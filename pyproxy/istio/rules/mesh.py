"""MeshConfig, as an IstioOperator holds it: what Istio checks of it, as far as it is set (its agent/validation.go)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyproxy.istio.mesh.config import DefaultTrafficPolicy, MeshConfig, TLSConfig
from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.operator import ISTIOD_FLAGS, IstioOperator
from pyproxy.istio.problems import NOT_APPLIED
from pyproxy.istio.rules.amounts import port_problem
from pyproxy.istio.rules.connection_pool import check_connection_pool
from pyproxy.istio.rules.destination_rule import check_outlier_detection
from pyproxy.istio.rules.locality import check_locality, check_zone_aware
from pyproxy.istio.rules.mesh_proxy import check_proxy
from pyproxy.istio.rules.names import is_dns_label, wildcard_domain_problem
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.providers import check_providers
from pyproxy.istio.rules.retry import check_retry

_CURVES = frozenset(("P-224", "P-256", "P-521", "P-384", "X25519", "X25519Kyber768Draft00", "X25519MLKEM768"))
_NOT_OURS = "ignored: it is about istiod"
_NETWORK = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def check_operator(spec: IstioOperator, meta: ObjectMeta, place: Place) -> None:
    """What an IstioOperator says about the mesh."""
    if spec.mesh_config is not None:
        check_mesh(spec.mesh_config, place.at("meshConfig"))
    settings = spec.values.global_ if spec.values is not None else None
    pilot = spec.values.pilot if spec.values is not None else None
    for name in pilot.env if pilot is not None else ():
        if name not in ISTIOD_FLAGS:
            place.at("values", "pilot", "env", name).info(_NOT_OURS, NOT_APPLIED)
    if settings is not None and settings.network and not _NETWORK.fullmatch(settings.network):
        place.at("values", "global", "network").error(f'"{settings.network}" is not a network\'s name')


def check_mesh(mesh: MeshConfig, place: Place) -> None:
    """One MeshConfig. What it leaves out has a default and is not missed."""
    for name, port in (
        ("proxyListenPort", mesh.proxy_listen_port),
        ("proxyInboundListenPort", mesh.proxy_inbound_listen_port),
    ):
        if port:
            place.at(name).error(port_problem(port))
    _check_durations(mesh, place)
    _check_trust_domains(mesh, place)
    for name, entries in (
        ("defaultServiceExportTo", mesh.default_service_export_to),
        ("defaultVirtualServiceExportTo", mesh.default_virtual_service_export_to),
        ("defaultDestinationRuleExportTo", mesh.default_destination_rule_export_to),
    ):
        _check_export_to(entries, place.at(name))
    for index, settings in enumerate(mesh.service_settings):
        for host_index, host in enumerate(settings.hosts):
            place.at("serviceSettings", index, "hosts", host_index).error(wildcard_domain_problem(host))
    check_locality(mesh.locality_lb_setting, place.at("localityLbSetting"), has_outliers=True)
    check_zone_aware(mesh.zone_aware_lb_setting, place.at("zoneAwareLbSetting"), has_outliers=True)
    check_retry(mesh.default_http_retry_policy, place.at("defaultHttpRetryPolicy"))
    _check_inbound_retry(mesh, place.at("defaultInboundHttpRetryPolicy"))
    _check_traffic_policy(mesh.default_traffic_policy, place.at("defaultTrafficPolicy"))
    _check_tls(mesh, place)
    check_providers(mesh.extension_providers, place.at("extensionProviders"))
    if mesh.default_config is not None:
        check_proxy(mesh.default_config, place.at("defaultConfig"))


def _check_durations(mesh: MeshConfig, place: Place) -> None:
    connect = mesh.connect_timeout
    if connect is not None and not (0.001 <= connect <= 3600 and _whole_milliseconds(connect)):
        place.at("connectTimeout").error("must be from 1ms to 1h, in whole milliseconds")
    detection = mesh.protocol_detection_timeout
    if detection is not None and not (detection >= 0 and _whole_milliseconds(detection)):
        place.at("protocolDetectionTimeout").error("must be 0s, which waits for ever, or a number of milliseconds")
    refresh = mesh.dns_refresh_rate
    if refresh is not None and refresh <= 0:
        place.at("dnsRefreshRate").error("must be above 0s")


def _whole_milliseconds(seconds: float) -> bool:
    return round(seconds * 1000, 6) % 1 == 0


def _check_trust_domains(mesh: MeshConfig, place: Place) -> None:
    if mesh.trust_domain is not None:
        place.at("trustDomain").error(_trust_domain_problem(mesh.trust_domain))
    for index, alias in enumerate(mesh.trust_domain_aliases):
        place.at("trustDomainAliases", index).error(_trust_domain_problem(alias))


def _trust_domain_problem(domain: str) -> str | None:
    labels = domain.removesuffix(".").split(".")
    return None if all(map(is_dns_label, labels)) else f'"{domain}" is not a trust domain such as cluster.local'


def _check_export_to(entries: Sequence[str], place: Place) -> None:
    for index, entry in enumerate(entries):
        if entry not in (".", "*", "~") and not is_dns_label(entry):
            place.at(index).error(f'"{entry}" is none of what is accepted: ., *, ~ or a namespace')


def _check_inbound_retry(mesh: MeshConfig, place: Place) -> None:
    """On the way to the own application there is one endpoint, so nothing about choosing another applies."""
    retry = mesh.default_inbound_http_retry_policy
    if retry is None:
        return
    check_retry(retry, place)
    if not retry.attempts and retry.backoff is not None:
        place.at("backoff").error("says how to retry, but attempts is 0, which switches retries off")
    for name, value in (
        ("perTryTimeout", retry.per_try_timeout),
        ("retryRemoteLocalities", retry.retry_remote_localities),
        ("retryIgnorePreviousHosts", retry.retry_ignore_previous_hosts),
    ):
        if value is not None:
            place.at(name).warning("has no effect on requests to the own application")


def _check_traffic_policy(policy: DefaultTrafficPolicy | None, place: Place) -> None:
    if policy is not None:
        check_connection_pool(policy.connection_pool, place.at("connectionPool"))
        check_outlier_detection(policy.outlier_detection, place.at("outlierDetection"))


def _check_tls(mesh: MeshConfig, place: Place) -> None:
    if mesh.mesh_mtls is not None and mesh.mesh_mtls.ecdh_curves:
        place.at("meshMTLS", "ecdhCurves").error("cannot be set for mutual TLS in the mesh")
    _check_curves(mesh.tls_defaults, place.at("tlsDefaults", "ecdhCurves"))


def _check_curves(tls: TLSConfig | None, place: Place) -> None:
    curves = tls.ecdh_curves if tls is not None else ()
    for index, curve in enumerate(curves):
        if curve and curve not in _CURVES:
            place.at(index).warning(f"{curve} is not known; accepted are {', '.join(sorted(_CURVES))}")
        elif curve in curves[:index]:
            place.at(index).warning(f"{curve} is there twice")
