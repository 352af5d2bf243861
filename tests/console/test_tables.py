from pyproxy.console.tables import breaker_rows, host_rows, proxy_row
from tests.console.overviews import HOME, cluster, host, reading

REVIEWS = f"outbound|9080|v1|reviews{HOME}"


def test_a_host_is_shown_once_for_each_client_with_its_rates() -> None:
    before = reading(clusters=[cluster(REVIEWS, [host("h:1", requests=10, errors=1)])])
    out = host("h:1", requests=30, errors=6, active=2, healthy=False, seconds_left=3.21, times_ejected=1)
    now = reading(clusters=[cluster(REVIEWS, [out]), cluster("inbound|8080||", [host("h:2")])])
    ((name, row),) = host_rows(now, before, 5.0)
    assert name == f"productpage-v1|{REVIEWS}|h:1"
    assert (row["client"], row["service"], row["subset"]) == ("productpage-v1", "reviews", "v1")
    assert (row["rps"], row["errors"], row["left"], row["active"]) == (4.0, 0.25, 3.2, 2)


def test_a_host_that_counts_less_than_before_is_another() -> None:
    before = reading(clusters=[cluster(REVIEWS, [host("h:1", requests=10)])])
    ((_, row),) = host_rows(reading(clusters=[cluster(REVIEWS, [host("h:1", requests=3)])]), before, 5.0)
    assert row["rps"] == 0.0


def test_a_breaker_has_a_card_when_it_has_a_ceiling_or_overflowed() -> None:
    now = reading(clusters=[cluster(REVIEWS, pending=(3, 4, 10)), cluster(f"outbound|9080||other{HOME}")])
    before = reading(clusters=[cluster(REVIEWS, pending=(0, 4, 5))])
    ((_, row),) = breaker_rows(now, before, 5.0)
    assert (row["used"], row["inbound"]) == (False, False)
    assert row["limits"] == {"pending": {"now": 3, "ceiling": 4, "overflows": 10, "rate": 1.0}}
    budget = reading(clusters=[cluster(REVIEWS, connections=(0, 2**32 - 1, 1))])
    ((_, row),) = breaker_rows(budget, None, 5.0)
    assert row["limits"]["connections"]["ceiling"] is None


def test_a_proxy_has_a_row_whether_or_not_it_answers() -> None:
    assert proxy_row("h:1", None, "nobody listens there") == {
        "address": "h:1",
        "name": "h:1",
        "error": "nobody listens there",
    }
    row = proxy_row("h:1", reading(reload={"successful": False, "errors": ["no"]}), "")
    assert (row["name"], row["state"], row["refused"]) == ("productpage-v1", "LIVE", ["no"])
