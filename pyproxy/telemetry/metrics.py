"""Istio's standard metrics: a store of our own that counts a request in a microsecond or two and renders fast.

Series are plain numbers under a tuple of label values, so that several workers' stores can be added up. Which values
they have, labels.py says. What a stranger can choose is bounded: at most MAX_HOSTS different Host headers become
labels (only on the outbound side of a sidecar, for hosts that no document names) and MAX_PEERS different peers;
further ones are `unknown`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pyproxy import __version__
from pyproxy.core import tls
from pyproxy.core.context import RequestContext
from pyproxy.snapshot.model import Cluster, Direction, Endpoint, Identity, Telemetry
from pyproxy.snapshot.reporting import MetricRules
from pyproxy.telemetry.exposition import BUCKETS, HistogramFamily, header, label_text, sample
from pyproxy.telemetry.labels import (
    BASE_LABELS,
    HTTP_LABELS,
    TCP_LABELS,
    LabelRules,
    Labels,
    endpoint_peer,
    security_policy,
)
from pyproxy.telemetry.peer_metadata import Peer, decode_peer

if TYPE_CHECKING:
    from pyproxy.telemetry.label_views import LabelView

MAX_HOSTS: Final = 200
MAX_PEERS: Final = 1000
MAX_LOOKUPS: Final = 20_000
"""Entries of the shortcut from a request's facts to its series; beyond it the shortcut starts again, empty."""

_BUCKET_COUNT: Final = len(BUCKETS) + 1
_OUTBOUND: Final = Direction.OUTBOUND
_INBOUND: Final = Direction.INBOUND
_NO_CHANGE: Final = MetricRules()
_NOTHING: Final[Labels] = ()
_GRPC_STATUSES: Final = frozenset(str(status) for status in range(17))


Numbers: TypeAlias = Mapping[str, Mapping[Labels, list[float]]]
"""A store as plain data."""


class HttpSeries:
    """istio_requests_total and its three histograms for one set of labels: counts per bucket, and sums."""

    __slots__ = (
        "duration_sum",
        "durations",
        "labels",
        "request_bytes",
        "request_sizes",
        "requests",
        "response_bytes",
        "response_sizes",
    )

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.requests = 0
        self.durations = [0] * _BUCKET_COUNT
        self.duration_sum = 0.0
        """Milliseconds."""
        self.request_sizes = [0] * _BUCKET_COUNT
        self.request_bytes = 0
        self.response_sizes = [0] * _BUCKET_COUNT
        self.response_bytes = 0


class TcpSeries:
    """The four istio_tcp_* counters for one set of labels."""

    __slots__ = ("closed", "labels", "opened", "received_bytes", "sent_bytes")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.opened = 0
        self.closed = 0
        self.sent_bytes = 0
        self.received_bytes = 0


class MessageSeries:
    """The two gRPC message counters for one set of labels."""

    __slots__ = ("labels", "requests", "responses")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.requests = 0
        self.responses = 0


