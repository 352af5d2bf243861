"""What telemetry costs one request, and what a scrape costs: `python -m bench.telemetry_costs`."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from random import Random

from pyproxy.core.context import RequestContext
from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.runtime.counters import ClusterStats
from pyproxy.snapshot.model import AccessLog, Cluster, Direction, Endpoint, Identity, ServiceName, Tracing
from pyproxy.telemetry.access_log import compile_access_log
from pyproxy.telemetry.metrics import IstioMetrics
from pyproxy.telemetry.peer_metadata import own_metadata
from pyproxy.telemetry.request_id import ensure_request_id
from pyproxy.telemetry.stats import prometheus_stats
from pyproxy.telemetry.trace_headers import continue_trace

ROUNDS, CALLS = 7, 20_000
LABEL_SETS = 500


def nanoseconds(call: Callable[[], object]) -> float:
    """Of the best round, loop included."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        best = min(best, time.perf_counter() - start)
    return best / CALLS * 1e9


def an_exchange() -> RequestContext:
    head = RequestHead(b"GET", b"/reviews/0", b"reviews:9080", [(b"user-agent", b"curl"), (b"accept", b"*/*")])
    ctx = RequestContext(head, 100.0, 1_795_269_407.355)
    ctx.status = 200
    ctx.details = "via_upstream"
    ctx.response = ResponseHead(200, [(b"content-type", b"application/json"), (b"content-length", b"295")])
    ctx.response_body_ended = 100.013
    ctx.upstream_host = ctx.upstream_local_address = ctx.downstream_remote_address = "10.0.0.2:9080"
    ctx.upstream_cluster = "outbound|9080||reviews.default.svc.cluster.local"
    ctx.peer_metadata = own_metadata(Identity(workload="reviews-v1", labels={"app": "reviews", "version": "v1"}))[1]
    return ctx


def trace_costs(rng: Random) -> dict[str, float]:
    """New context, and one that is continued."""
    tracing = Tracing()
    fresh: Headers = [(b"user-agent", b"curl"), (b"accept", b"*/*")]
    incoming: Headers = [
        *fresh,
        (b"x-request-id", b"00000001-1111-4222-8333-444444444444"),
        (b"x-b3-traceid", b"80f198ee56343ba864fe8b2a57d3eff7"),
        (b"x-b3-spanid", b"e457b5a2e4d86bd1"),
        (b"x-b3-sampled", b"1"),
    ]

    def onward(sent: Headers, known: dict[bytes, bytes]) -> Callable[[], None]:
        def run() -> None:
            headers = sent.copy()
            _, traced = ensure_request_id(headers, known, tracing, rng)
            continue_trace(headers, known, tracing, rng, traced)

        return run

    return {
        "request id and trace, new": nanoseconds(onward(fresh, {b":host": b"a"})),
        "request id and trace, continued": nanoseconds(onward(incoming, dict(incoming))),
    }


def main() -> None:
    """Print a table."""
    ctx = an_exchange()
    metrics = IstioMetrics(Identity(workload="productpage-v1", labels={"app": "productpage"}))
    endpoint = Endpoint("10.0.0.2", 9080, workload="reviews-v1", namespace="default")

    def record(cluster: Cluster) -> None:
        metrics.record_http(
            ctx,
            direction=Direction.OUTBOUND,
            cluster=cluster,
            endpoint=endpoint,
            duration=0.0012,
            request_bytes=300,
            response_bytes=500,
        )

    cluster = Cluster("c", service=ServiceName("reviews.default.svc.cluster.local", "reviews", "default"))
    text, records = compile_access_log(AccessLog("-")), compile_access_log(AccessLog("-", "JSON"))
    costs = {
        **trace_costs(Random(1)),
        "istio metrics": nanoseconds(lambda: record(cluster)),
        "access log line, text": nanoseconds(lambda: text(ctx)),
        "access log line, JSON": nanoseconds(lambda: records(ctx)),
    }
    for name, cost in costs.items():
        print(f"{name:34}{cost:8.0f} ns")
    for number in range(LABEL_SETS):
        name = f"svc-{number}.default.svc.cluster.local"
        record(Cluster(name, service=ServiceName(name, f"svc-{number}", "default")))
    start = time.perf_counter()
    page = metrics.render()
    rendered = time.perf_counter()
    gzip.compress(page, 1)
    packed = time.perf_counter()
    size = len(page) / 1e6
    times = f"render {(rendered - start) * 1e3:.0f} ms, gzip {(packed - rendered) * 1e3:.0f} ms"
    print(f"{LABEL_SETS} label sets, {size:.0f} MB: {times}")
    longest = 0.0
    pieces = metrics.pieces()
    while True:
        start = time.perf_counter()
        if next(pieces, None) is None:
            break
        longest = max(longest, time.perf_counter() - start)
    print(f"longest piece: {longest * 1e3:.1f} ms")
    groups = [(f"outbound|80||svc-{number}", ClusterStats()) for number in range(100)]
    start = time.perf_counter()
    lines = sum(piece.count("\n") for piece in prometheus_stats(groups))
    print(f"100 clusters' statistics, {lines} lines: {(time.perf_counter() - start) * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
