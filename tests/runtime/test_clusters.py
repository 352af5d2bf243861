"""A cluster while it runs: its hosts, their counts and health."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from pyproxy.core.outcome import Outcome
from pyproxy.policy.balancing import Algorithm, LoadBalancing
from pyproxy.policy.circuit_breaker import CircuitBreakers
from pyproxy.policy.outlier import OutlierPolicy
from pyproxy.runtime.clusters import ClusterState, host_key
from pyproxy.snapshot.model import Cluster, Discovery, Endpoint
from tests.fakes import OK, SERVICE, World
from tests.policy.fakes import FakeClock
from tests.snapshot.documents import compiled

ROUND_ROBIN = LoadBalancing(algorithm=Algorithm.ROUND_ROBIN)
EJECTING = OutlierPolicy(consecutive_5xx=2, max_ejection_percent=100)


def endpoints(numbers: Iterable[int]) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(f"10.0.0.{number}", 80) for number in numbers)


def state(*numbers: int, clock: FakeClock | None = None, **fields: object) -> ClusterState:
    cluster = Cluster("c", endpoints=endpoints(numbers), load_balancing=ROUND_ROBIN, **fields)  # type: ignore[arg-type]
    return ClusterState(cluster, clock or FakeClock(), random.Random(1))


def picked(cluster: ClusterState, times: int) -> set[str]:
    return {host.address for _ in range(times) if (host := cluster.pick()) is not None}


def test_every_host_has_its_turn() -> None:
    assert picked(state(1, 2, 3), 3) == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    assert state().pick() is None


def test_hosts_that_stay_are_the_same_hosts() -> None:
    cluster = state(1, 2)
    first = cluster.hosts[0]
    picked(cluster, 2)
    cluster.set_hosts((endpoint, endpoint.address) for endpoint in endpoints([1, 3]))
    assert cluster.hosts[0] is first
    assert picked(cluster, 4) == {"10.0.0.1", "10.0.0.3"}
    assert (cluster.stats.membership_total, cluster.stats.membership_change) == (2, 2)


def test_a_name_becomes_every_address_and_its_requests_wait_for_them() -> None:
    cluster = state(clock=FakeClock(), discovery=Discovery.STRICT_DNS)
    resumed: list[str] = []
    assert not cluster.ready
    cluster.on_ready.append(lambda: resumed.append("go on"))
    name = Endpoint("a.example", 80)
    cluster.set_hosts([(name, "10.0.0.1"), (name, "10.0.0.2"), (name, "10.0.0.1")])
    cluster.mark_ready()
    assert resumed == ["go on"]
    assert [(host.address, host.hostname) for host in cluster.hosts] == [
        ("10.0.0.1", "a.example"),
        ("10.0.0.2", "a.example"),
    ]


def test_requests_are_counted_where_ceilings_and_operators_look() -> None:
    cluster = state(1)
    (host,) = cluster.hosts
    for _ in range(3):
        host.begin_request()
    assert (host.active, cluster.ceilings.requests, cluster.stats.upstream_rq_active) == (3, 3, 3)
    for status in (200, 503, 0):
        host.end_request(status)
    assert (host.active, cluster.ceilings.requests, cluster.stats.upstream_rq_total) == (0, 0, 3)
    assert (host.stats.rq_success, host.stats.rq_error) == (1, 2)


def test_an_outlier_is_passed_over_until_its_time_is_up() -> None:
    clock = FakeClock()
    cluster = state(1, 2, clock=clock, outlier=EJECTING)
    bad = cluster.hosts[0]
    assert bad.monitor is not None
    for _ in range(2):
        bad.monitor.record_response(503)
    assert (bad.healthy, cluster.stats.membership_healthy) == (False, 1)
    assert picked(cluster, 6) == {"10.0.0.2"}
    clock.advance(31)
    cluster.sweep_outliers(clock.monotonic())
    assert bad.healthy
    assert picked(cluster, 6) == {"10.0.0.1", "10.0.0.2"}


def test_without_the_policy_every_host_returns() -> None:
    cluster = state(1, 2, outlier=EJECTING)
    bad = cluster.hosts[0]
    assert bad.monitor is not None
    for _ in range(2):
        bad.monitor.record_failure(Outcome.REMOTE_CONNECTION_FAILURE)
    assert not bad.healthy
    cluster.reconfigure(Cluster("c", endpoints=endpoints([1, 2]), load_balancing=ROUND_ROBIN))
    assert bad.healthy
    assert bad.monitor is None


def test_the_gauges_say_which_ceiling_is_reached() -> None:
    cluster = state(1, breakers=CircuitBreakers(max_requests=2))
    cluster.hosts[0].begin_request()
    cluster.refresh_gauges()
    stats = cluster.stats
    assert (stats.circuit_breakers_default_rq_open, stats.circuit_breakers_default_remaining_rq) == (0, 1)
    cluster.hosts[0].begin_request()
    cluster.refresh_gauges()
    assert (stats.circuit_breakers_default_rq_open, stats.circuit_breakers_default_remaining_rq) == (1, 0)


def test_where_clients_were_going_is_forgotten_when_nobody_is_there_any_more() -> None:
    cluster = state(discovery=Discovery.ORIGINAL_DST)
    host = cluster.original_destination("10.9.9.9", 80)
    assert cluster.original_destination("10.9.9.9", 80) is host
    host.begin_request()
    cluster.sweep()
    assert cluster.hosts == [host]
    host.end_request(200)
    cluster.sweep()
    assert cluster.hosts == []


def test_a_ceiling_that_sinks_below_what_is_open_lets_go_of_it() -> None:
    """Idle connections at once, busy ones with their response; requests find the new ceiling then."""
    with World() as world:
        world.network.script = [None, None]
        clients = [world.client() for _ in range(3)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n")
        first, second, idle = (end.transport for end in world.network.ends)
        for limit, closed in ((3, False), (1, True)):
            rule = yaml_of_ceiling(limit)
            world.call(world.live.swap, compiled(SERVICE, rule))
            assert (first.lost, second.lost, idle.lost) == (False, False, closed)
        for transport in (first, second):
            world.call(transport.deliver, OK)
            assert transport.lost
        assert [client.responses()[0].status for client in clients] == [200, 200, 200]
        world.network.script = [None]
        for client in clients[:2]:
            client.send(b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n")
        stats = world.cluster().stats
        assert (stats.upstream_cx_active, stats.upstream_rq_pending_active) == (1, 1)


def yaml_of_ceiling(connections: int) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: app}}
spec: {{host: app.test, trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: {connections}}}}}}}}}
"""


@pytest.mark.parametrize(("address", "key"), [("10.0.0.1", "10.0.0.1:80"), ("::1", "[::1]:80")])
def test_how_a_host_is_called(address: str, key: str) -> None:
    assert host_key(address, 80) == key
