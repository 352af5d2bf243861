"""Names to hosts."""

import asyncio
import random

from pyproxy.core.loop import SystemClock
from pyproxy.runtime.clusters import ClusterState
from pyproxy.snapshot.model import Cluster, Discovery, Endpoint
from pyproxy.upstream.dns import DnsDiscovery, Resolver


class FixedResolver(Resolver):
    """Knows one address for every name, good for a minute."""

    async def resolve(self, name: str) -> tuple[list[str], float | None]:
        return ["192.0.2.7"], 60.0


async def test_a_named_endpoint_with_labels_becomes_a_host() -> None:
    rng = random.Random(1)
    cluster = Cluster("c", Discovery.STRICT_DNS, (Endpoint("reviews", 9080, labels={"version": "v1"}),))
    state = ClusterState(cluster, SystemClock(), rng)
    discovery = DnsDiscovery(FixedResolver(), rng)
    discovery.watch(state)
    for _ in range(5):
        await asyncio.sleep(0)
    discovery.forget(state)
    assert state.ready
    assert [host.endpoint.labels for host in state.hosts] == [{"version": "v1"}]
