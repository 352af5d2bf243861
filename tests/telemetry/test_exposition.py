from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pyproxy.telemetry.exposition import BUCKETS, HistogramFamily, header, label_text, sample


@given(st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,7}", fullmatch=True), st.text(), min_size=1, max_size=4))
def test_any_label_values_can_be_read_back(labels: dict[str, str]) -> None:
    line = header("a", "counter") + sample(b"a", label_text(list(labels), list(labels.values())), 7)
    ((family,),) = [list(text_string_to_metric_families(line.decode()))]
    assert family.samples[0].labels == labels
    assert family.samples[0].value == 7


def test_a_histogram_is_cumulative_and_its_sum_exact() -> None:
    counts = [0] * (len(BUCKETS) + 1)
    counts[0] = 2
    counts[-1] = 1
    family = HistogramFamily("h")
    text = (family.header + family.render(b'a="100%d"', counts, 12.5)).decode()
    (parsed,) = text_string_to_metric_families(text)
    values = [sample.value for sample in parsed.samples]
    assert values == [2.0] * 19 + [3.0, 12.5, 3.0]
    assert {sample.labels["a"] for sample in parsed.samples} == {"100%d"}
    assert text.splitlines()[0] == "# TYPE h histogram"
    assert text.splitlines()[19] == 'h_bucket{a="100%d",le="3600000"} 2'


def test_a_whole_sum_has_no_fraction() -> None:
    assert b"h_sum{} 0\n" in HistogramFamily("h").render(b"", [0] * 20, 0.0)
