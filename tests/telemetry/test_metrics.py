from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.core.tls import Peer as TlsPeer
from pyproxy.snapshot.model import Cluster, Direction, Endpoint, Identity, ServiceName, Telemetry
from pyproxy.telemetry.labels import BASE_LABELS, HTTP_LABELS, TCP_LABELS
from pyproxy.telemetry.metrics import MAX_HOSTS, MAX_LOOKUPS, MAX_PEERS, IstioMetrics
from pyproxy.telemetry.peer_metadata import own_metadata

PRODUCTPAGE = Identity(workload="productpage-v1", labels={"app": "productpage", "version": "v1"})
REVIEWS = Identity(workload="reviews-v2", namespace="books", labels={"app": "reviews", "version": "v2"})
CLUSTER = Cluster(
    "outbound|9080||reviews.books.svc.cluster.local",
    service=ServiceName("reviews.books.svc.cluster.local", "reviews", "books"),
)
ENDPOINT = Endpoint("10.0.0.2", 9080, workload="reviews-v2", namespace="books", labels={"app": "reviews"})


def request(status: int = 200, *, host: bytes = b"reviews:9080", grpc: bool = False) -> RequestContext:
    notable = {b"content-type": b"application/grpc"} if grpc else {}
    ctx = RequestContext(RequestHead(b"GET", b"/", host, [], notable=notable), 0.0, 0.0)
    ctx.status = status
    return ctx


def record(
    metrics: IstioMetrics,
    ctx: RequestContext,
    *,
    direction: Direction = Direction.OUTBOUND,
    cluster: Cluster | None = CLUSTER,
    endpoint: Endpoint | None = ENDPOINT,
    duration: float = 0.012,
) -> None:
    metrics.record_http(
        ctx,
        direction=direction,
        cluster=cluster,
        endpoint=endpoint,
        duration=duration,
        request_bytes=400,
        response_bytes=70_000,
    )


def samples(metrics: IstioMetrics, name: str) -> Iterator[Sample]:
    lines = metrics.render().decode().split("\n")
    text = "\n".join([line for line in lines if line.startswith((f"{name}{{", "# TYPE"))] + [""])  # the parser is slow
    for family in text_string_to_metric_families(text):
        yield from (sample for sample in family.samples if sample.name == name)


def only(metrics: IstioMetrics, name: str) -> Sample:
    (found,) = samples(metrics, name)
    return found


def test_who_we_are_is_what_the_documents_say_now() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    record(metrics, request())
    renamed = Identity(workload="productpage-v1", labels={"app": "shop", "version": "v2"})
    metrics.follow(renamed, Telemetry())
    record(metrics, request())
    record(metrics, request())
    found = {
        (s.labels["source_app"], s.labels["source_canonical_revision"]): s.value
        for s in samples(metrics, "istio_requests_total")
    }
    assert found == {("productpage", "v1"): 1, ("shop", "v2"): 2}


def test_a_request_counts_once_in_four_families() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    record(metrics, request())
    record(metrics, request(), duration=0.1)
    assert only(metrics, "istio_requests_total").value == 2
    for name, total in (
        ("istio_request_duration_milliseconds", 112.0),
        ("istio_request_bytes", 800),
        ("istio_response_bytes", 140_000),
    ):
        assert only(metrics, f"{name}_count").value == 2
        assert only(metrics, f"{name}_sum").value == pytest.approx(total)
    buckets = {s.labels["le"]: s.value for s in samples(metrics, "istio_request_duration_milliseconds_bucket")}
    assert [bound for bound, count in buckets.items() if count == 1] == ["25", "50"]
    assert list(buckets)[:3] == ["0.5", "1", "5"]
    assert list(buckets)[-2:] == ["3600000", "+Inf"]
    assert len(buckets) == 20


def test_the_labels_are_istios_in_istios_order() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    record(metrics, request())
    line = next(line for line in metrics.render().splitlines() if line.startswith(b"istio_requests_total{"))
    names = [pair.partition(b"=")[0].decode() for pair in line.partition(b"{")[2].split(b'",')]
    assert tuple(names) == HTTP_LABELS
    assert len(HTTP_LABELS) == 25
    assert len(TCP_LABELS) == 23
    assert len(BASE_LABELS) == 20


