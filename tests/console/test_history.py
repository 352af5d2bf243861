from pyproxy.console.history import MAX_EDGES, History, Sample
from tests.console.overviews import buckets


def test_what_happened_on_no_edge_takes_no_room() -> None:
    history = History()
    step = history.add(100.0, 2.0, {"a>b": Sample(3, 1, buckets(under_1=3)), "a>c": Sample(0, 0, [])})
    assert step.as_json() == {"at": 100.0, "seconds": 2.0, "edges": {"a>b": [3, 1, [0, 3]]}}


def test_fifteen_minutes_stay() -> None:
    history = History()
    for number in range(1000):
        history.add(2.0 * number, 2.0, {})
    assert history.as_json()["steps"][0]["at"] == 2.0 * (1000 - 450)


def test_of_too_many_edges_the_busiest_stay() -> None:
    step = History().add(1.0, 2.0, {str(number): Sample(number, 0, []) for number in range(MAX_EDGES + 5)})
    assert len(step.edges) == MAX_EDGES
    assert str(MAX_EDGES + 4) in step.edges and "1" not in step.edges
