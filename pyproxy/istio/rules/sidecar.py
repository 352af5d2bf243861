"""Sidecar: listeners for the workload's own ports and for what it calls."""

from __future__ import annotations

from collections.abc import Sequence

from pyproxy.istio.metadata import DEFAULT_NAMESPACE, ObjectMeta
from pyproxy.istio.networking.sidecar import (
    IstioEgressListener,
    IstioIngressListener,
    OutboundTrafficPolicy,
    Sidecar,
    SidecarPort,
)
from pyproxy.istio.rules import protocols
from pyproxy.istio.rules.amounts import port_problem
from pyproxy.istio.rules.connection_pool import check_connection_pool
from pyproxy.istio.rules.destination import check_destination
from pyproxy.istio.rules.listener_names import check_sidecar_host
from pyproxy.istio.rules.names import (
    UNIX_PREFIX,
    dns_label_problem,
    fqdn_problem,
    ip_address_problem,
    unix_address_problem,
)
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.protocols import protocol_of, protocol_problem
from pyproxy.istio.rules.server_tls import check_server_tls
from pyproxy.istio.rules.visibility import check_label_selector

_OWN_ADDRESSES = ("", "127.0.0.1", "0.0.0.0", "::1", "::")


def check_sidecar(spec: Sidecar, meta: ObjectMeta, place: Place) -> None:
    """Everything that Istio checks in a Sidecar on its own."""
    if spec.workload_selector is not None:
        check_label_selector(spec.workload_selector.labels, place.at("workloadSelector"), "labels")
    has_content = spec.ingress or spec.egress or spec.outbound_traffic_policy or spec.inbound_connection_pool
    if not has_content:
        place.error("is empty: ingress, egress, outboundTrafficPolicy or inboundConnectionPool is required")
    _check_ingress(spec.ingress, place.at("ingress"))
    check_connection_pool(spec.inbound_connection_pool, place.at("inboundConnectionPool"))
    _check_egress(spec.egress, meta, place.at("egress"))
    if spec.outbound_traffic_policy is not None:
        _check_outbound_policy(spec.outbound_traffic_policy, place.at("outboundTrafficPolicy"))


# Ingress


def _check_ingress(listeners: Sequence[IstioIngressListener], place: Place) -> None:
    numbers: set[int | None] = set()
    for index, listener in enumerate(listeners):
        at = place.at(index)
        _check_port(listener.port, at.at("port"))
        at.at("port", "number").error(port_problem(listener.port.number or 0))
        if listener.port.number in numbers:
            at.at("port", "number").error(f"{listener.port.number} is there twice")
        numbers.add(listener.port.number)
        if listener.bind:
            at.at("bind").error(ip_address_problem(listener.bind))
        if listener.default_endpoint:
            at.at("defaultEndpoint").error(_endpoint_problem(listener.default_endpoint))
        _check_ingress_tls(listener, at.at("tls"))
        check_connection_pool(listener.connection_pool, at.at("connectionPool"))
        pool = listener.connection_pool
        if pool is not None and pool.http is not None and protocol_of(listener.port.protocol) not in protocols.HTTP:
            at.at("connectionPool", "http").warning("has no effect: the port's protocol is not HTTP")


def _endpoint_problem(endpoint: str) -> str | None:
    """For where the workload itself listens."""
    if endpoint.startswith(UNIX_PREFIX):
        return unix_address_problem(endpoint.removeprefix(UNIX_PREFIX))
    host, colon, port = endpoint.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or host not in _OWN_ADDRESSES or not (port.isascii() and port.isdigit()):
        accepted = "127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT, :PORT and unix://PATH"
        return f'"{endpoint}" is not where a workload listens; accepted are {accepted}'
    return port_problem(int(port))


def _check_ingress_tls(listener: IstioIngressListener, place: Place) -> None:
    tls = listener.tls
    if tls is None:
        return
    for name, value in (
        ("subjectAltNames", tls.subject_alt_names),
        ("httpsRedirect", tls.https_redirect),
        ("credentialName", tls.credential_name),
        ("credentialNames", tls.credential_names),
        ("tlsCertificates", tls.tls_certificates),
    ):
        if value:
            place.at(name).error("is not supported in a Sidecar")
    if tls.mode in ("ISTIO_MUTUAL", "AUTO_PASSTHROUGH"):
        place.at("mode").error(f"{tls.mode} is not supported in a Sidecar")
    if protocol_of(listener.port.protocol) not in protocols.TLS:
        place.error("needs a port whose protocol is HTTPS or TLS")
    check_server_tls(tls, place)


def _check_port(port: SidecarPort, place: Place) -> None:
    if port.name:
        place.at("name").error(dns_label_problem(port.name))
    place.at("protocol").error(protocol_problem(port.protocol))
    if port.target_port:
        place.at("targetPort").error("has no effect in a Sidecar: leave it out")


# Egress


def _check_egress(listeners: Sequence[IstioEgressListener], meta: ObjectMeta, place: Place) -> None:
    numbers: set[int] = set()
    sockets: set[str] = set()
    for index, listener in enumerate(listeners):
        at = place.at(index)
        if listener.port is None:
            if index != len(listeners) - 1:
                at.error("without a port it takes everything: it must be the last one")
        else:
            _check_egress_port(listener, listener.port, at)
            number, bind = listener.port.number or 0, listener.bind or ""
            if number == 0 and bind in sockets:
                at.at("bind").error(f"{bind} is there twice")
            if number and number in numbers:
                at.at("port", "number").error(f"{number} is there twice")
            sockets.add(bind)
            numbers.add(number)
        _check_egress_hosts(listener.hosts, meta, at.at("hosts"))


def _check_egress_port(listener: IstioEgressListener, port: SidecarPort, place: Place) -> None:
    _check_port(port, place.at("port"))
    bind = listener.bind or ""
    if port.number:
        place.at("port", "number").error(port_problem(port.number))
        if bind:
            place.at("bind").error(ip_address_problem(bind))
        return
    if not bind.startswith(UNIX_PREFIX):
        place.at("bind").error("port 0 needs a unix socket: unix://PATH")
    else:
        place.at("bind").error(unix_address_problem(bind.removeprefix(UNIX_PREFIX)))
    if listener.capture_mode == "IPTABLES":
        place.at("captureMode").error("a unix socket cannot be captured; accepted are DEFAULT and NONE")


def _check_egress_hosts(hosts: Sequence[str], meta: ObjectMeta, place: Place) -> None:
    if not hosts:
        place.error("at least one host is required; */* stands for all")
    seen: dict[str, set[str]] = {}
    for index, host in enumerate(hosts):
        check_sidecar_host(host, place.at(index))
        namespace, slash, name = host.partition("/")
        if not slash or namespace.startswith("~"):
            continue
        if namespace == ".":
            namespace = meta.namespace or DEFAULT_NAMESPACE
        names = seen.setdefault(namespace, set())
        if name in names or "*" in names or (name == "*" and names):
            place.at(index).warning(f"{host} overlaps with another entry")
        names.add(name)
    if "*" in seen.get("*", ()) and len(seen) > 1:
        place.warning("*/* takes every host: the other entries have no effect")


def _check_outbound_policy(policy: OutboundTrafficPolicy, place: Place) -> None:
    proxy = policy.egress_proxy
    if proxy is None:
        return
    at = place.at("egressProxy")
    if policy.mode != "ALLOW_ANY":
        at.error("needs mode: ALLOW_ANY")
        return
    at.at("host").error(fqdn_problem(proxy.host))
    if proxy.port is None:
        at.error("port is required")
    if fqdn_problem(proxy.host) is None:
        check_destination(proxy, at)
