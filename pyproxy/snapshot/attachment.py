"""Which VirtualServices are for which services of a port: exact hosts, else the most specific wildcard, else none.

Source: Istio pilot/pkg/networking/core: route/route.go (separateVSHostsAndServices), httproute.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pyproxy.snapshot.hosts import HostIndex, is_wildcard, matches
from pyproxy.snapshot.rules import Rules
from pyproxy.snapshot.services import Service
from pyproxy.snapshot.sidecars import Egress

HTTP_PORT = 80
"""Where hosts of VirtualServices live that no service has."""


@dataclass(frozen=True, slots=True)
class Attached:
    """Rules with what they are for on one port."""

    rules: Rules
    hosts: tuple[str, ...]
    """Hosts of theirs that no service of the port has."""
    services: tuple[Service, ...]


class Attachment:
    """The services and rules of one egress listener, indexed so that a port costs what it holds."""

    def __init__(self, egress: Egress) -> None:
        self._rules = egress.rules
        self.by_port: dict[int, dict[str, Service]] = {}
        """Port → host → service, whatever the protocol."""
        for service in egress.services:
            for port in service.ports:
                self.by_port.setdefault(port.number, {})[service.host] = service
        self._exact: dict[str, list[int]] = {}
        self._wild: list[int] = []
        self._most_specific: HostIndex[int] = HostIndex()
        for position, rules in enumerate(egress.rules):
            for host in rules.hosts:
                self._most_specific.add(host, position)
                if not is_wildcard(host):
                    self._exact.setdefault(host, []).append(position)
            if any(is_wildcard(host) for host in rules.hosts):
                self._wild.append(position)

    def on_port(self, port: int) -> Iterator[Attached]:
        """The rules that may have something to say on a port, in order."""
        services = self.by_port.get(port, {})
        positions: Iterable[int] = range(len(self._rules))
        if port != HTTP_PORT:
            positions = sorted({*self._wild, *(each for host in services for each in self._exact.get(host, ()))})
        wildcards = _Wildcards(services, self._most_specific) if self._wild else None
        for position in positions:
            rules = self._rules[position]
            hosts: list[str] = []
            attached: dict[str, Service] = {}
            for host in sorted(rules.hosts, key=is_wildcard):
                if not is_wildcard(host) or wildcards is None:
                    if host in services:
                        attached[host] = services[host]
                    else:
                        hosts.append(host)
                elif wildcards.covers_any(host):
                    attached |= wildcards.owned(position, host)
                else:
                    hosts.append(host)
            yield Attached(rules, tuple(hosts), tuple(attached.values()))


class _Wildcards:
    """Wildcard hosts of rules against the services of one port."""

    def __init__(self, services: Mapping[str, Service], most_specific: HostIndex[int]) -> None:
        self._hosts = services
        self._wild_hosts = [host for host in services if is_wildcard(host)]
        self._tails = {host[dot:] for host in services for dot, letter in enumerate(host) if letter == "."}
        self._owned: dict[int, dict[str, Service]] = {}
        for host, service in services.items():
            owner = most_specific.most_specific(host)
            if owner is not None:
                self._owned.setdefault(owner, {})[host] = service

    def covers_any(self, pattern: str) -> bool:
        """Whether some service's host and the pattern share a name."""
        if pattern.startswith("*."):
            return pattern[1:] in self._tails or any(matches(pattern, host) for host in self._wild_hosts)
        return any(matches(pattern, host) for host in self._hosts)

    def owned(self, position: int, pattern: str) -> dict[str, Service]:
        """The services under the pattern for which no other rules are more specific, or as specific and older."""
        found = self._owned.get(position, {})
        return {host: service for host, service in found.items() if matches(pattern, host)}
