"""What a cluster and its hosts know of themselves while running: counts, health, balancer. Survives a reload."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Container, Iterable
from typing import Final, Protocol

from pyproxy.core.loop import Clock
from pyproxy.core.streams import Lent
from pyproxy.policy.balancing import Balancer, build_balancer
from pyproxy.policy.circuit_breaker import CONNECTIONS, PENDING, REQUESTS, RETRIES, Ceilings, CircuitBreakers
from pyproxy.policy.ejections import Ejected, Ejection, EjectionEvent
from pyproxy.policy.host_monitor import Monitor, OutlierPolicy
from pyproxy.policy.outlier import OutlierDetector
from pyproxy.runtime.counters import ClusterStats, HostStats
from pyproxy.snapshot.model import Cluster, Discovery, Endpoint
from pyproxy.wire.http2_stats import ClusterHttp2Stats

_events: Final = logging.getLogger("pyproxy.outlier")
"""Envoy's outlier event log: one JSON object for each ejection and each return."""


class Pool(Protocol):
    """What the runtime may ask of a host's connections."""

    @property
    def connections(self) -> int:
        """Open or opening."""
        ...

    def drain(self) -> None:
        """Close idle connections now and the others when their request ends; new ones may follow."""
        ...

    def retire(self) -> None:
        """Likewise, and there will be no new ones."""
        ...


class HostState:
    """One address behind a cluster."""

    __slots__ = (
        "active",
        "address",
        "cluster",
        "endpoint",
        "healthy",
        "healthy_since",
        "hostname",
        "key",
        "locality",
        "monitor",
        "pool",
        "port",
        "priority",
        "stats",
        "weight",
    )

    def __init__(self, cluster: ClusterState, endpoint: Endpoint, address: str, now: float) -> None:
        self.cluster = cluster
        self.endpoint = endpoint
        self.address = address
        self.port = endpoint.port
        self.hostname = endpoint.address if address != endpoint.address else ""
        self.key = address if address.startswith("unix:") else host_key(address, endpoint.port)
        self.weight = endpoint.weight
        self.priority = endpoint.priority
        self.locality = endpoint.locality
        self.active = 0
        self.healthy = True
        self.healthy_since = now
        self.stats = HostStats()
        self.pool: Pool | None = None
        self.monitor: Monitor | None = None
        """Takes what came of each attempt; None without outlier detection."""

    @property
    def ejection(self) -> Ejected | None:
        """How long it is out and how often it was; None while it is not, or where another process decides."""
        return self.cluster.ejection(self)

    def begin_request(self) -> None:
        """A request is bound to one of the host's connections."""
        self.active += 1
        stats = self.stats
        stats.rq_total += 1
        stats.rq_active += 1
        cluster = self.cluster
        cluster.ceilings.count_requests(1)
        cluster.stats.upstream_rq_total += 1
        cluster.stats.upstream_rq_active += 1

    def end_request(self, status: int) -> None:
        """It is over; `status` 0: without a response."""
        self.active -= 1
        stats = self.stats
        stats.rq_active -= 1
        cluster = self.cluster
        cluster.ceilings.count_requests(-1)
        cluster.stats.upstream_rq_active -= 1
        if 0 < status < 500:
            stats.rq_success += 1
        else:
            stats.rq_error += 1

    def end_tunnel(self) -> None:
        """The connection that carried bytes alone is over: that is neither success nor error."""
        self.active -= 1
        self.stats.rq_active -= 1
        self.cluster.ceilings.count_requests(-1)
        self.cluster.stats.upstream_rq_active -= 1

    def count_dial(self) -> None:
        """A connection is being made; it counts from here on, whether or not it comes to be."""
        self.stats.cx_total += 1
        self.stats.cx_active += 1
        cluster = self.cluster
        cluster.ceilings.count_connections(1)
        cluster.stats.upstream_cx_total += 1
        cluster.stats.upstream_cx_active += 1

    def count_closed(self, *, here: bool, cut: bool) -> None:
        """A connection ended, or did not come to be: by us (`here`) or not, `cut` with a request under way."""
        self.stats.cx_active -= 1
        cluster = self.cluster
        cluster.ceilings.count_connections(-1)
        cluster.stats.upstream_cx_active -= 1
        cluster.stats.count_closed(here=here, cut=cut)

    def renew_pool(self) -> None:
        """Connections begin otherwise from now on, as with TLS or in another HTTP: old ones end with their requests."""
        pool, self.pool = self.pool, None
        if pool is not None:
            pool.retire()

    def adopt(self, endpoint: Endpoint) -> None:
        """Take over what a reload changed about this address."""
        if endpoint.mutual_tls is not self.endpoint.mutual_tls:
            self.renew_pool()
        self.endpoint = endpoint
        self.weight = endpoint.weight
        self.priority = endpoint.priority
        self.locality = endpoint.locality


