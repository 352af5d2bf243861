from __future__ import annotations

import json

from pyproxy.console.stream import MAX_READERS, MAX_WAITING, Stream, message


def test_an_event_is_one_line_of_json() -> None:
    assert message("delta", {"a": "x\ny"}) == b'event: delta\ndata: {"a":"x\\ny"}\n\n'


def test_a_reader_gets_everything_and_then_what_changed() -> None:
    stream = Stream()
    queue = stream.join({"state": 1})
    assert queue is not None
    stream.send("delta", {"state": 2})
    first, second = queue.get_nowait(), queue.get_nowait()
    assert first is not None and json.loads(first.splitlines()[1].removeprefix(b"data: ")) == {"state": 1}
    assert second is not None and second.startswith(b"event: delta")
    stream.leave(queue)
    stream.send("delta", {})
    assert queue.empty()


def test_a_reader_that_is_too_slow_is_let_go() -> None:
    stream = Stream()
    queue = stream.join({})
    for _ in range(MAX_WAITING):
        stream.send("delta", {})
    assert queue is not None and queue.get_nowait() is None
    assert stream.readers == 0


def test_readers_are_bounded_and_all_are_told_of_the_end() -> None:
    stream = Stream()
    queues = [stream.join({}) for _ in range(MAX_READERS)]
    assert stream.join({}) is None
    stream.close()
    assert all(queue is not None and queue.get_nowait() is None for queue in queues)
