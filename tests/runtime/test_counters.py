from __future__ import annotations

import re
from pathlib import Path

from pyproxy.runtime import counters
from pyproxy.runtime.counters import ClusterStats, HostStats, HttpStats


def test_every_statistic_starts_at_nothing_and_objects_share_none() -> None:
    one, other = ClusterStats(), ClusterStats()
    one.upstream_rq_total += 1
    one.count_response(200)
    assert (other.upstream_rq_total, other.codes) == (0, {})
    assert HostStats().rq_total == 0


def test_responses_are_counted_by_status_and_tried_again_ones_apart() -> None:
    stats = ClusterStats()
    for status in (200, 200, 503):
        stats.count_response(status)
    stats.count_retried_response(503)
    assert stats.codes == {200: 2, 503: 1}
    assert stats.retry_codes == {503: 1}


def test_downstream_responses_are_counted_by_class_whatever_the_status() -> None:
    stats = HttpStats()
    for status in (101, 200, 404, 599, 0, 999):
        stats.count_response(status)
    assert stats.classes == [2, 1, 1, 0, 1, 1]


def test_every_gauge_is_named_as_one() -> None:
    source = Path(counters.__file__).with_name("counters.py").read_text()
    annotated = re.findall(r"^    (\w+): (Counter|Gauge)\b", source, re.MULTILINE)
    assert len(annotated) > 150
    assert {name for name, kind in annotated if kind == "Gauge"} == counters.GAUGES
    assert not {name for name, kind in annotated if kind == "Counter"} & counters.GAUGES