class IstioMetrics:
    """One worker's store."""

    def __init__(self, identity: Identity) -> None:
        self._rules = LabelRules(identity)
        self._http: dict[Labels, HttpSeries] = {}
        self._tcp: dict[Labels, TcpSeries] = {}
        self._messages: dict[Labels, MessageSeries] = {}
        self._http_lookup: dict[tuple[Any, ...], tuple[HttpSeries, object, object]] = {}
        """Facts → series. The cluster and endpoint ride along, so that their ids stay theirs."""
        self._open_tcp: dict[int, TcpSeries] = {}
        """By id of the context of an open connection: its labels are those of its opening."""
        self._views: dict[str, LabelView] = {}
        """By name: those that series were counted under, which may not be in force any more."""
        self._client_view: LabelView | None = None
        self._server_view: LabelView | None = None
        self._hosts: set[bytes] = set()
        self._peers: set[bytes] = set()

    def follow(self, identity: Identity, telemetry: Telemetry) -> None:
        """Count as this workload and by these rules from now on; what was counted stays where it is."""
        self._rules = LabelRules(identity)
        self._client_view = self._view(telemetry.client.metrics)
        self._server_view = self._view(telemetry.server.metrics)
        self._http_lookup.clear()

    def _view(self, rules: MetricRules) -> LabelView | None:
        if rules == _NO_CHANGE:
            return None
        from pyproxy.telemetry.label_views import LabelView  # most meshes change nothing

        view = LabelView(rules)
        return self._views.setdefault(view.name, view)

    # Counting

    def record_http(
        self,
        ctx: RequestContext,
        *,
        direction: Direction,
        cluster: Cluster | None,
        endpoint: Endpoint | None,
        duration: float,
        request_bytes: int,
        response_bytes: int,
    ) -> None:
        """A request is over. `duration` in seconds; bytes as on the wire, headers included."""
        request = ctx.request
        content_type = request.notable.get(b"content-type")
        peer = ctx.downstream_tls if direction is _INBOUND else ctx.upstream_tls
        view = self._server_view if direction is _INBOUND else self._client_view
        extra = _NOTHING
        if view is not None:
            if not view.enabled:
                return
            extra = self._extra(view, ctx, direction, endpoint)
        key = (
            extra,
            direction._value_,  # the enum itself would hash in Python
            id(cluster),
            id(endpoint),
            ctx.peer_metadata,
            ctx.status,
            ctx.flags,
            content_type is not None and content_type.startswith(b"application/grpc"),
            ctx.grpc_status,
            None if peer is None else (peer.uri_sans, peer.local_uri_san),
            request.authority if direction is _OUTBOUND and (cluster is None or cluster.service is None) else None,
            ctx.route_name if cluster is None else None,
        )
        found = self._http_lookup.get(key)
        if found is None:
            found = self._find_http(key, ctx, direction, cluster, endpoint)
        series = found[0]
        series.requests += 1
        milliseconds = duration * 1000.0
        series.durations[bisect_left(BUCKETS, milliseconds)] += 1
        series.duration_sum += milliseconds
        series.request_sizes[bisect_left(BUCKETS, request_bytes)] += 1
        series.request_bytes += request_bytes
        series.response_sizes[bisect_left(BUCKETS, response_bytes)] += 1
        series.response_bytes += response_bytes

    def record_messages(
        self,
        ctx: RequestContext,
        *,
        direction: Direction,
        cluster: Cluster | None,
        endpoint: Endpoint | None,
        request_messages: int,
        response_messages: int,
    ) -> None:
        """gRPC messages since the last call: every 5 seconds and at the end of the stream."""
        view = self._server_view if direction is _INBOUND else self._client_view
        labels = self._base(ctx, direction, cluster, endpoint)
        if view is not None:
            if not view.enabled:
                return
            labels = (*labels, *self._extra(view, ctx, direction, endpoint))
        series = self._messages.get(labels)
        if series is None:
            series = self._messages[labels] = MessageSeries(labels)
        series.requests += request_messages
        series.responses += response_messages

    def record_tcp_opened(
        self, ctx: RequestContext, *, direction: Direction, cluster: Cluster | None, endpoint: Endpoint | None
    ) -> None:
        """A connection is joined to its upstream. Its labels stay what they are now, as in Envoy."""
        series = self._tcp_series(ctx, direction, cluster, endpoint)
        self._open_tcp[id(ctx)] = series
        series.opened += 1

    def record_tcp_bytes(self, ctx: RequestContext, *, sent_bytes: int, received_bytes: int) -> None:
        """Bytes of an open connection since the last call: every 5 seconds. To the client is sent, from it received."""
        series = self._open_tcp[id(ctx)]
        series.sent_bytes += sent_bytes
        series.received_bytes += received_bytes

    def record_tcp_closed(
        self,
        ctx: RequestContext,
        *,
        direction: Direction,
        cluster: Cluster | None,
        endpoint: Endpoint | None,
        sent_bytes: int,
        received_bytes: int,
    ) -> None:
        """A connection is over; bytes since the last report. One that was never opened counts as both, as in Envoy."""
        series = self._open_tcp.pop(id(ctx), None)
        if series is None:
            series = self._tcp_series(ctx, direction, cluster, endpoint)
            series.opened += 1
        series.closed += 1
        series.sent_bytes += sent_bytes
        series.received_bytes += received_bytes

    # Labels, for the first request of a kind

    def _find_http(
        self,
        key: tuple[Any, ...],
        ctx: RequestContext,
        direction: Direction,
        cluster: Cluster | None,
        endpoint: Endpoint | None,
    ) -> tuple[HttpSeries, object, object]:
        grpc = _is_grpc(ctx.request.notable.get(b"content-type", b""))
        labels = (
            *self._base(ctx, direction, cluster, endpoint),
            "grpc" if grpc else "http",
            str(ctx.status),
            _grpc_status(ctx.grpc_status) if grpc else "",
            ",".join(ctx.flags) or "-",
            security_policy(_other_end(ctx, direction), direction),
            *key[0],
        )
        series = self._http.get(labels)
        if series is None:
            series = self._http[labels] = HttpSeries(labels)
        found = (series, cluster, endpoint)
        authority = key[-2]
        metadata = ctx.peer_metadata
        if (not metadata or metadata in self._peers) and (authority is None or authority in self._hosts):
            if len(self._http_lookup) >= MAX_LOOKUPS:
                self._http_lookup.clear()
            self._http_lookup[key] = found
        return found

    def _tcp_series(
        self, ctx: RequestContext, direction: Direction, cluster: Cluster | None, endpoint: Endpoint | None
    ) -> TcpSeries:
        base = self._base(ctx, direction, cluster, endpoint)
        labels = (*base, "tcp", ",".join(ctx.flags) or "-", security_policy(_other_end(ctx, direction), direction))
        view = self._server_view if direction is _INBOUND else self._client_view
        if view is not None:
            if not view.enabled:
                return TcpSeries(labels)  # nobody's
            labels = (*labels, *self._extra(view, ctx, direction, endpoint))
        series = self._tcp.get(labels)
        if series is None:
            series = self._tcp[labels] = TcpSeries(labels)
        return series

    def _base(
        self, ctx: RequestContext, direction: Direction, cluster: Cluster | None, endpoint: Endpoint | None
    ) -> Labels:
        peer = self._peer(ctx.peer_metadata)
        if peer is None and endpoint is not None and direction is not _INBOUND:
            peer = endpoint_peer(endpoint)
        nameless = direction is _OUTBOUND and (cluster is None or cluster.service is None)
        host = self._host(ctx.request.authority) if nameless else ""
        return self._rules.base(direction, cluster, peer, _other_end(ctx, direction), host, ctx.route_name)

    def _extra(self, view: LabelView, ctx: RequestContext, direction: Direction, endpoint: Endpoint | None) -> Labels:
        """What the view wants behind the standard labels."""
        from pyproxy.telemetry.attributes import Subject

        peer = self._peer(ctx.peer_metadata)
        if peer is None and endpoint is not None and direction is not _INBOUND:
            peer = endpoint_peer(endpoint)
        return view.values(Subject(ctx, inbound=direction is _INBOUND, peer=peer))

    def _peer(self, metadata: bytes | None) -> Peer | None:
        if not metadata:
            return None
        peer = decode_peer(metadata)
        return peer if peer is not None and _admit(metadata, self._peers, MAX_PEERS) else None

    def _host(self, authority: bytes) -> str:
        return authority.decode("utf-8", "replace") if _admit(authority, self._hosts, MAX_HOSTS) else ""

    def reset_counters(self) -> None:
        """Counters start again at 0; histograms stay, as with Envoy's /reset_counters."""
        for series in self._http.values():
            series.requests = 0
        for connections in self._tcp.values():
            connections.opened = connections.closed = connections.sent_bytes = connections.received_bytes = 0
        for messages in self._messages.values():
            messages.requests = messages.responses = 0

    # Adding up several workers' stores

    def numbers(self) -> Numbers:
        """Everything as plain data: kind of series → labels → numbers."""
        return {
            "http": {
                labels: [
                    one.requests,
                    one.duration_sum,
                    one.request_bytes,
                    one.response_bytes,
                    *one.durations,
                    *one.request_sizes,
                    *one.response_sizes,
                ]
                for labels, one in self._http.items()
            },
            "tcp": {
                labels: [one.opened, one.closed, one.sent_bytes, one.received_bytes]
                for labels, one in self._tcp.items()
            },
            "messages": {labels: [one.requests, one.responses] for labels, one in self._messages.items()},
        }

    def load(self, numbers: Numbers) -> None:
        """Hold these series and no others; what `numbers` gave, of one store or of several added up."""
        self._http = {labels: _http_series(labels, values) for labels, values in numbers.get("http", {}).items()}
        self._tcp = {}
        for labels, values in numbers.get("tcp", {}).items():
            tcp = self._tcp[labels] = TcpSeries(labels)
            tcp.opened, tcp.closed, tcp.sent_bytes, tcp.received_bytes = [int(value) for value in values]
        self._messages = {}
        for labels, values in numbers.get("messages", {}).items():
            messages = self._messages[labels] = MessageSeries(labels)
            messages.requests, messages.responses = int(values[0]), int(values[1])

    # Rendering

    def render(self) -> bytes:
        """Everything in Prometheus' text format."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """`render` in pieces of some milliseconds' work, so that a server can let traffic run in between."""
        if self._views:
            yield from self._viewed()
            return
        http = list(self._http.values())
        texts = [label_text(HTTP_LABELS, series.labels) for series in http]
        yield from _counters("istio_requests_total", [(text, s.requests) for text, s in zip(texts, http, strict=True)])
        for family, values_of in _HISTOGRAMS:
            if http:
                yield family.header
            for start in range(0, len(http), _SERIES_PER_PIECE):
                some = range(start, min(start + _SERIES_PER_PIECE, len(http)))
                yield b"".join([family.render(texts[index], *values_of(http[index])) for index in some])
        messages = [(label_text(BASE_LABELS, series.labels), series) for series in self._messages.values()]
        yield from _counters("istio_request_messages_total", [(text, s.requests) for text, s in messages])
        yield from _counters("istio_response_messages_total", [(text, s.responses) for text, s in messages])
        tcp = [(label_text(TCP_LABELS, series.labels), series) for series in self._tcp.values()]
        yield from _counters("istio_tcp_connections_opened_total", [(text, s.opened) for text, s in tcp])
        yield from _counters("istio_tcp_connections_closed_total", [(text, s.closed) for text, s in tcp])
        yield from _counters("istio_tcp_sent_bytes_total", [(text, s.sent_bytes) for text, s in tcp])
        yield from _counters("istio_tcp_received_bytes_total", [(text, s.received_bytes) for text, s in tcp])
        yield header("istio_build", "gauge") + sample(b"istio_build", _BUILD, 1)

    def _viewed(self) -> Iterator[bytes]:
        """As `pieces`, where labels may be others."""
        from pyproxy.telemetry.label_views import merged

        http = list(self._http.items())
        requests = merged(http, HTTP_LABELS, "requests_total", self._views, _requests)
        yield from _plain_counters("requests_total", requests)
        for family, values_of in _HISTOGRAMS:
            found = merged(http, HTTP_LABELS, family.name.removeprefix("istio_"), self._views, _flat(values_of))
            if found:
                yield family.header
            for text, numbers in found.items():
                yield family.render(text, [int(number) for number in numbers[:-1]], numbers[-1])
        messages = list(self._messages.items())
        for name, of_message in _MESSAGES:
            yield from _plain_counters(name, merged(messages, BASE_LABELS, name, self._views, of_message))
        tcp = list(self._tcp.items())
        for name, of_tcp in _TCP:
            yield from _plain_counters(name, merged(tcp, TCP_LABELS, name, self._views, of_tcp))
        yield header("istio_build", "gauge") + sample(b"istio_build", _BUILD, 1)


