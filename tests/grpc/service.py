"""A server on gRPC's C core: grpc.testing.TestService of the interop suite, health checks, and calls that misbehave."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from tests.grpc.messages import bytes_of, field, fields, number_of, payload, size_of_payload

SERVICE = "/grpc.testing.TestService/"
HEALTH = "/grpc.health.v1.Health/Check"
ECHOED = "x-grpc-test-echo-initial"
ECHOED_LAST = "x-grpc-test-echo-trailing-bin"
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]
CODES: dict[int, Any] = {code.value[0]: code for code in grpc.StatusCode}


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """Messages are bytes."""

    def __init__(self) -> None:
        self.calls = 0
        self.failures = 0
        """Calls of /t/Flaky that fail first, as `unavailable` or, behind a message, as `unavailable late`."""
        self.cancelled = threading.Event()
        self.metadata: dict[str, str | bytes] = {}
        """Of the last call."""
        self.deadline: float | None = None

    def service(self, details: Any) -> Any:
        self.calls += 1
        self.metadata = dict(details.invocation_metadata)
        found = _METHODS.get(details.method)
        if found is None:
            return None
        kind, function = found
        return kind(lambda request, context: function(self, request, context))

    # The interop suite's

    def empty(self, request: bytes, context: Any) -> bytes:
        _echo(context)
        return b""

    def unary(self, request: bytes, context: Any) -> bytes:
        _echo(context)
        _fail_as_asked(request, context)
        return field(1, payload(number_of(request, 2)))

    def download(self, request: bytes, context: Any) -> Iterator[bytes]:
        for number, wanted in fields(request):
            if number == 2:
                assert isinstance(wanted, bytes)
                yield field(1, payload(number_of(wanted, 1)))

    def upload(self, requests: Iterator[bytes], context: Any) -> bytes:
        return field(1, sum(size_of_payload(each, 1) for each in requests))

    def duplex(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        _echo(context)
        for request in requests:
            _fail_as_asked(request, context)
            yield from self.download(request, context)

    def health(self, request: bytes, context: Any) -> bytes:
        return field(1, 1)

    # Ours

    def flaky(self, request: bytes, context: Any) -> bytes:
        if self.failures:
            self.failures -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return request

    def flaky_late(self, request: bytes, context: Any) -> Iterator[bytes]:
        yield request
        context.abort(grpc.StatusCode.UNAVAILABLE, "too late")

    def sleep(self, request: bytes, context: Any) -> bytes:
        """Until the call is cancelled, which it notes."""
        self.deadline = context.time_remaining()
        over = threading.Event()
        context.add_callback(over.set)
        if over.wait(30):
            self.cancelled.set()
        return request

    def endless(self, request: bytes, context: Any) -> Iterator[bytes]:
        """Until the call is cancelled, which it notes."""
        context.add_callback(self.cancelled.set)
        while context.is_active():
            yield request

    def echo(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield from requests

    def answers_early(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """A whole answer to the first of a stream of requests."""
        yield next(requests)


def _echo(context: Any) -> None:
    metadata = dict(context.invocation_metadata())
    if ECHOED in metadata:
        context.send_initial_metadata(((ECHOED, metadata[ECHOED]),))
    if ECHOED_LAST in metadata:
        context.set_trailing_metadata(((ECHOED_LAST, metadata[ECHOED_LAST]),))


def _fail_as_asked(request: bytes, context: Any) -> None:
    status = bytes_of(request, 7)
    if status:
        context.abort(CODES[number_of(status, 1)], bytes_of(status, 2).decode())


_UNARY, _DOWN = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
_UP, _BOTH = grpc.stream_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
_METHODS = {
    SERVICE + "EmptyCall": (_UNARY, Service.empty),
    SERVICE + "UnaryCall": (_UNARY, Service.unary),
    SERVICE + "StreamingOutputCall": (_DOWN, Service.download),
    SERVICE + "StreamingInputCall": (_UP, Service.upload),
    SERVICE + "FullDuplexCall": (_BOTH, Service.duplex),
    HEALTH: (_UNARY, Service.health),
    "/t/Flaky": (_UNARY, Service.flaky),
    "/t/FlakyLate": (_DOWN, Service.flaky_late),
    "/t/Sleep": (_UNARY, Service.sleep),
    "/t/Endless": (_DOWN, Service.endless),
    "/t/Echo": (_BOTH, Service.echo),
    "/t/AnswersEarly": (_BOTH, Service.answers_early),
}


class Server:
    """One on a free loopback port."""

    def __init__(self, *options: tuple[str, int]) -> None:
        self.service = Service()
        self._server = grpc.server(ThreadPoolExecutor(16), handlers=[self.service], options=[*UNLIMITED, *options])
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def stop(self, grace: float | None = None) -> threading.Event:
        """GOAWAY at once; calls may go on for so many seconds."""
        over: threading.Event = self._server.stop(grace)
        return over
