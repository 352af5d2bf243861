"""A store of series by itself: what it holds, adds up and shows. Counting into it: test_metrics.py."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from pyproxy import __version__
from pyproxy.telemetry.exposition import BUCKETS
from pyproxy.telemetry.labels import BASE_LABELS, HTTP_LABELS, TCP_LABELS
from pyproxy.telemetry.series import SeriesStore

HTTP = tuple(f"h{number}" for number, _ in enumerate(HTTP_LABELS))
TCP = tuple(f"t{number}" for number, _ in enumerate(TCP_LABELS))
BASE = tuple(f"b{number}" for number, _ in enumerate(BASE_LABELS))
COUNTS = [2, *[0] * len(BUCKETS)]
NUMBERS = {
    "http": {HTTP: [2.0, 0.5, 300.0, 400.0, *COUNTS, *COUNTS, *COUNTS]},
    "tcp": {TCP: [5.0, 4.0, 30.0, 20.0]},
    "messages": {BASE: [7.0, 8.0]},
}


def shown(store: SeriesStore) -> dict[str, float]:
    families = text_string_to_metric_families(store.render().decode())
    return {one.name: one.value for family in families for one in family.samples if "le" not in one.labels}


def loaded() -> SeriesStore:
    store = SeriesStore()
    store.load(NUMBERS)
    return store


def test_what_is_loaded_is_shown_and_given_again() -> None:
    store = loaded()
    assert store.numbers() == NUMBERS
    assert shown(store) == {
        "istio_requests_total": 2,
        "istio_request_duration_milliseconds_sum": 0.5,
        "istio_request_duration_milliseconds_count": 2,
        "istio_request_bytes_sum": 300,
        "istio_request_bytes_count": 2,
        "istio_response_bytes_sum": 400,
        "istio_response_bytes_count": 2,
        "istio_tcp_connections_opened_total": 5,
        "istio_tcp_connections_closed_total": 4,
        "istio_tcp_sent_bytes_total": 30,
        "istio_tcp_received_bytes_total": 20,
        "istio_request_messages_total": 7,
        "istio_response_messages_total": 8,
        "istio_build": 1,
    }


def test_a_reset_puts_counters_back_and_leaves_histograms() -> None:
    store = loaded()
    store.reset_counters()
    found = shown(store)
    assert {name for name, value in found.items() if value} == {
        "istio_request_duration_milliseconds_sum",
        "istio_request_duration_milliseconds_count",
        "istio_request_bytes_sum",
        "istio_request_bytes_count",
        "istio_response_bytes_sum",
        "istio_response_bytes_count",
        "istio_build",
    }


def test_the_build_is_always_there() -> None:
    [family] = text_string_to_metric_families(SeriesStore().render().decode())
    assert (family.name, family.samples[0].labels) == ("istio_build", {"component": "proxy", "tag": __version__})
