"""What a scripted host may do to a stream of HTTP/2, or to its whole connection; gRPC's ways to answer."""

from __future__ import annotations

from tests.differential.scripted_hosts import Served, ServedStream, Step
from tests.peers import Headers

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, CALM = 0, 1, 2, 7, 8, 11
GRPC_TYPE = (b"content-type", b"application/grpc")
MESSAGE = b"\0\0\0\0\2ok"


def grpc_error(status: int | bytes, *headers: tuple[bytes, bytes], http: int = 200, wait: float = 0.0) -> Step:
    """Trailers only."""

    async def step(served: Served) -> None:
        assert isinstance(served, ServedStream)
        await served.read_body()
        await served.sleep(wait)
        served.send_head(http, [GRPC_TYPE, _status(status), *headers], end=True)

    return step


def grpc_answer(
    status: int | bytes = 0, *, messages: int = 1, wait: float = 0.0, pause: float = 0.0, stalls: bool = False
) -> Step:
    """Head, messages with a pause before each, and the status in trailers; `stalls`: it never comes."""

    async def step(served: Served) -> None:
        assert isinstance(served, ServedStream)
        await served.read_body()
        await served.sleep(wait)
        served.send_head(200, [GRPC_TYPE])
        for _ in range(messages):
            await served.sleep(pause)
            await served.send(MESSAGE)
        if stalls:
            await served.wait_until_gone()
        served.send_trailers([_status(status), (b"grpc-message", b"said")])

    return step


def trailers(*lines: tuple[bytes, bytes], status: int = 200, body: bytes = b"ok") -> Step:
    """An answer with these."""

    async def step(served: Served) -> None:
        assert isinstance(served, ServedStream)
        await served.read_body()
        served.send_head(status, [])
        if body:
            await served.send(body)
        served.send_trailers(list(lines))

    return step


def stream_reset(code: int, *, head: Headers | None = None, body: bytes = b"", reads: bool = True) -> Step:
    """RST_STREAM, perhaps behind a head and part of a body."""

    async def step(served: Served) -> None:
        assert isinstance(served, ServedStream)
        if reads:
            await served.read_body()
        if head is not None:
            served.send_head(200, head)
            if body:
                await served.send(body)
            await served.sleep(0.05)  # the end must not overtake them
        served.end.reset_stream(served.number, code)

    return step


def half_answer(*, reset: bool = False, headers: Headers = ()) -> Step:  # type: ignore[assignment]
    """A head and a part of the body; then the connection ends, orderly or by a reset."""

    async def step(served: Served) -> None:
        assert isinstance(served, ServedStream)
        await served.read_body()
        served.send_head(200, [*headers])
        await served.send(b"half")
        await served.sleep(0.05)
        if reset:
            served.reset()
        else:
            served.close()

    return step


def goaway(then: Step, *, refuses: bool = False, code: int = NO_ERROR) -> Step:
    """GOAWAY, and then this; `refuses`: this very stream will not be served, the connection closes."""

    async def step(served: Served) -> None:
        assert isinstance(served, ServedStream)
        await served.read_body()
        served.end.send_goaway(served.number - 2 if refuses else served.number, code)
        if refuses:
            await served.sleep(0.05)
            served.close()
        else:
            await then(served)

    return step


def _status(status: int | bytes) -> tuple[bytes, bytes]:
    return (b"grpc-status", b"%d" % status if isinstance(status, int) else status)
