"""Gateway: its servers, their ports, hosts and TLS."""

from __future__ import annotations

from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.networking.gateway import Gateway, Port, Server
from pyproxy.istio.rules import protocols
from pyproxy.istio.rules.amounts import port_problem
from pyproxy.istio.rules.listener_names import check_gateway_host
from pyproxy.istio.rules.names import UNIX_PREFIX, dns_label_problem, ip_address_problem, unix_address_problem
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.protocols import protocol_of
from pyproxy.istio.rules.server_tls import check_server_tls


def check_gateway(spec: Gateway, meta: ObjectMeta, place: Place) -> None:
    """Everything that Istio checks in a Gateway on its own."""
    if meta.name:
        place.top("metadata", "name").error(dns_label_problem(meta.name))
    if not spec.servers:
        place.at("servers").error("at least one server is required")
    names: set[str] = set()
    for index, server in enumerate(spec.servers):
        at = place.at("servers", index)
        _check_server(server, at)
        if server.port.name in names:
            at.at("port", "name").error(
                f"{server.port.name} is there twice: the ports of a Gateway have different names"
            )
        names.add(server.port.name)


def _check_server(server: Server, place: Place) -> None:
    if not server.hosts:
        place.at("hosts").error("at least one host is required; * stands for all")
    for index, host in enumerate(server.hosts):
        check_gateway_host(host, place.at("hosts", index))
    _check_port(server.port, server.bind or "", place.at("port"))
    if server.bind:
        _check_bind(server.bind, server.port, place.at("bind"))
    check_server_tls(server.tls, place.at("tls"))
    _check_protocol(server, place)


def _check_port(port: Port, bind: str, place: Place) -> None:
    if protocol_of(port.protocol) not in protocols.ALL:
        accepted = "HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, REDIS, MYSQL, TCP, TLS"
        place.at("protocol").error(f'"{port.protocol}" is no protocol; accepted are {accepted}')
    if port.number or not bind.startswith(UNIX_PREFIX):
        place.at("number").error(port_problem(port.number))
    if port.target_port:
        place.at("targetPort").error("has no effect on a Gateway: leave it out")
    if not port.name:
        place.at("name").error("is required")


def _check_bind(bind: str, port: Port, place: Place) -> None:
    if not bind.startswith(UNIX_PREFIX):
        place.error(ip_address_problem(bind))
        return
    place.error(unix_address_problem(bind.removeprefix(UNIX_PREFIX)))
    if port.number:
        place.error("a unix socket has no port: its number must be 0")


def _check_protocol(server: Server, place: Place) -> None:
    """TLS protocols need `tls`; HTTP takes nothing of it but httpsRedirect; the others none at all."""
    protocol, tls = protocol_of(server.port.protocol), server.tls
    if protocol in protocols.TLS and tls is None:
        place.error(f"protocol {server.port.protocol} requires tls")
    if tls is None or protocol not in protocols.ALL:
        return
    if tls.https_redirect and protocol not in protocols.HTTP:
        place.at("tls", "httpsRedirect").warning("redirects HTTP servers only")
    if protocol in protocols.HTTP:
        ends_tls = tls.mode not in (None, "PASSTHROUGH", "AUTO_PASSTHROUGH")
        if ends_tls or tls.ca_certificates or tls.private_key or tls.server_certificate:
            place.at("tls").error(f"protocol {server.port.protocol} takes httpsRedirect alone")
    elif protocol not in protocols.TLS:
        place.at("tls").error(f"protocol {server.port.protocol} takes no tls; for that use HTTPS or TLS")
