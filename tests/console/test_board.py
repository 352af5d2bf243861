from pyproxy.console.board import Board, changes
from pyproxy.console.reading import Reading
from tests.console.overviews import HOME, buckets, cluster, host, reading, requests

REVIEWS = f"outbound|9080||reviews{HOME}"


def looks(board: Board, *readings: Reading, errors: dict[str, str] | None = None) -> None:
    """One look a second, the last one with these errors."""
    for second, one in enumerate(readings):
        last = second == len(readings) - 1
        board.look(1000.0 + second, float(second), {"p:1": one}, errors if last and errors else {})


def test_the_page_is_brought_up_to_date() -> None:
    board = Board()
    looks(board, reading([requests(0)]), reading([requests(10)]), reading([requests(20)]))
    state = board.state
    assert state["mesh"]["now"]["rps"] == 10.0
    assert state["edges"]["productpage-v1>reviews-v2"]["rps"] == 10.0
    assert state["nodes"].keys() == {"productpage-v1", "reviews-v2"}
    assert state["proxies"]["p:1"]["state"] == "LIVE"


def test_a_step_of_history_is_what_happened_in_it() -> None:
    board = Board()
    looks(board, *(reading([requests(10 * second, buckets(under_10=10 * second))]) for second in range(5)))
    assert [step.edges["productpage-v1>reviews-v2"].requests for step in board.history.steps] == [20, 20]
    assert board.step is board.history.steps[-1]


def test_a_proxy_that_does_not_answer_is_said_once_and_its_last_words_stay() -> None:
    board = Board()
    silent = {"p:1": "nobody listens there"}
    same = reading([requests(5)], [cluster(REVIEWS, [host("h:1")])])
    looks(board, same, same, errors=silent)
    board.look(1002.0, 2.0, {"p:1": same}, silent)
    assert board.state["nodes"]["productpage-v1"]["state"] == "silent"
    assert board.state["proxies"]["p:1"]["error"] == "nobody listens there"
    assert board.state["hosts"] == {}  # nobody knows how they are now
    assert [event["text"] for event in board.state["events"].values()] == ["productpage-v1 does not answer"]
    board.look(1003.0, 3.0, {"p:1": same}, {})
    assert len(board.state["events"]) == 2


def test_edges_out_of_the_mesh_are_forgotten_and_those_within_are_not() -> None:
    board = Board()
    rows = [requests(1), requests(1, destination_workload="unknown", destination_service_name="www.example.com")]
    inner = reading(workload="reviews-v2")
    for second, count in ((0, 0), (1, 1), (70, 1), (75, 1), (80, 1)):
        now = [[labels, count, durations] for labels, _, durations in rows]
        board.look(1000.0 + second, float(second), {"p:1": reading(now), "p:2": inner}, {})
        if second == 1:
            assert len(board.state["edges"]) == 2
    assert list(board.state["edges"]) == ["productpage-v1>reviews-v2"]


def test_only_what_changed_is_sent() -> None:
    before = {"a": {"1": {"x": 1}, "2": {"x": 1}}, "b": {"1": {"x": 1}}}
    after = {"a": {"1": {"x": 2}, "3": {"x": 1}}, "b": {"1": {"x": 1}}}
    assert changes(before, after) == {"a": {"1": {"x": 2}, "2": None, "3": {"x": 1}}}