class Detector(Protocol):
    """Who finds outliers among a cluster's hosts: writes `host.healthy`, then says so."""

    policy: OutlierPolicy

    def watch(self, hosts: Iterable[HostState]) -> None:
        """The cluster's hosts are these now."""
        ...

    def monitor(self, host: HostState) -> Monitor:
        """Who takes what came of a watched host's attempts."""
        ...

    def sweep(self) -> None:
        """Called once every `interval`."""
        ...

    def release(self) -> None:
        """Outlier detection ends here."""
        ...


class Sharing(Protocol):
    """What a process that is one of several puts in the place of what is its own where it is alone."""

    def ceilings(self, cluster: str, limits: CircuitBreakers) -> Ceilings:
        """A cluster's counts."""
        ...

    def detector(self, cluster: str, policy: OutlierPolicy, on_change: Callable[[HostState], None]) -> Detector:
        """A cluster's outlier detection; `on_change` is called once `host.healthy` is another."""
        ...


class ClusterState:
    """One cluster while running. Owned by `Live`; used by every exchange of this worker."""

    def __init__(self, cluster: Cluster, clock: Clock, rng: random.Random, sharing: Sharing | None = None) -> None:
        self.cluster = cluster
        self.name = cluster.name
        self.stats = ClusterStats()
        self.http2: ClusterHttp2Stats | None = None
        """None until it had a connection of HTTP/2."""
        self.ceilings = (
            Ceilings(cluster.breakers) if sharing is None else sharing.ceilings(cluster.name, cluster.breakers)
        )
        self.hosts: list[HostState] = []
        self.ready = cluster.discovery is not Discovery.STRICT_DNS and cluster.discovery is not Discovery.LOGICAL_DNS
        """False until a DNS cluster has its first answer, good or bad."""
        self.on_ready: list[Callable[[], None]] = []
        self.next_sweep = 0.0
        """When outlier detection looks at the hosts again; monotonic seconds, 0 without it."""
        self._clock = clock
        self._rng = rng
        self._sharing = sharing
        self._detector: Detector | None = None
        self._balancer: Balancer[HostState] | None = None
        self._by_key: dict[str, HostState] = {}
        self._follow_outlier_policy()
        if cluster.discovery is Discovery.STATIC:
            self.set_hosts((endpoint, endpoint.address) for endpoint in cluster.endpoints)

    def http2_stats(self) -> ClusterHttp2Stats:
        """What its connections of HTTP/2 count."""
        if self.http2 is None:
            self.http2 = ClusterHttp2Stats()
        return self.http2

    def pick(
        self,
        hash_: int | None = None,
        tried: Collection[HostState] = (),
        reselections: int = 5,
        *,
        other_levels: bool = False,
        chance: random.Random | None = None,
    ) -> HostState | None:
        """The host for the next attempt, another than those tried if so many picks more find one; None: no host.

        `chance` is the stream of the route that asks, under a seed.
        """
        balancer = self._balancer
        if balancer is None:
            if not self.hosts:
                return None
            balancer = self._balancer = build_balancer(self.cluster.load_balancing, self.hosts, self._rng, self._clock)
        rng = self._rng
        if chance is None or not isinstance(rng, Lent):
            return balancer.pick(hash_, tried, reselections, other_levels=other_levels)
        rng.lend(chance)
        host = balancer.pick(hash_, tried, reselections, other_levels=other_levels)
        rng.lend(None)
        return host

    def original_destination(self, address: str, port: int) -> HostState:
        """The host for where the client was going. Source: Envoy original_dst_cluster.cc."""
        found = self._by_key.get(host_key(address, port))
        if found is None:
            found = HostState(self, Endpoint(address, port), address, self._clock.monotonic())
            self._by_key[found.key] = found
            self.hosts.append(found)
        return found

    def ejection(self, host: HostState) -> Ejected | None:
        """What is to be told of an ejected host."""
        detector = self._detector
        if host.healthy or not isinstance(detector, OutlierDetector):
            return None
        return Ejected(detector.time_left(host), detector.times_ejected(host))

    def host(self, key: str) -> HostState | None:
        """The host with such a key."""
        return self._by_key.get(key)

    def set_hosts(self, addresses: Iterable[tuple[Endpoint, str]]) -> None:
        """Replace the membership; hosts that stay keep their connections and their counts."""
        before = self._by_key
        now = self._clock.monotonic()
        after: dict[str, HostState] = {}
        for endpoint, address in addresses:
            host = HostState(self, endpoint, address, now)
            known = before.get(host.key)
            if known is not None:
                known.adopt(endpoint)
                host = known
            after.setdefault(host.key, host)
        for key, host in before.items():
            if key not in after and host.pool is not None:
                host.pool.retire()
        if before.keys() != after.keys():
            self.stats.membership_change += 1
        self._by_key = after
        self.hosts = list(after.values())
        self._watch_hosts()
        self.refresh_membership()

    def keep_destinations(self, keys: Container[str]) -> None:
        """Forget every original destination with another key."""
        self.hosts = [host for host in self.hosts if host.key in keys]
        self._by_key = {host.key: host for host in self.hosts}

    def refresh_membership(self) -> None:
        """Let the next pick see hosts or health that changed; the balancer keeps its place and its tables."""
        if self._balancer is not None:
            self._balancer.refresh(self.hosts)
        self.stats.membership_total = len(self.hosts)
        self.stats.membership_healthy = sum(host.healthy for host in self.hosts)

    def mark_ready(self) -> None:
        """The first answer is there: let those who wait for it go on."""
        self.ready = True
        waiting, self.on_ready = self.on_ready, []
        for resume in waiting:
            resume()

    def reconfigure(self, cluster: Cluster) -> None:
        """A reload changed this cluster: keep the hosts that it still names."""
        if cluster == self.cluster:
            return
        if _begins(cluster) != _begins(self.cluster):
            for host in self.hosts:
                host.renew_pool()
        self.cluster = cluster
        self.ceilings.limits = cluster.breakers
        if self.ceilings.total(CONNECTIONS) > cluster.breakers.max_connections:
            self._drain()  # Envoy makes the cluster anew, and lets go of all that the old one had open
        self._follow_outlier_policy()
        if cluster.discovery is Discovery.STATIC:
            self.set_hosts((endpoint, endpoint.address) for endpoint in cluster.endpoints)
        self._balancer = None  # its policy may be another now

    def sweep(self) -> None:
        """Once a second: forget original destinations that nobody uses."""
        if self.cluster.discovery is Discovery.ORIGINAL_DST:
            self.hosts = [host for host in self.hosts if host.active or (host.pool and host.pool.connections)]
            self._by_key = {host.key: host for host in self.hosts}

    def sweep_outliers(self, now: float) -> None:
        """Once every `interval`: let ejected hosts return whose time is up."""
        if self._detector is not None and now >= self.next_sweep:
            self._detector.sweep()
            self.next_sweep = now + self._detector.policy.interval

    def refresh_gauges(self) -> None:
        """Bring the statistics that mirror other state up to date; called when somebody looks."""
        stats, ceilings = self.stats, self.ceilings
        stats.circuit_breakers_default_cx_open = int(not ceilings.may_connect)
        stats.circuit_breakers_default_rq_pending_open = int(not ceilings.may_wait)
        stats.circuit_breakers_default_rq_open = int(not ceilings.may_request)
        stats.circuit_breakers_default_rq_retry_open = int(not ceilings.may_retry)
        limits = ceilings.limits
        stats.circuit_breakers_default_remaining_cx = max(0, limits.max_connections - ceilings.total(CONNECTIONS))
        stats.circuit_breakers_default_remaining_pending = max(0, limits.max_pending_requests - ceilings.total(PENDING))
        stats.circuit_breakers_default_remaining_rq = max(0, limits.max_requests - ceilings.total(REQUESTS))
        stats.circuit_breakers_default_remaining_retries = max(0, ceilings.max_retries - ceilings.total(RETRIES))
        if self._balancer is not None:
            stats.lb_healthy_panic = self._balancer.panic_picks
        if isinstance(self._detector, OutlierDetector):
            _copy_ejections(self._detector, stats)

    def _follow_outlier_policy(self) -> None:
        policy = self.cluster.outlier
        detector = self._detector
        if policy is None:
            if detector is not None:
                detector.release()
            self._detector = None
            self.next_sweep = 0.0
        elif detector is not None:
            detector.policy = policy
            return
        else:
            self._detector = self._new_detector(policy)
            self.next_sweep = self._clock.monotonic() + policy.interval
        self._watch_hosts()

    def _new_detector(self, policy: OutlierPolicy) -> Detector:
        if self._sharing is not None:
            return self._sharing.detector(self.name, policy, self._on_health)
        return outlier_detector(self.name, policy, self._clock, self._rng, self._on_health)

    def _watch_hosts(self) -> None:
        detector = self._detector
        if detector is not None:
            detector.watch(self.hosts)
        for host in self.hosts:
            host.monitor = detector.monitor(host) if detector is not None else None

    def _on_health(self, host: HostState) -> None:
        if not host.healthy and host.pool is not None:
            host.pool.drain()
        self.refresh_membership()

    def _drain(self) -> None:
        for host in self.hosts:
            if host.pool is not None:
                host.pool.drain()

    def retire(self) -> None:
        """No document names this cluster any more."""
        for host in self.hosts:
            if host.pool is not None:
                host.pool.retire()


