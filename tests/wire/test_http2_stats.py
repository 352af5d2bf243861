from __future__ import annotations

from dataclasses import asdict

import pytest

from pyproxy.wire.http2 import Flood, Guard
from pyproxy.wire.http2_fields import BAD_MESSAGE, INVALID_FIELD, TOO_LARGE, TOO_MANY
from pyproxy.wire.http2_stats import ClusterHttp2Stats, Http2Stats


def counted(stats: Http2Stats) -> dict[str, int]:
    return {name: value for name, value in asdict(stats).items() if value}


@pytest.mark.parametrize(
    ("details", "name"),
    [
        (INVALID_FIELD, "rx_messaging_error"),
        (BAD_MESSAGE, "rx_messaging_error"),
        (TOO_MANY, "header_overflow"),
        (TOO_LARGE, "header_list_size_too_large"),
    ],
)
def test_a_head_that_is_refused_is_counted_by_its_details(details: str, name: str) -> None:
    stats = ClusterHttp2Stats()
    stats.count_refused(details)
    assert counted(stats) == {name: 1}


@pytest.mark.parametrize(("kind", "times"), [(0, 2), (2, 101), (6, 1001), (8, 6)])
def test_every_flood_is_counted(kind: int, times: int) -> None:
    stats, guard = Http2Stats(), Guard()
    with pytest.raises(Flood) as flood:
        for _ in range(times):
            guard.watch(kind, 0, 0)
    stats.count_refused(flood.value.details)
    assert sum(counted(stats).values()) == 1


def test_what_envoy_does_not_count_is_not_counted() -> None:
    stats = Http2Stats()
    stats.count_refused("too_many_premature_resets")
    assert counted(stats) == {}
