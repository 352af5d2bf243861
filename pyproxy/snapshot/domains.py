"""The names under which a service is asked for: full and short, virtual addresses, those behind a headless service.

Source: Istio pilot/pkg/networking/core/httproute.go (generateVirtualHostDomains, dedupeDomains).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyproxy.snapshot.hosts import is_address, is_wildcard
from pyproxy.snapshot.model import RouteTable, VirtualHost
from pyproxy.snapshot.services import Service


def domains_of(service: Service, namespace: str, domain: str) -> tuple[list[str], list[str]]:
    """Every name of a service for a client in a namespace, and which of them were only derived from others."""
    names: list[str] = []
    derived: list[str] = []
    for host in (service.host, *service.aliases):
        short = _derived(host, namespace, domain)
        names += [host, *short]
        derived += short
    if service.headless:
        names += [f"*.{name}" for name in names]
    names += [_bracketed(address) for address in service.addresses if is_address(address) and address != "0.0.0.0"]
    return names, derived


def host_domain(host: str) -> str:
    """A host as it stands in a request without its port."""
    return _bracketed(host) if is_address(host) else host


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _derived(host: str, namespace: str, domain: str) -> list[str]:
    """The absolute name, and for a name of the cluster `name.ns`, `name.ns.svc` and from its own namespace `name`."""
    if is_address(host):
        return []
    suffix = f".svc.{domain}"
    derived = [f"{host}."]
    if host.endswith(suffix):
        short = host.removesuffix(suffix)
        name, dot, owner = short.partition(".")
        if dot and name and "." not in owner:
            derived += [name] * (owner == namespace) + [f"{short}.svc", short]
    return derived


class TableBuilder:
    """Collects the virtual hosts of one table. A domain belongs to whoever asks for it first."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = frozenset(known)
        """Full names of services: no other service gets one of them as a short form of its own."""
        self._hosts: dict[str, VirtualHost] = {}
        self._names: set[str] = set()

    def free(self, name: str, domains: Iterable[str], derived: Iterable[str] = ()) -> tuple[str, ...]:
        """Those of a new virtual host's domains that are still to be had; none when its name is taken."""
        if name in self._names:
            return ()
        self._names.add(name)
        unsafe = {each for each in derived if each in self._known}
        return tuple(each for each in dict.fromkeys(domains) if each not in self._hosts and each not in unsafe)

    def add(self, host: VirtualHost) -> None:
        """Give a virtual host those of its domains that nobody has."""
        for each in host.domains:
            self._hosts.setdefault(each, host)

    def build(self, name: str, default: VirtualHost | None) -> RouteTable:
        """The table; a virtual host of `*` takes the place of the default."""
        exact: dict[bytes, VirtualHost] = {}
        suffixes: dict[bytes, VirtualHost] = {}
        for each, host in self._hosts.items():
            if each == "*":
                default = host
            elif is_wildcard(each):
                suffixes[each[1:].encode()] = host
            else:
                exact[each.encode()] = host
        return RouteTable(name, exact, suffixes, _lengths(suffixes), default)


def _lengths(suffixes: Mapping[bytes, VirtualHost]) -> tuple[int, ...]:
    return tuple(sorted({len(suffix) for suffix in suffixes}, reverse=True))