_SERIES_PER_PIECE: Final = 50
_BUILD: Final = label_text(("component", "tag"), ("proxy", __version__))
_HISTOGRAMS: Final[tuple[tuple[HistogramFamily, Callable[[HttpSeries], tuple[list[int], float]]], ...]] = (
    (HistogramFamily("istio_request_duration_milliseconds"), lambda one: (one.durations, one.duration_sum)),
    (HistogramFamily("istio_request_bytes"), lambda one: (one.request_sizes, one.request_bytes)),
    (HistogramFamily("istio_response_bytes"), lambda one: (one.response_sizes, one.response_bytes)),
)


def _requests(one: HttpSeries) -> list[float]:
    return [one.requests]


def _flat(values_of: Callable[[HttpSeries], tuple[list[int], float]]) -> Callable[[HttpSeries], list[float]]:
    """A histogram's counts, and its sum behind them."""

    def flat(one: HttpSeries) -> list[float]:
        counts, total = values_of(one)
        return [*counts, total]

    return flat


_MESSAGES: Final[tuple[tuple[str, Callable[[MessageSeries], list[float]]], ...]] = (
    ("request_messages_total", lambda one: [one.requests]),
    ("response_messages_total", lambda one: [one.responses]),
)
_TCP: Final[tuple[tuple[str, Callable[[TcpSeries], list[float]]], ...]] = (
    ("tcp_connections_opened_total", lambda one: [one.opened]),
    ("tcp_connections_closed_total", lambda one: [one.closed]),
    ("tcp_sent_bytes_total", lambda one: [one.sent_bytes]),
    ("tcp_received_bytes_total", lambda one: [one.received_bytes]),
)


