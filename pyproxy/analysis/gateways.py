"""Gateways against each other, their credentials and their Services (IST0138, 0145, 0161, 0162).

Source: Istio pkg/config/analysis/analyzers/gateway (certificate.go, conflictinggateway.go, secret.go, gateway.go).
"""

from __future__ import annotations

from collections.abc import Iterator

from pyproxy.analysis.subject import Found, Subject, carries, listed
from pyproxy.istio.kubernetes import KubernetesService
from pyproxy.istio.networking.gateway import Gateway, Server, ServerTLSSettings
from pyproxy.snapshot.server_tls import missing_files


def shared_certificates(subject: Subject) -> Iterator[Found]:
    """One certificate in several gateways of the same proxies: HTTP/2 clients reuse a connection and get 404."""
    for document, gateway in subject.of(Gateway):
        names = [
            f"{other.namespace}/{other.name}"
            for other, theirs in subject.of(Gateway)
            if other is not document and carries(theirs.selector, gateway.selector) and _share(gateway, theirs)
        ]
        if names:
            message = f"has the certificate of {listed(names)} too: HTTP/2 clients that reuse a connection may get 404"
            yield Found("IST0138", document, ("metadata", "name"), message)


def _share(one: Gateway, other: Gateway) -> bool:
    return any(
        mine.tls is not None and theirs.tls is not None and _same_certificate(mine.tls, theirs.tls)
        for mine in one.servers
        for theirs in other.servers
    )


def _same_certificate(one: ServerTLSSettings, other: ServerTLSSettings) -> bool:
    if one.credential_name or other.credential_name:
        return one.credential_name == other.credential_name
    pair = (one.server_certificate, one.private_key)
    return all(pair) and pair == (other.server_certificate, other.private_key)


def conflicts(subject: Subject) -> Iterator[Found]:
    """Servers of several gateways that the same proxies run, on one port and address, for one host."""
    for document, gateway in subject.of(Gateway):
        for index, server in enumerate(gateway.servers):
            names = [
                f"{other.namespace}/{other.name}"
                for other, theirs in subject.of(Gateway)
                if other is not document
                and (carries(theirs.selector, gateway.selector) or carries(gateway.selector, theirs.selector))
                and any(_conflict(server, each) for each in theirs.servers)
            ]
            if names:
                shown = ",".join(f"{key}={value}" for key, value in gateway.selector.items())
                message = (
                    f"port {server.port.number} for {', '.join(server.hosts)} is also that of {listed(names)}, "
                    f"for the same proxies ({shown})"
                )
                yield Found("IST0145", document, ("spec", "servers", index), message)


def _conflict(one: Server, other: Server) -> bool:
    same_place = one.port.number == other.port.number and (one.bind or "") == (other.bind or "")
    return same_place and not set(one.hosts).isdisjoint(other.hosts)


def credentials(subject: Subject) -> Iterator[Found]:
    """Credentials of servers as far as their files are not there."""
    for document, gateway in subject.of(Gateway):
        for index, server in enumerate(gateway.servers):
            missing = missing_files(server.tls, subject.credentials) if server.tls is not None else []
            if missing:
                message = f"nobody can connect until there is {listed(missing)}"
                yield Found("IST0161", document, ("spec", "servers", index, "tls"), message)


def unexposed_ports(subject: Subject) -> Iterator[Found]:
    """Ports of gateways that no Service in front of their proxies has, where there is such a Service."""
    for document, gateway in subject.of(Gateway):
        ports: set[int] = set()
        names: list[str] = []
        for service, spec in subject.of(KubernetesService):
            if spec.selector and carries(gateway.selector, spec.selector):
                names.append(service.resource)
                ports |= {port.port for port in spec.ports}
                ports |= {port.target_port for port in spec.ports if isinstance(port.target_port, int)}
        for index, server in enumerate(gateway.servers):
            if names and server.port.number not in ports:
                message = f"{listed(names)} selects these proxies and does not have port {server.port.number}"
                yield Found("IST0162", document, ("spec", "servers", index, "port", "number"), message)
