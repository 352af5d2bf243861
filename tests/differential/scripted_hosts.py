"""Upstream hosts that do to each attempt what a script says, and note who asked what. Both proxies have the same.

A request says in `x-run` which run of which scenario it belongs to; each run has a script of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from h2.exceptions import ProtocolError

from tests.differential.http2_ends import Http2End, Stream
from tests.peers import Headers, split_head

ADDRESS = "127.0.0.2"
"""Not the address on which the proxies listen: a host there would be taken for the proxy's own workload."""
COUNT = 10


@dataclass
class Attempt:
    """One request as a host saw it."""

    host: int
    connection: int
    """Of its run, from 0, in order of first use."""
    ask: str
    method: bytes
    headers: Headers
    at: float
    """Loop time at which the head was whole, in seconds of the scenario."""
    body: bytes = b""
    whole: bool = False
    """The body came to its end."""
    trailers: Headers | None = None
    reset: int | None = None
    """The proxy wanted no more of it: the code of its RST_STREAM."""

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


class Served:
    """One attempt under way: what a step may do."""

    pace = 1
    """Its run's."""

    def __init__(self, attempt: Attempt, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.attempt = attempt
        self.reader = reader
        self.writer = writer
        self.closed = False

    async def read_body(self) -> None:
        """The whole body, as its head frames it."""
        attempt, reader = self.attempt, self.reader
        length = attempt.get(b"content-length")
        if attempt.get(b"transfer-encoding") is not None:
            while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
                attempt.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        elif length is not None:
            attempt.body = await reader.readexactly(int(length))
        attempt.whole = True

    async def respond(self, status: int, headers: Headers, body: bytes, slow_body: float) -> None:
        """A whole response, its body so many seconds after its head."""
        lines = [b"HTTP/1.1 %d -" % status, b"content-length: %d" % len(body)]
        head = b"\r\n".join([*lines, *(b"%b: %b" % line for line in headers)]) + b"\r\n\r\n"
        if slow_body:
            await self.send(head)
            await self.sleep(slow_body)
            await self.send(body)
        else:
            await self.send(head + body)

    async def send(self, data: bytes) -> None:
        """Now."""
        self.writer.write(data)
        await self.writer.drain()

    async def sleep(self, seconds: float) -> None:
        """So many seconds of the scenario."""
        await asyncio.sleep(seconds * self.pace)

    async def wait_until_gone(self) -> None:
        """The proxy closes, or resets the stream."""
        await self.reader.read(1)

    def close(self) -> None:
        """Orderly."""
        self.closed = True
        self.writer.close()

    def reset(self) -> None:
        """So that the other side sees a reset."""
        self.closed = True
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class ServedStream(Served):
    """One that came on a stream of HTTP/2."""

    def __init__(self, attempt: Attempt, end: Http2End, number: int, stream: Stream) -> None:
        self.attempt = attempt
        self.end = end
        self.number = number
        self.stream = stream
        self.closed = False

    async def read_body(self) -> None:
        await self.stream.over.wait()

    async def respond(self, status: int, headers: Headers, body: bytes, slow_body: float) -> None:
        length = [(b"content-length", b"%d" % len(body))] if body else []
        bare = not body or self.attempt.method == b"HEAD"
        self.send_head(status, [*length, *headers], end=bare)
        await self.sleep(slow_body)
        if not bare:
            await self.end.send_data(self.number, body, end=True)

    def send_head(self, status: int, headers: Headers, *, end: bool = False) -> None:
        self.end.send_headers(self.number, [(b":status", b"%d" % status), *headers], end=end)

    async def send(self, data: bytes) -> None:
        """Part of the body."""
        await self.end.send_data(self.number, data)

    async def wait_until_gone(self) -> None:
        await asyncio.get_running_loop().create_future()  # and then it is cancelled

    def send_trailers(self, headers: Headers) -> None:
        self.end.send_headers(self.number, headers, end=True)

    def close(self) -> None:
        self.closed = True
        self.end.writer.close()

    def reset(self) -> None:
        self.closed = True
        self.end.abort()


Step = Callable[[Served], Awaitable[None]]
"""What happens to one attempt."""
Script = Sequence[Step] | Mapping[int, Sequence[Step]]
"""One step for each attempt in order of arrival, or such a list for each host; the last goes on for ever."""


def answer(
    status: int = 200,
    *headers: bytes,
    body: bytes = b"ok",
    wait: float = 0.0,
    slow_body: float = 0.0,
    reads: bool = True,
) -> Step:
    """A whole response after `wait` seconds, its body `slow_body` seconds after its head."""

    async def step(served: Served) -> None:
        if reads:
            await served.read_body()
        await served.sleep(wait)
        lines = [(name, value) for name, _, value in (header.partition(b": ") for header in headers)]
        await served.respond(status, lines, body, slow_body)

    return step


def ends(partial: bytes = b"", *, reset: bool = False, wait: float = 0.0, reads: bool = True) -> Step:
    """These bytes, if any, and then the end of the connection, orderly or by a reset."""

    async def step(served: Served) -> None:
        if reads:
            await served.read_body()
        if partial:
            await served.send(partial)
            await served.sleep(0.05)  # the end must not overtake the bytes
        await served.sleep(wait)
        if reset:
            served.reset()
        else:
            served.close()

    if partial:
        ONLY_HTTP1.add(step)
    return step


ONLY_HTTP1: set[Step] = set()
"""Steps that send bytes of HTTP/1.1."""


async def _silence(served: Served) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await served.read_body()
        await served.wait_until_gone()
    served.close()


OK = answer()
SILENCE: Step = _silence
CLOSE = ends()
RESET = ends(reset=True)
HALF_HEAD = ends(b"HTTP/1.1 200 OK\r\ncontent-le")
HALF_HEAD_RESET = ends(b"HTTP/1.1 200 OK\r\ncontent-le", reset=True)
HALF_BODY = ends(b"HTTP/1.1 200 -\r\ncontent-length: 10\r\n\r\nhalf")
HALF_BODY_RESET = ends(b"HTTP/1.1 200 -\r\ncontent-length: 10\r\n\r\nhalf", reset=True)
HALF_CHUNKED = ends(b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
GARBAGE = ends(b"this is not HTTP\r\n\r\n")


@dataclass
class Run:
    """One scenario through one proxy: its script, and the attempts that came."""

    script: Script
    pace: int = 1
    """Every second of the script takes so many."""
    attempts: list[Attempt] = field(default_factory=list)
    connections: dict[int, int] = field(default_factory=dict)
    _used: dict[int, int] = field(default_factory=dict)

    def next_step(self, host: int) -> Step:
        script = self.script
        key, steps = (host, script.get(host, (OK,))) if isinstance(script, Mapping) else (-1, script)
        index = self._used.get(key, 0)
        self._used[key] = index + 1
        return steps[min(index, len(steps) - 1)]


class ScriptedHosts:
    """`COUNT` hosts that accept; one that refuses, one that no connect gets through to, one that resets at once."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self._sockets = [socket.create_server((ADDRESS, 0), backlog=512) for _ in range(COUNT)]
        self._refusing = _bound()
        self._deaf = _bound()
        self._deaf.listen(0)
        self._fillers = [_connecting(self._deaf.getsockname()) for _ in range(3)]
        self._slamming = socket.create_server((ADDRESS, 0), backlog=512)
        self.ports: dict[int | str, int] = {
            **{index: sock.getsockname()[1] for index, sock in enumerate(self._sockets)},
            "refuses": self._refusing.getsockname()[1],
            "deaf": self._deaf.getsockname()[1],
            "slams": self._slamming.getsockname()[1],
        }
        self._numbers = iter(range(10**9))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="scripted hosts", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def close(self) -> None:
        """Let every port go."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        for sock in [*self._sockets, self._refusing, self._deaf, *self._fillers, self._slamming]:
            sock.close()

    def host_of(self, address: str | None) -> str:
        """`ip:port` as the index of a host, or its name."""
        port = (address or "-").rpartition(":")[2]
        return next((str(name) for name, number in self.ports.items() if str(number) == port), "-")

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _listen(self) -> None:
        for index, sock in enumerate(self._sockets):

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: int = index) -> None:
                await self._serve(host, reader, writer)

            await asyncio.start_server(serve, sock=sock, limit=4 * 1024 * 1024)
        await asyncio.start_server(_slam, sock=self._slamming)

    async def _serve(self, host: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._numbers)
        try:
            while True:
                line, headers = split_head(await reader.readuntil(b"\r\n\r\n"))
                if line == b"PRI * HTTP/2.0":
                    await self._serve_streams(host, number, reader, writer)
                    break
                run, attempt = self._attempt(host, number, line.split(b" ")[0], headers)
                served = Served(attempt, reader, writer)
                served.pace = run.pace
                await run.next_step(host)(served)
                if served.closed:
                    break
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _serve_streams(
        self, host: int, connection: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        tasks: set[asyncio.Task[None]] = set()

        async def serve(number: int, stream: Stream) -> None:
            method = next(value for name, value in stream.headers if name == b":method")
            run, attempt = self._attempt(host, connection, method, stream.headers)
            served = ServedStream(attempt, end, number, stream)
            served.pace = run.pace
            stepping = asyncio.ensure_future(run.next_step(host)(served))
            await stream.over.wait()
            attempt.body, attempt.trailers, attempt.reset = stream.body, stream.trailers, stream.reset
            attempt.whole = stream.ended
            if stream.reset is not None:
                stepping.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, ProtocolError):
                await stepping
            attempt.reset = stream.reset  # perhaps by now

        end = Http2End(reader, writer, lambda number, stream: tasks.add(asyncio.ensure_future(serve(number, stream))))
        try:
            await end.run(after_preface=True)
        finally:
            for task in tasks:
                task.cancel()

    def _attempt(self, host: int, number: int, method: bytes, headers: Headers) -> tuple[Run, Attempt]:
        name, _, ask = dict(headers)[b"x-run"].decode().rpartition("/")
        run = self.runs[name]
        connection = run.connections.setdefault(number, len(run.connections))
        attempt = Attempt(host, connection, ask, method, headers, self._loop.time() / run.pace)
        run.attempts.append(attempt)
        return run, attempt


async def _slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _bound() -> socket.socket:
    sock = socket.socket()
    sock.bind((ADDRESS, 0))
    return sock


def _connecting(address: tuple[str, int]) -> socket.socket:
    """Takes a place in the queue of a socket that nobody accepts from."""
    sock = socket.socket()
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        sock.connect(address)
    return sock