def _plain_counters(name: str, found: Mapping[bytes, list[float]]) -> Iterator[bytes]:
    yield from _counters(f"istio_{name}", [(text, int(numbers[0])) for text, numbers in found.items()])


def _http_series(labels: Labels, values: list[float]) -> HttpSeries:
    series = HttpSeries(labels)
    series.requests, series.duration_sum = int(values[0]), values[1]
    series.request_bytes, series.response_bytes = int(values[2]), int(values[3])
    counts = [int(value) for value in values[4:]]
    series.durations = counts[:_BUCKET_COUNT]
    series.request_sizes = counts[_BUCKET_COUNT : 2 * _BUCKET_COUNT]
    series.response_sizes = counts[2 * _BUCKET_COUNT :]
    return series


def _counters(name: str, samples: list[tuple[bytes, int]]) -> Iterator[bytes]:
    if samples:
        encoded = name.encode()
        yield header(name, "counter") + b"".join([sample(encoded, labels, value) for labels, value in samples])


def _admit(value: bytes, known: set[bytes], limit: int) -> bool:
    """True for a value that may become a label: known, or still within the limit."""
    if value not in known:
        if len(known) >= limit:
            return False
        known.add(value)
    return True


def _is_grpc(content_type: bytes) -> bool:
    return content_type == b"application/grpc" or content_type.startswith(b"application/grpc+")


def _grpc_status(status: str | None) -> str:
    """As a number; Envoy's -1 for what is none, so that an upstream's words do not become labels."""
    if status is None:
        return ""
    return status if status in _GRPC_STATUSES else "-1"


def _other_end(ctx: RequestContext, direction: Direction) -> tls.Peer | None:
    """Who is at the other end, for the side that reports; None: plaintext."""
    return ctx.downstream_tls if direction is _INBOUND else ctx.upstream_tls
