"""What the mesh does with gRPC calls through two sidecars: spreading, flushing, cancelling, failing, counting."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.grpc.interop import Talk
from tests.grpc.service import Server
from tests.grpc.sidecars import HOST, Pair, logged, metric, rule, service, sidecars

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
FAULTY, SLOW, GONE, SILENT = (f"{name}.default.svc.cluster.local" for name in ("faulty", "slow", "gone", "silent"))
PINGS = "connectionPool: {http: {http2KeepAlive: {interval: 0.2s, timeout: 0.3s}}}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calls")


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    found = [Server(), Server()]
    yield found
    for server in found:
        server.stop()


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    """A port that accepts and says nothing: whoever connects hears not even SETTINGS."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture(scope="module")
def pair(folder: Path, servers: list[Server], silent: int) -> Iterator[Pair]:
    more = service(FAULTY, [1]) + service(SLOW, [silent]) + service(GONE, [1]) + service(SILENT, [silent], policy=PINGS)
    more += rule(
        FAULTY,
        f"{{fault: {{abort: {{grpcStatus: RESOURCE_EXHAUSTED, percentage: {{value: 100}}}}}}, "
        f"route: [{{destination: {{host: {FAULTY}}}}}]}}",
    )
    more += rule(SLOW, f"{{timeout: 0.3s, route: [{{destination: {{host: {SLOW}}}}}]}}")
    with sidecars(folder, [server.port for server in servers], more=more) as found:
        yield found


@pytest.fixture
def channel(pair: Pair) -> Iterator[Any]:
    with pair.channel() as found:
        yield found


def failure(ask: Callable[[], Any]) -> tuple[str, str]:
    """Name and words of the status that a call fails with."""
    with pytest.raises(grpc.RpcError) as caught:
        ask()
    error: Any = caught.value
    return error.code().name, error.details()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def lines_of(folder: Path, path: str, name: str = "out") -> list[dict[str, Any]]:
    return [line for line in logged(folder, name) if line["path"] == path]


def test_calls_of_one_connection_spread_over_all_endpoints(channel: Any, servers: list[Server]) -> None:
    for server in servers:
        server.service.calls = 0
    for _ in range(30):
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
    assert min(server.service.calls for server in servers) >= 6


def test_each_message_of_a_conversation_leaves_at_once(channel: Any) -> None:
    talk = Talk(channel, "/t/Echo")
    times = []
    for number in range(200):
        begun = time.monotonic()
        talk.say(b"%d" % number)
        assert next(talk.call) == b"%d" % number
        times.append(time.monotonic() - begun)
    talk.end()
    assert list(talk.call) == []
    # Four hops on two cores take a few milliseconds; a proxy that waits for more to send would take far longer.
    assert sorted(times)[100] < 0.05


def test_a_stream_of_answers_comes_as_it_is_made_and_a_cancel_reaches_the_server(
    channel: Any, servers: list[Server], folder: Path
) -> None:
    for server in servers:
        server.service.cancelled.clear()
    answers = channel.unary_stream("/t/Endless")(b"x" * 1000, timeout=60)
    assert list(itertools.islice(answers, 1000)) == [b"x" * 1000] * 1000
    answers.cancel()
    until(lambda: any(server.service.cancelled.is_set() for server in servers))
    until(lambda: bool(lines_of(folder, "/t/Endless")))
    (line,) = lines_of(folder, "/t/Endless")
    assert (line["status"], line["flags"], line["details"]) == (200, "DR", "http2.remote_reset")
    until(lambda: any(lines_of(folder, "/t/Endless", name) for name in ("in0", "in1")))
    (inbound,) = [*lines_of(folder, "/t/Endless", "in0"), *lines_of(folder, "/t/Endless", "in1")]
    assert inbound["flags"] == "DR"


def test_a_client_that_leaves_cancels_its_calls(pair: Pair, servers: list[Server], folder: Path) -> None:
    for server in servers:
        server.service.cancelled.clear()
    before = len(lines_of(folder, "/t/Sleep"))
    leaving = pair.channel()
    call = leaving.unary_unary("/t/Sleep").future(b"x", timeout=60)
    until(lambda: any(server.service.deadline is not None for server in servers))
    leaving.close()
    until(lambda: any(server.service.cancelled.is_set() for server in servers))
    assert call.code() is grpc.StatusCode.CANCELLED
    until(lambda: len(lines_of(folder, "/t/Sleep")) > before)
    assert lines_of(folder, "/t/Sleep")[-1]["flags"] in ("DC", "DR")  # the C core may reset first, or just close


