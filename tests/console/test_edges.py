import pytest

from pyproxy.console.edges import Edge, Totals, merge, quantile_ms
from tests.console.overviews import buckets

V2 = Edge("productpage-v1", "reviews.default.svc.cluster.local", "reviews-v2", "v2")


def test_what_came_since_is_the_difference_of_everything() -> None:
    before = Totals(10, 1, 20, buckets=buckets(under_5=10))
    before.flags["UH"] = 1
    now = Totals(14, 1, 25, buckets=buckets(under_5=11, under_10=3))
    now.flags.update({"UH": 1, "UO": 2})
    after = now.since(before)
    assert (after.requests, after.failed, after.arrived) == (4, 0, 5)
    assert after.buckets == buckets(under_5=1, under_10=3)
    assert after.flags == {"UO": 2}


def test_counts_that_went_back_start_anew() -> None:
    assert Totals(3, buckets=buckets(under_5=3)).since(Totals(10, buckets=buckets(under_5=10))) == Totals(
        3, buckets=buckets(under_5=3)
    )
    assert Totals(3).since(None) == Totals(3)


def test_counters_that_were_reset_do_not_bring_old_durations_back() -> None:
    before = Totals(10, buckets=buckets(under_5=10))
    after = Totals(2, buckets=buckets(under_5=12)).since(before)  # /reset_counters leaves histograms alone
    assert (after.requests, after.buckets) == (2, buckets(under_5=2))


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.25, 0.25), (0.5, 0.5), (0.75, 7.5), (1.0, 10.0)],
)
def test_a_quantile_is_linear_within_its_bucket(share: float, expected: float) -> None:
    assert quantile_ms([50, 0, 0, 50], share) == expected  # 0 to 0.5 ms, and 5 to 10 ms


def test_a_quantile_beyond_the_last_bound_is_that_bound_and_of_nothing_it_is_none() -> None:
    assert quantile_ms(buckets(longer=4), 0.5) == 3_600_000
    assert quantile_ms([], 0.5) is None
    assert Totals().quantile_ms(0.5) is None


def test_merged_is_the_sum() -> None:
    merged = merge(
        [{V2: Totals(1, 1, 3, buckets=buckets(under_5=1))}, {V2: Totals(2, 0, 4, buckets=buckets(under_5=2))}]
    )
    assert merged == {V2: Totals(3, 1, 7, buckets=buckets(under_5=3))}


def test_idle_is_who_counts_nothing() -> None:
    assert Totals().idle
    assert not Totals(bytes=1).idle