def test_what_a_request_was_answered_with_becomes_labels() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    failed = request(503)
    failed.flags = ("URX", "UF")
    gone = request(0)
    gone.flags = ("DC",)
    for ctx in (failed, gone, request(200)):
        record(metrics, ctx)
    answers = {
        (s.labels["response_code"], s.labels["response_flags"]) for s in samples(metrics, "istio_requests_total")
    }
    assert answers == {("503", "URX,UF"), ("0", "DC"), ("200", "-")}


@pytest.mark.parametrize(
    ("grpc", "status", "labels"),
    [
        (False, None, ("http", "")),
        (False, "5", ("http", "")),
        (True, "5", ("grpc", "5")),
        (True, None, ("grpc", "")),
        (True, "what", ("grpc", "-1")),
        (True, "17", ("grpc", "-1")),
    ],
)
def test_grpc_is_told_by_its_content_type(grpc: bool, status: str | None, labels: tuple[str, str]) -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    ctx = request(grpc=grpc)
    ctx.grpc_status = status
    record(metrics, ctx)
    found = only(metrics, "istio_requests_total").labels
    assert (found["request_protocol"], found["grpc_response_status"]) == labels


def test_requests_of_one_kind_share_a_series_and_others_do_not() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    twin = Cluster(CLUSTER.name, service=CLUSTER.service)  # the same cluster after a reload
    for cluster in (CLUSTER, twin):
        record(metrics, request(), cluster=cluster)
    assert only(metrics, "istio_requests_total").value == 2
    record(metrics, request(404))
    assert len(list(samples(metrics, "istio_requests_total"))) == 2


def test_every_fact_that_labels_tell_makes_a_series_of_its_own() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    other_service = Cluster("other", service=ServiceName("details.books.svc.cluster.local", "details", "books"))
    other_workload = Endpoint("10.0.0.3", 9080, workload="reviews-v3", namespace="books")
    flagged, peered, secured, grpc, not_found = (request(grpc=wanted) for wanted in (False, False, False, True, True))
    flagged.flags = ("UT",)
    peered.peer_metadata = own_metadata(REVIEWS)[1]
    secured.upstream_tls = TlsPeer(uri_sans=("spiffe://cluster.local/ns/books/sa/reviews",))
    grpc.grpc_status, not_found.grpc_status = "0", "5"
    for _ in range(2):
        record(metrics, request())
        record(metrics, request(), cluster=other_service)
        record(metrics, request(), endpoint=other_workload)
        record(metrics, request(), direction=Direction.INBOUND)
        for ctx in (request(500), flagged, peered, secured, grpc, not_found):
            record(metrics, ctx)
        for host in (b"a", b"b"):
            record(metrics, request(host=host), cluster=None)
        blackhole = request(host=b"a")
        blackhole.route_name = "block_all"
        record(metrics, blackhole, cluster=None)
    found = list(samples(metrics, "istio_requests_total"))
    assert [sample.value for sample in found] == [2] * 13
    assert len({tuple(sample.labels.items()) for sample in found}) == 13


def test_the_peers_own_word_beats_configuration() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    ctx = request()
    ctx.peer_metadata = own_metadata(REVIEWS)[1]
    record(metrics, ctx)
    labels = only(metrics, "istio_requests_total").labels
    assert (labels["destination_app"], labels["destination_version"]) == ("reviews", "v2")


# Cardinality


def test_host_headers_become_labels_only_up_to_a_limit() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    for number in range(MAX_HOSTS + 50):
        record(metrics, request(host=b"host-%d" % number), cluster=None, endpoint=None)
    counts = {s.labels["destination_service"]: s.value for s in samples(metrics, "istio_requests_total")}
    assert len(counts) == MAX_HOSTS + 1
    assert counts["unknown"] == 50
    record(metrics, request(host=b"host-0"), cluster=None, endpoint=None)
    assert {s.labels["destination_service"]: s.value for s in samples(metrics, "istio_requests_total")}["host-0"] == 2


def test_hosts_that_configuration_names_use_none_of_the_limit() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    for number in range(MAX_HOSTS + 50):
        record(metrics, request(host=b"reviews-%d" % number), endpoint=Endpoint("10.0.0.2", number))
    record(metrics, request(host=b"elsewhere"), cluster=None, endpoint=None)
    found = {sample.labels["destination_service"] for sample in samples(metrics, "istio_requests_total")}
    assert found == {"reviews.books.svc.cluster.local", "elsewhere"}


