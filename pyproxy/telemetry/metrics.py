"""Istio's standard metrics: counts a request into its series (series.py) in a microsecond or two.

Which values its labels have, labels.py says. What a stranger can choose is bounded: at most MAX_HOSTS different Host
headers become labels (only on the outbound side of a sidecar, for hosts that no document names) and MAX_PEERS different
peers; further ones are `unknown`.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

from pyproxy.core import tls
from pyproxy.core.context import RequestContext
from pyproxy.snapshot.model import Cluster, Direction, Endpoint, Identity, Telemetry
from pyproxy.snapshot.reporting import MetricRules
from pyproxy.telemetry.exposition import BUCKETS
from pyproxy.telemetry.labels import LabelRules, Labels, endpoint_peer, security_policy
from pyproxy.telemetry.peer_metadata import Peer, decode_peer
from pyproxy.telemetry.series import HttpSeries, MessageSeries, SeriesStore, TcpSeries

if TYPE_CHECKING:
    from pyproxy.telemetry.label_views import LabelView

MAX_HOSTS: Final = 200
MAX_PEERS: Final = 1000
MAX_LOOKUPS: Final = 20_000
"""Entries of the shortcut from a request's facts to its series; beyond it the shortcut starts again, empty."""

_OUTBOUND: Final = Direction.OUTBOUND
_INBOUND: Final = Direction.INBOUND
_NO_CHANGE: Final = MetricRules()
_NOTHING: Final[Labels] = ()
_GRPC_STATUSES: Final = frozenset(str(status) for status in range(17))


class IstioMetrics(SeriesStore):
    """One worker's store, and who counts into it."""

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self._rules = LabelRules(identity)
        self._http_lookup: dict[tuple[Any, ...], tuple[HttpSeries, object, object]] = {}
        """Facts → series. The cluster and endpoint ride along, so that their ids stay theirs."""
        self._message_lookup: dict[tuple[Any, ...], tuple[MessageSeries, object, object]] = {}
        """Likewise."""
        self._open_tcp: dict[int, TcpSeries] = {}
        """By id of the context of an open connection: its labels are those of its opening."""
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
        self._message_lookup.clear()

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
        peer = ctx.downstream_tls if direction is _INBOUND else ctx.upstream_tls
        view = self._server_view if direction is _INBOUND else self._client_view
        extra = _NOTHING
        if view is not None:
            if not view.enabled:
                return
            extra = self._extra(view, ctx, direction, endpoint)
        key = (
            extra,
            direction._value_,
            id(cluster),
            id(endpoint),
            ctx.peer_metadata,
            None if peer is None else (peer.uri_sans, peer.local_uri_san),
            ctx.request.authority if direction is _OUTBOUND and (cluster is None or cluster.service is None) else None,
            ctx.route_name if cluster is None else None,
        )
        found = self._message_lookup.get(key)
        if found is None:
            found = self._find_messages(key, ctx, direction, cluster, endpoint)
        series = found[0]
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
        if self._is_admitted(ctx.peer_metadata, authority=key[-2]):
            if len(self._http_lookup) >= MAX_LOOKUPS:
                self._http_lookup.clear()
            self._http_lookup[key] = found
        return found

    def _find_messages(
        self,
        key: tuple[Any, ...],
        ctx: RequestContext,
        direction: Direction,
        cluster: Cluster | None,
        endpoint: Endpoint | None,
    ) -> tuple[MessageSeries, object, object]:
        labels = (*self._base(ctx, direction, cluster, endpoint), *key[0])
        series = self._messages.get(labels)
        if series is None:
            series = self._messages[labels] = MessageSeries(labels)
        found = (series, cluster, endpoint)
        if self._is_admitted(ctx.peer_metadata, authority=key[-2]):
            if len(self._message_lookup) >= MAX_LOOKUPS:
                self._message_lookup.clear()
            self._message_lookup[key] = found
        return found

    def _is_admitted(self, metadata: bytes | None, *, authority: bytes | None) -> bool:
        """What strangers chose is among what has labels of its own."""
        return (not metadata or metadata in self._peers) and (authority is None or authority in self._hosts)

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
