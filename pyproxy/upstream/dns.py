"""Host names to hosts, refreshed in the background. Source: Envoy strict_dns_cluster.cc, logical_dns_cluster.cc.

The hosts file first, then DNS with its time to live, then whatever the system's resolver knows. An answer that fails
leaves the hosts that were known; only an empty answer takes them away.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import socket
from collections.abc import Callable
from pathlib import Path

from pyproxy.core.loop import spawn
from pyproxy.runtime.clusters import ClusterState
from pyproxy.snapshot.model import Discovery, Endpoint

_log = logging.getLogger("pyproxy.dns")
HOSTS_FILE = Path("/etc/hosts")
QUERY_TIMEOUT = 5.0
MINIMUM_TTL = 1.0
FAILURE_RETRY = 1.0
"""Seconds until a name that has never resolved is asked for again; doubles up to the cluster's refresh rate."""


class Resolver:
    """Names to addresses, with the seconds that the answer is good for."""

    async def resolve(self, name: str) -> tuple[list[str], float | None]:
        """Addresses and time to live (None when unknown). Raises OSError when the name has none."""
        if is_address(name):
            return [name], None
        known = addresses_in_hosts_file(name)
        if known:
            return known, None
        return await self._ask(name) or (await self._ask_system(name), None)

    async def addresses(self, name: str) -> list[str]:
        """The addresses alone; empty when there are none."""
        try:
            return (await self.resolve(name))[0]
        except OSError:
            return []

    async def _ask(self, name: str) -> tuple[list[str], float | None] | None:
        """What DNS says; None when it says nothing."""
        # Imported at the first name: a mesh of addresses needs none of its 3 MiB.
        import dns.asyncresolver
        import dns.exception

        resolver = dns.asyncresolver.Resolver()
        resolver.lifetime = QUERY_TIMEOUT
        try:
            answer = await resolver.resolve(name, "A", search=True)
        except (dns.exception.DNSException, OSError):
            return None
        return [record.to_text() for record in answer], float(answer.rrset.ttl if answer.rrset else 0)

    async def _ask_system(self, name: str) -> list[str]:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class DnsDiscovery:
    """Watches the DNS clusters of a process (live.Discoverer)."""

    def __init__(
        self, resolver: Resolver, rng: random.Random, on_answer: Callable[[ClusterState], None] | None = None
    ) -> None:
        """`on_answer` is called whenever a cluster's hosts were set."""
        self._resolver = resolver
        self._rng = rng
        self._on_answer = on_answer
        self._tasks: dict[ClusterState, asyncio.Task[None]] = {}

    def watch(self, state: ClusterState) -> None:
        """Resolve now, then again and again."""
        self.forget(state)
        self._tasks[state] = spawn(self._refresh(state), name=f"dns {state.name}")

    def forget(self, state: ClusterState) -> None:
        """Stop."""
        task = self._tasks.pop(state, None)
        if task is not None:
            task.cancel()

    async def _refresh(self, state: ClusterState) -> None:
        known: dict[Endpoint, list[str]] = {}
        retry = FAILURE_RETRY
        while True:
            cluster = state.cluster
            delay = cluster.dns_refresh
            failed = False
            for endpoint in cluster.endpoints:
                try:
                    addresses, ttl = await self._resolver.resolve(endpoint.address)
                except OSError as error:
                    failed = True
                    if endpoint not in known:
                        _log.warning("cannot resolve %s for %s: %s", endpoint.address, cluster.name, error)
                    continue
                known[endpoint] = addresses
                if ttl is not None:
                    delay = min(delay, max(ttl, MINIMUM_TTL))
            current = set(cluster.endpoints)
            pairs = [(one, address) for one, found in known.items() if one in current for address in found]
            if cluster.discovery is Discovery.LOGICAL_DNS:
                pairs = pairs[:1]
            state.set_hosts(pairs)
            if not state.ready:
                state.mark_ready()
            if self._on_answer is not None:
                self._on_answer(state)
            if failed:
                delay, retry = min(delay, retry), min(retry * 2, cluster.dns_refresh)
            else:
                retry = FAILURE_RETRY
            await asyncio.sleep(delay * self._rng.uniform(0.9, 1.0))


def is_address(name: str) -> bool:
    """Whether a name is an IP address already."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def addresses_in_hosts_file(name: str, path: Path = HOSTS_FILE) -> list[str]:
    """What /etc/hosts says of a name; IPv4 first."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    found = [
        fields[0]
        for line in lines
        if (fields := line.partition("#")[0].split()) and name.lower() in (alias.lower() for alias in fields[1:])
    ]
    return sorted(dict.fromkeys(found), key=lambda address: ":" in address)