def test_peers_become_labels_only_up_to_a_limit_and_garbage_never() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    for number in range(MAX_PEERS + 20):
        ctx = request()
        ctx.peer_metadata = own_metadata(Identity(workload=f"w{number}"))[1]
        record(metrics, ctx, direction=Direction.INBOUND)
    for number in range(30):
        ctx = request()
        ctx.peer_metadata = b"garbage %d" % number
        record(metrics, ctx, direction=Direction.INBOUND)
    counts = {s.labels["source_workload"]: s.value for s in samples(metrics, "istio_requests_total")}
    assert len(counts) == MAX_PEERS + 1
    assert counts["unknown"] == 50


def test_the_shortcut_to_a_series_does_not_grow_for_ever() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    for _ in range(3):
        for number in range(MAX_LOOKUPS // 2):
            record(metrics, request(), endpoint=Endpoint("10.0.0.2", number))
    assert len(metrics._http_lookup) <= MAX_LOOKUPS
    assert only(metrics, "istio_requests_total").value == MAX_LOOKUPS // 2 * 3


def test_any_label_value_survives_the_text() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    host = b'a"b\\c\nd%d,e="\xff'
    record(metrics, request(host=host), cluster=None, endpoint=None)
    assert only(metrics, "istio_requests_total").labels["destination_service"] == host.decode("utf-8", "replace")
    assert only(metrics, "istio_request_bytes_count").value == 1


# The other families


def test_tcp_connections_keep_the_labels_of_their_opening() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    ctx = request(0)
    metrics.record_tcp_opened(ctx, direction=Direction.OUTBOUND, cluster=CLUSTER, endpoint=ENDPOINT)
    metrics.record_tcp_bytes(ctx, sent_bytes=10, received_bytes=1)
    ctx.flags = ("DC",)
    metrics.record_tcp_closed(
        ctx, direction=Direction.OUTBOUND, cluster=CLUSTER, endpoint=ENDPOINT, sent_bytes=5, received_bytes=2
    )
    values = {
        name: only(metrics, f"istio_tcp_{name}_total")
        for name in ("connections_opened", "connections_closed", "sent_bytes", "received_bytes")
    }
    assert {name: sample.value for name, sample in values.items()} == {
        "connections_opened": 1,
        "connections_closed": 1,
        "sent_bytes": 15,
        "received_bytes": 3,
    }
    labels = values["sent_bytes"].labels
    assert (labels["request_protocol"], labels["response_flags"]) == ("tcp", "-")
    assert "response_code" not in labels
    assert not metrics._open_tcp


def test_a_connection_that_never_joined_counts_as_opened_and_closed() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    ctx = request(0)
    ctx.flags = ("UF",)
    metrics.record_tcp_closed(
        ctx, direction=Direction.OUTBOUND, cluster=CLUSTER, endpoint=None, sent_bytes=0, received_bytes=0
    )
    opened = only(metrics, "istio_tcp_connections_opened_total")
    assert (opened.value, opened.labels["response_flags"]) == (1, "UF")


def test_grpc_messages_have_the_labels_of_the_peers_alone() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    for _ in range(2):
        metrics.record_messages(
            request(),
            direction=Direction.OUTBOUND,
            cluster=CLUSTER,
            endpoint=ENDPOINT,
            request_messages=3,
            response_messages=1,
        )
    found = only(metrics, "istio_request_messages_total")
    assert (found.value, only(metrics, "istio_response_messages_total").value) == (6, 2)
    assert set(found.labels) == set(BASE_LABELS)


def test_grpc_messages_of_each_pair_are_counted_apart() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    other = Endpoint("10.0.0.3", 9080, workload="reviews-v3", namespace="books", labels={"app": "reviews"})
    strange = Cluster("PassthroughCluster")

    def send(cluster: Cluster, endpoint: Endpoint | None, host: bytes = b"reviews:9080") -> None:
        ctx = request(host=host, grpc=True)
        whence = {"direction": Direction.OUTBOUND, "cluster": cluster, "endpoint": endpoint}
        metrics.record_messages(ctx, **whence, request_messages=1, response_messages=1)

    for _ in range(3):
        send(CLUSTER, ENDPOINT)
        send(CLUSTER, other)
        send(strange, None, b"a.test")
        send(strange, None, b"b.test")
    found = {
        (one.labels["destination_workload"], one.labels["destination_service"]): one.value
        for one in samples(metrics, "istio_request_messages_total")
    }
    service = "reviews.books.svc.cluster.local"
    assert found == {
        ("reviews-v2", service): 3,
        ("reviews-v3", service): 3,
        ("unknown", "a.test"): 3,
        ("unknown", "b.test"): 3,
    }


def test_hosts_beyond_the_bound_share_their_grpc_messages() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    for number in range(2 * (MAX_HOSTS + 50)):
        metrics.record_messages(
            request(host=b"h%d" % (number % (MAX_HOSTS + 50))),
            direction=Direction.OUTBOUND,
            cluster=None,
            endpoint=None,
            request_messages=1,
            response_messages=0,
        )
    found = list(samples(metrics, "istio_request_messages_total"))
    assert (len(found), sum(one.value for one in found)) == (MAX_HOSTS + 1, 2 * (MAX_HOSTS + 50))


def test_pieces_are_the_whole() -> None:
    metrics = IstioMetrics(PRODUCTPAGE)
    for status in range(200, 320):
        record(metrics, request(status))
    pieces = list(metrics.pieces())
    assert b"".join(pieces) == metrics.render()
    assert len(pieces) > 6
    types = [line for line in metrics.render().splitlines() if line.startswith(b"#")]
    assert len(types) == len(set(types)) == 5


def test_several_stores_add_up_to_one_that_counted_all() -> None:
    def counted(times: int) -> IstioMetrics:
        metrics = IstioMetrics(PRODUCTPAGE)
        for _ in range(times):
            record(metrics, request())
            record(metrics, request(503))
            whence = {"direction": Direction.OUTBOUND, "cluster": CLUSTER, "endpoint": ENDPOINT}
            metrics.record_messages(request(grpc=True), **whence, request_messages=2, response_messages=3)
            metrics.record_tcp_closed(request(), **whence, sent_bytes=4, received_bytes=5)
        return metrics

    numbers = counted(1).numbers()
    doubled = {
        kind: {labels: [2 * value for value in values] for labels, values in series.items()}
        for kind, series in numbers.items()
    }
    shown = counted(7)  # what was there before is gone
    shown.load(doubled)
    assert shown.render() == counted(2).render()
    shown.load({})
    assert shown.render() == counted(0).render()


def test_both_ends_principals_are_facts_of_each_connection() -> None:
    metrics = IstioMetrics(REVIEWS)
    client, other = "spiffe://cluster.local/ns/books/sa/productpage", "spiffe://cluster.local/ns/books/sa/ratings"
    for theirs, ours in ((client, "spiffe://a"), (other, "spiffe://a"), (client, "spiffe://b"), (client, "")):
        ctx = request()
        ctx.downstream_tls = TlsPeer(uri_sans=(theirs,), local_uri_san=ours)
        record(metrics, ctx, direction=Direction.INBOUND)
        record(metrics, ctx, direction=Direction.INBOUND)
    found = list(samples(metrics, "istio_requests_total"))
    assert [(each.labels["source_principal"], each.labels["destination_principal"], each.value) for each in found] == [
        (client, "spiffe://a", 2),
        (other, "spiffe://a", 2),
        (client, "spiffe://b", 2),
        (client, "unknown", 2),
    ]
    assert [each.labels["connection_security_policy"] for each in found] == ["mutual_tls"] * 3 + ["none"]


def test_a_tcp_connection_has_its_clients_principal() -> None:
    metrics = IstioMetrics(REVIEWS)
    ctx = request()
    ctx.downstream_tls = TlsPeer(uri_sans=("spiffe://a",), local_uri_san="spiffe://b")
    metrics.record_tcp_opened(ctx, direction=Direction.INBOUND, cluster=CLUSTER, endpoint=None)
    found = only(metrics, "istio_tcp_connections_opened_total").labels
    assert (found["source_principal"], found["destination_principal"]) == ("spiffe://a", "spiffe://b")
    assert found["connection_security_policy"] == "mutual_tls"