def test_an_answer_before_the_end_of_the_request(channel: Any) -> None:
    talk = Talk(channel, "/t/AnswersEarly")
    talk.say(b"first")
    assert list(talk.call) == [b"first"]
    assert talk.call.code() is grpc.StatusCode.OK
    talk.end()


def test_unavailable_is_tried_again_but_not_behind_a_message(channel: Any, servers: list[Server], folder: Path) -> None:
    for server in servers:
        server.service.failures = 1
    assert channel.unary_unary("/t/Flaky")(b"x", timeout=20) == b"x"
    for server in servers:
        server.service.failures = server.service.calls = 0
    assert failure(lambda: list(channel.unary_stream("/t/FlakyLate")(b"x", timeout=20))) == ("UNAVAILABLE", "too late")
    assert sum(server.service.calls for server in servers) == 1
    until(lambda: bool(lines_of(folder, "/t/FlakyLate")))
    assert [(line["status"], line["grpc"]) for line in lines_of(folder, "/t/FlakyLate")] == [(200, "Unavailable")]


@pytest.mark.parametrize(
    ("host", "code", "words", "flags"),
    [
        (FAULTY, "RESOURCE_EXHAUSTED", "fault filter abort", "FI"),
        (SLOW, "UNAVAILABLE", "upstream request timeout", "UT"),
        (GONE, "UNAVAILABLE", "upstream connect error or disconnect/reset before headers. ", "URX,UF"),
        (SILENT, "UNAVAILABLE", "upstream connect error or disconnect/reset before headers. ", "UC"),
        ("nobody.test", "UNAVAILABLE", "", None),
    ],
)
def test_answers_of_our_own(pair: Pair, folder: Path, host: str, code: str, words: str, flags: str | None) -> None:
    path = f"/t/Own{host.partition('.')[0]}"
    with pair.channel(host) as channel:
        found, said = failure(lambda: channel.unary_unary(path)(b"x", timeout=20))
    assert (found, said[: len(words)]) == (code, words)
    if flags is not None:
        until(lambda: bool(lines_of(folder, path)))
        assert [(line["status"], line["flags"]) for line in lines_of(folder, path)] == [(200, flags)]


def test_a_deadline_is_told_to_the_server_and_ends_the_call(channel: Any, servers: list[Server]) -> None:
    for server in servers:
        server.service.deadline = None
    code, _ = failure(lambda: channel.unary_unary("/t/Sleep")(b"x", timeout=1.5))
    # The proxy's timer and the client's are set to the same time: as with Envoy, either may be first.
    assert code in ("DEADLINE_EXCEEDED", "UNAVAILABLE")
    (told,) = [server.service.deadline for server in servers if server.service.deadline is not None]
    assert 0 < told <= 1.5


def test_both_proxies_count_calls_and_messages(channel: Any, pair: Pair) -> None:
    def counts() -> list[float]:
        proxies = [pair.outbound], pair.inbounds
        ok = ('request_protocol="grpc"', 'grpc_response_status="0"')
        late = ('request_protocol="grpc"', 'grpc_response_status="14"', 'response_code="200"')
        found = []
        for side in proxies:
            for name, labels in (
                ("istio_requests_total", ok),
                ("istio_requests_total", late),
                ("istio_request_messages_total", ()),
                ("istio_response_messages_total", ()),
            ):
                found.append(sum(metric(proxy, name, *labels) for proxy in side))
        return found

    before = counts()
    talk = Talk(channel, "/t/Echo")
    for number in range(5):
        talk.say(b"%d" % number)
        next(talk.call)
    talk.end()
    assert list(talk.call) == []
    failure(lambda: list(channel.unary_stream("/t/FlakyLate")(b"x", timeout=20)))

    def grown() -> list[float]:
        return [now - then for now, then in zip(counts(), before, strict=True)]

    with suppress(AssertionError):
        until(lambda: sum(grown()) >= 28)
    assert grown() == [1, 1, 6, 6, 1, 1, 6, 6]


def test_pings_of_the_client_are_answered_while_a_call_is_silent(pair: Pair) -> None:
    pings = ("grpc.keepalive_time_ms", 100), ("grpc.keepalive_timeout_ms", 1500)
    with pair.channel(HOST, *pings, ("grpc.http2.max_pings_without_data", 0)) as channel:
        talk = Talk(channel, "/t/Echo")
        for _ in range(2):
            talk.say(b"x")
            assert next(talk.call) == b"x"
            time.sleep(2)
        talk.end()
        assert list(talk.call) == []