def _begins(cluster: Cluster) -> tuple[object, ...]:
    """How its connections begin, which those that are open cannot change."""
    return cluster.tls, cluster.http_version, cluster.connection.proxy_protocol


def _copy_ejections(detector: OutlierDetector[HostState], stats: ClusterStats) -> None:
    stats.outlier_detection_ejections_active = detector.active
    stats.outlier_detection_ejections_overflow = detector.overflow
    stats.outlier_detection_ejections_total = detector.total
    stats.outlier_detection_ejections_enforced_total = detector.enforced.total()
    detected, enforced = detector.detected, detector.enforced
    kind = Ejection.CONSECUTIVE_5XX
    stats.outlier_detection_ejections_consecutive_5xx = detected[kind]
    stats.outlier_detection_ejections_detected_consecutive_5xx = detected[kind]
    stats.outlier_detection_ejections_enforced_consecutive_5xx = enforced[kind]
    kind = Ejection.CONSECUTIVE_GATEWAY_FAILURE
    stats.outlier_detection_ejections_detected_consecutive_gateway_failure = detected[kind]
    stats.outlier_detection_ejections_enforced_consecutive_gateway_failure = enforced[kind]
    kind = Ejection.CONSECUTIVE_LOCAL_ORIGIN_FAILURE
    stats.outlier_detection_ejections_detected_consecutive_local_origin_failure = detected[kind]
    stats.outlier_detection_ejections_enforced_consecutive_local_origin_failure = enforced[kind]


def outlier_detector(
    cluster: str, policy: OutlierPolicy, clock: Clock, rng: random.Random, on_change: Callable[[HostState], None]
) -> OutlierDetector[HostState]:
    """One that writes the event log."""
    detector = OutlierDetector(policy, cluster, clock, rng, on_change)
    detector.on_event = _tell
    return detector


def _tell(event: EjectionEvent) -> None:
    _events.info("%s", event.to_json())


def host_key(address: str, port: int) -> str:
    """`ip:port`, IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
