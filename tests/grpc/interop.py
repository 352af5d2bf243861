"""gRPC's interop cases as a client on the C core. Source: gRPC's interop-test-descriptions.md."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from tests.grpc.messages import field, number_of, payload, size_of_payload
from tests.grpc.service import ECHOED, ECHOED_LAST, HEALTH, SERVICE

_REQUESTS = (27182, 8, 1828, 45904)
_RESPONSES = (31415, 9, 2653, 58979)
_SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
WAIT = 30.0
"""Seconds that a call may take."""


def empty_unary(channel: Any) -> None:
    assert channel.unary_unary(SERVICE + "EmptyCall")(b"", timeout=WAIT) == b""


def large_unary(channel: Any) -> None:
    answer = channel.unary_unary(SERVICE + "UnaryCall")(_simple(271828, 314159), timeout=WAIT)
    assert size_of_payload(answer, 1) == 314159


def client_streaming(channel: Any) -> None:
    requests = (field(1, payload(size)) for size in _REQUESTS)
    assert number_of(channel.stream_unary(SERVICE + "StreamingInputCall")(requests, timeout=WAIT), 1) == 74922


def server_streaming(channel: Any) -> None:
    request = b"".join(field(2, field(1, size)) for size in _RESPONSES)
    answers = channel.unary_stream(SERVICE + "StreamingOutputCall")(request, timeout=WAIT)
    assert [size_of_payload(each, 1) for each in answers] == list(_RESPONSES)


def ping_pong(channel: Any) -> None:
    talk = Talk(channel)
    for size, wanted in zip(_REQUESTS, _RESPONSES, strict=True):
        talk.say(_streaming(size, wanted))
        assert size_of_payload(next(talk.call), 1) == wanted
    talk.end()
    assert list(talk.call) == []
    assert talk.call.code() is grpc.StatusCode.OK


def empty_stream(channel: Any) -> None:
    call = channel.stream_stream(SERVICE + "FullDuplexCall")(iter(()), timeout=WAIT)
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK


def cancel_after_begin(channel: Any) -> None:
    call = channel.stream_unary(SERVICE + "StreamingInputCall").future(Pieces(), timeout=WAIT)
    call.cancel()
    assert call.cancelled() and call.code() is grpc.StatusCode.CANCELLED


def cancel_after_first_response(channel: Any) -> None:
    talk = Talk(channel)
    talk.say(_streaming(_REQUESTS[0], _RESPONSES[0]))
    assert size_of_payload(next(talk.call), 1) == _RESPONSES[0]
    talk.call.cancel()
    assert talk.call.code() is grpc.StatusCode.CANCELLED


def timeout_on_sleeping_server(channel: Any) -> None:
    talk = Talk(channel, timeout=0.001)
    talk.say(_streaming(_REQUESTS[0], 0))
    assert _code(lambda: next(talk.call)) is grpc.StatusCode.DEADLINE_EXCEEDED


def status_code_and_message(channel: Any) -> None:
    status = field(7, field(1, 2) + field(2, b"test status message"))
    talk = Talk(channel)
    talk.say(status)
    talk.end()
    for ask in (lambda: channel.unary_unary(SERVICE + "UnaryCall")(status, timeout=WAIT), lambda: next(talk.call)):
        try:
            ask()
        except grpc.RpcError as error:
            assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, "test status message")
        else:
            raise AssertionError("no error")


def special_status_message(channel: Any) -> None:
    try:
        request = field(7, field(1, 2) + field(2, _SPECIAL.encode()))
        channel.unary_unary(SERVICE + "UnaryCall")(request, timeout=WAIT)
    except grpc.RpcError as error:
        assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, _SPECIAL)
    else:
        raise AssertionError("no error")


def unimplemented_method(channel: Any) -> None:
    call = channel.unary_unary(SERVICE + "UnimplementedCall")
    assert _code(lambda: call(b"", timeout=WAIT)) is grpc.StatusCode.UNIMPLEMENTED


def unimplemented_service(channel: Any) -> None:
    call = channel.unary_unary("/grpc.testing.UnimplementedService/UnimplementedCall")
    assert _code(lambda: call(b"", timeout=WAIT)) is grpc.StatusCode.UNIMPLEMENTED


def custom_metadata(channel: Any) -> None:
    sent = ((ECHOED, "test_initial_metadata_value"), (ECHOED_LAST, b"\xab\xab\xab"))
    _, unary = channel.unary_unary(SERVICE + "UnaryCall").with_call(_simple(271828, 314159), metadata=sent)
    talk = Talk(channel, metadata=sent)
    talk.say(_streaming(271828, 314159))
    talk.end()
    assert len(list(talk.call)) == 1
    for call in (unary, talk.call):
        assert dict(call.initial_metadata())[ECHOED] == "test_initial_metadata_value"
        assert dict(call.trailing_metadata())[ECHOED_LAST] == b"\xab\xab\xab"


def health(channel: Any) -> None:
    assert number_of(channel.unary_unary(HEALTH)(b"", timeout=WAIT), 1) == 1


CASES: dict[str, Callable[[Any], None]] = {
    case.__name__: case
    for case in (
        empty_unary,
        large_unary,
        client_streaming,
        server_streaming,
        ping_pong,
        empty_stream,
        cancel_after_begin,
        cancel_after_first_response,
        timeout_on_sleeping_server,
        status_code_and_message,
        special_status_message,
        unimplemented_method,
        unimplemented_service,
        custom_metadata,
        health,
    )
}


class Pieces:
    """A stream of requests that are said one at a time."""

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = self._queue.get(timeout=WAIT)
        if piece is None:
            raise StopIteration
        return piece

    def say(self, message: bytes) -> None:
        self._queue.put(message)

    def end(self) -> None:
        self._queue.put(None)


class Talk(Pieces):
    """A conversation: `call` gives the answers."""

    def __init__(self, channel: Any, method: str = SERVICE + "FullDuplexCall", **more: Any) -> None:
        super().__init__()
        self.call = channel.stream_stream(method)(self, **{"timeout": WAIT, **more})


def _simple(size: int, wanted: int) -> bytes:
    return field(2, wanted) + field(3, payload(size))


def _streaming(size: int, wanted: int) -> bytes:
    return field(2, field(1, wanted)) + field(3, payload(size))


def _code(ask: Callable[[], Any]) -> Any:
    try:
        ask()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK
