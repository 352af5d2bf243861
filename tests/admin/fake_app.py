"""An App without sockets: a real snapshot and real counters, and a note of what the admin port asked for."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from pyproxy.istio.loader import load
from pyproxy.mtls.holding import Holding
from pyproxy.reload import ReloadStatus
from pyproxy.runtime.clusters import ClusterState
from pyproxy.runtime.counters import (
    HttpStats,
    ListenerManagerStats,
    ListenerStats,
    TcpProxyStats,
    TcpStats,
    TracerStats,
)
from pyproxy.runtime.live import Live
from pyproxy.settings import Settings
from pyproxy.snapshot.compile import compile_snapshot
from pyproxy.snapshot.model import Identity, Listener, Listening, Snapshot
from pyproxy.telemetry.metrics import IstioMetrics
from pyproxy.upstream.jwks import Fetches
from pyproxy.wire.http2_stats import Http2Stats

DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  endpoints:
  - {address: 127.0.0.1, ports: {http: 9081}, labels: {version: v1}, locality: r1/z1/s1}
  - {address: 127.0.0.2, ports: {http: 9082}, labels: {version: v2}, weight: 3}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: default}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 5432, name: tcp, protocol: TCP}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews-rule, namespace: default}
spec:
  host: reviews
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 7, connectTimeout: 250ms}, http: {maxRequestsPerConnection: 9}}
    outlierDetection: {consecutive5xxErrors: 3, interval: 1s}
    loadBalancer: {simple: ROUND_ROBIN}
  subsets:
  - {name: v1, labels: {version: v1}}
  - name: v2
    labels: {version: v2}
    trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews-routes, namespace: default}
spec:
  hosts: [reviews]
  http:
  - name: jason
    match: [{headers: {end-user: {exact: jason}}, uri: {prefix: /reviews}}]
    route: [{destination: {host: reviews, subset: v2}}]
    fault: {delay: {fixedDelay: 2s, percentage: {value: 10}}}
    retries: {attempts: 3, perTryTimeout: 1s, retryOn: "5xx,503"}
  - match: [{uri: {prefix: /old}}]
    redirect: {uri: /new, redirectCode: 302}
  - match: [{uri: {exact: /robots.txt}}]
    directResponse: {status: 200, body: {string: "no robots"}}
  - name: split
    timeout: 1.5s
    headers: {request: {set: {x-one: "1"}, remove: [x-two]}}
    mirror: {host: api.example.com, port: {number: 80}}
    mirrorPercentage: {value: 5}
    route:
    - {destination: {host: reviews, subset: v1}, weight: 90}
    - {destination: {host: reviews, subset: v2}, weight: 10}
"""


class FakeClock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


class NoDiscovery:
    """Leaves DNS clusters without hosts."""

    def watch(self, state: ClusterState) -> None: ...

    def forget(self, state: ClusterState) -> None: ...


@dataclass
class FakeBound:
    listener: Listener
    port: int
    connections: int = 0


@dataclass
class FakeApp:
    """What `admin.served.Served` asks for."""

    snapshot: Snapshot
    settings: Settings = field(
        default_factory=lambda: Settings(address="127.0.0.1", admin_port=0, status_port=0, metrics_port=0)
    )
    clock: FakeClock = field(default_factory=FakeClock)
    state: str = "LIVE"
    reload_status: ReloadStatus = field(default_factory=lambda: ReloadStatus(succeeded_at=1_800_000_000.0, accepted=1))
    asked: list[object] = field(default_factory=list)
    worker_processes: list[dict[str, object]] = field(default_factory=list)
    fetches: list[Fetches] = field(default_factory=list)
    certificates: list[Holding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.started_at = self.clock.time() - 218.5
        self.live = Live(self.snapshot, NoDiscovery(), self.clock, random.Random(1))
        self.listeners: dict[tuple[object, ...], FakeBound] = {
            (listener.name,): FakeBound(listener, listener.port) for listener in self.snapshot.listeners
        }
        self.http_stats = {"outbound_127.0.0.1_15001": HttpStats()}
        self.connection_stats = {"127.0.0.1_15001": ListenerStats(downstream_cx_total=1)}
        self.http2_stats = Http2Stats()
        self.tcp_stats = TcpStats()
        self.tcp_proxies: dict[str, TcpProxyStats] = {}
        self.tracer_stats: dict[str, TracerStats] = {}
        self.listener_stats = ListenerManagerStats(total_listeners_active=len(self.listeners))
        self.metrics = IstioMetrics(self.snapshot.identity)

    def addresses(self) -> dict[str, str]:
        return {bound.listener.name: f"{bound.listener.address}:{bound.port}" for bound in self.listeners.values()}

    def fail_health_checks(self) -> None:
        self.state = "DRAINING"

    def pass_health_checks(self) -> None:
        self.state = "LIVE"

    def drain_listeners(self, *, inbound_only: bool, graceful: bool, keep_listening: bool) -> None:
        self.asked.append(("drain_listeners", inbound_only, graceful, keep_listening))

    @property
    def key_fetches(self) -> list[Fetches]:
        return self.fetches

    @property
    def workers(self) -> list[dict[str, object]]:
        return self.worker_processes

    async def gather(self) -> None:
        self.asked.append("gather")

    def on_counters_reset(self) -> None:
        self.asked.append("counters reset")

    def on_levels_changed(self) -> None:
        self.asked.append("levels changed")

    def stop(self) -> None:
        self.asked.append("stop")


def compile_text(folder: Path, text: str = DOCUMENTS) -> Snapshot:
    """The snapshot of a sidecar beside nothing."""
    file = folder / "documents.yaml"
    file.write_text(text)
    loaded = load([file])
    assert loaded.ok, loaded.problems
    identity = Identity(workload="web-v1", labels={"app": "web", "version": "v1"}, locality="r1/z1")
    return compile_snapshot(loaded.documents, identity, Listening(address="127.0.0.1")).snapshot
