"""Hosts as Sidecars and Gateways write them: a namespace, a slash and a host name."""

from __future__ import annotations

from pyproxy.istio.rules.names import (
    is_dns_label,
    is_ip_address,
    partial_wildcard_problem,
    wildcard_domain_problem,
)
from pyproxy.istio.rules.place import Place


def check_gateway_host(host: str, place: Place) -> None:
    """`[namespace/]name`; the name may be an IP address."""
    namespace, slash, name = host.rpartition("/")
    if slash:
        _check_namespace(namespace, place)
    _check_name(name, place, addresses=True)


def check_sidecar_host(host: str, place: Place) -> None:
    """`namespace/name`; with ~ before it, an exclusion."""
    namespace, slash, name = host.partition("/")
    if not slash:
        place.error(f'"{host}" must be NAMESPACE/HOST, where the namespace may be * or .')
        return
    if namespace != "~":
        _check_namespace(namespace.removeprefix("~"), place)
    _check_name(name, place, addresses=False)


def _check_namespace(namespace: str, place: Place) -> None:
    if namespace not in ("*", ".") and not is_dns_label(namespace):
        place.error(f'"{namespace}" is no namespace; accepted are *, . and a name')


def _check_name(name: str, place: Place, *, addresses: bool) -> None:
    if addresses and is_ip_address(name) and "." in name:
        return
    if name != "*" and "." not in name:
        place.error(
            f'"{name}" is a short name: write it with its domain, as in {name or "reviews"}.default.svc.cluster.local'
        )
        return
    place.error(wildcard_domain_problem(name) or partial_wildcard_problem(name))
