"""Istio's series: numbers under their labels, which workers add up and which render fast as Prometheus' text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from pyproxy import __version__
from pyproxy.telemetry.exposition import BUCKETS, HistogramFamily, header, label_text, sample
from pyproxy.telemetry.labels import BASE_LABELS, HTTP_LABELS, TCP_LABELS, Labels

if TYPE_CHECKING:
    from pyproxy.telemetry.label_views import LabelView

_BUCKET_COUNT: Final = len(BUCKETS) + 1

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


class SeriesStore:
    """Every series that there is."""

    def __init__(self) -> None:
        self._http: dict[Labels, HttpSeries] = {}
        self._tcp: dict[Labels, TcpSeries] = {}
        self._messages: dict[Labels, MessageSeries] = {}
        self._views: dict[str, LabelView] = {}
        """By name: those that series were counted under, which may not be in force any more."""

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
