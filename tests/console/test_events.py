from pyproxy.console.events import MAX_EVENTS, Happening, Timeline, happenings
from tests.console.overviews import HOME, cluster, host, reading

REVIEWS = f"outbound|9080||reviews{HOME}"


def told(before: object, now: object) -> list[tuple[str, str]]:
    return [(each.kind, each.text) for each in happenings(before, now)]  # type: ignore[arg-type]


def test_a_change_of_documents_is_told_and_so_is_its_refusal() -> None:
    before = reading()
    assert told(before, reading(reload={"accepted": 2, "version": "bbbbbbbbbb"})) == [
        ("configuration", "documents bbbbbbbb taken up")
    ]
    (refused,) = happenings(before, reading(reload={"rejected": 1, "successful": False, "errors": ["a:1:1: no"]}))
    assert (refused.kind, refused.detail) == ("rejected", "a:1:1: no")
    assert told(before, before) == []


def test_an_ejection_and_the_return_are_told() -> None:
    healthy = reading(clusters=[cluster(REVIEWS, [host("10.0.0.1:9080", name="reviews-v2", times_ejected=1)])])
    out = host("10.0.0.1:9080", name="reviews-v2", healthy=False, seconds_left=29.6, times_ejected=2)
    ejected = reading(clusters=[cluster(REVIEWS, [out])])
    (first,) = happenings(healthy, ejected)
    assert (first.kind, first.text) == ("ejected", "productpage-v1 ejected reviews-v2 10.0.0.1:9080")
    assert first.detail == "for 30 s more; 2 times so far"
    assert told(ejected, healthy) == [("returned", "reviews-v2 10.0.0.1:9080 is back for productpage-v1")]


def test_one_that_was_back_between_two_looks_and_is_out_again_is_told_too() -> None:
    once = reading(clusters=[cluster(REVIEWS, [host("h:1", healthy=False, seconds_left=0.1, times_ejected=1)])])
    twice = reading(clusters=[cluster(REVIEWS, [host("h:1", healthy=False, seconds_left=9.0, times_ejected=2)])])
    assert [kind for kind, _ in told(once, twice)] == ["ejected"]


def test_overflows_are_counted_with_the_ceiling() -> None:
    before = reading(clusters=[cluster(REVIEWS, pending=(1, 1, 2))])
    (over,) = happenings(before, reading(clusters=[cluster(REVIEWS, pending=(1, 1, 9))]))
    assert (over.text, over.detail, over.count) == ("productpage-v1 to reviews: pending overflowed", "ceiling 1", 7)


def test_a_new_certificate_is_told_and_one_that_cannot_be_used() -> None:
    def with_certificate(taken_up: float, error: str = "") -> object:
        return reading(certificates=[{"path": "c.pem", "error": error, "taken_up": taken_up, "expires": 9.0}])

    assert told(with_certificate(1.0), with_certificate(2.0)) == [
        ("certificate", "productpage-v1 has a new certificate")
    ]
    assert [kind for kind, _ in told(with_certificate(1.0), with_certificate(1.0, "no key"))] == ["certificate"]


def test_a_proxy_that_was_started_anew_tells_that_and_nothing_else() -> None:
    before = reading(clusters=[cluster(REVIEWS, pending=(1, 1, 2))])
    assert told(before, reading(started=950.0)) == [("proxy", "productpage-v1 was started anew")]
    assert told(before, reading(state="DRAINING")) == [("proxy", "productpage-v1 is DRAINING")]


def test_what_several_proxies_tell_at_a_time_is_one_event() -> None:
    timeline = Timeline()
    for number, proxy in enumerate(("a", "b", "a")):
        timeline.tell(100.0 + number, proxy, Happening("configuration", "documents x taken up"))
    (event,) = timeline.events
    assert (event.proxies, event.count, event.until) == (["a", "b"], 3, 102.0)
    timeline.tell(200.0, "a", Happening("configuration", "documents x taken up"))
    assert len(timeline.events) == 2


def test_the_timeline_is_bounded() -> None:
    timeline = Timeline()
    for number in range(MAX_EVENTS + 10):
        timeline.tell(1000.0 * number, "a", Happening("ejected", str(number)))
    assert len(timeline.events) == MAX_EVENTS
    assert timeline.events[0].text == "10"
