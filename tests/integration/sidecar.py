"""A real `pyproxy run` on free ports, upstreams that name themselves, and a client that tells losses apart."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60.0
"""How long anything may take that is only waited for: on a busy machine a start takes ten."""
PORTS = ("outbound", "inbound", "http-proxy", "admin", "status", "metrics")


class Refused(Exception):
    """There was no connection, so the request was never sent."""


class Lost(Exception):
    """The request was sent and its response did not come."""


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """Keeps connections to one address open and sends one request at a time on each."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._where = (host, int(port))
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def request(
        self, path: str, host: str = "admin.localhost", method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> Response:
        """Raises Refused or Lost."""
        reader, writer = await self._connection()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{k}: {v}" for k, v in (headers or {}).items())]
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode())
            response = await _read(reader)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            writer.close()
            raise Lost(f"{method} {path}: {error!r}") from error
        if response.headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return response

    async def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        try:
            return await asyncio.open_connection(*self._where)
        except OSError as error:
            raise Refused(str(error)) from error


async def _read(reader: asyncio.StreamReader) -> Response:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers["content-length"]))
    return Response(int(head[0].split()[1]), headers, body)


@asynccontextmanager
async def upstream(name: str) -> AsyncIterator[int]:
    """A plain HTTP server on a free port. `/status/503` gets that status, `/slow/0.5` takes so many seconds."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                what, _, value = head.split(b" ")[1].decode().lstrip("/").partition("/")
                if what == "slow":
                    await asyncio.sleep(float(value))
                status = value if what == "status" else "200"
                body = name.encode()
                writer.write(f"HTTP/1.1 {status} -\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


@dataclass
class Sidecar:
    """The process, its addresses by listener name, and what it wrote to standard error."""

    process: asyncio.subprocess.Process
    addresses: dict[str, str]
    log: Path

    async def admin(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Response:
        """One request to the admin port."""
        client = Client(self.addresses["admin"])
        try:
            return await client.request(path, method=method, headers=headers)
        finally:
            await client.close()

    async def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), SECONDS)


@asynccontextmanager
async def sidecar(folder: Path, config: Path, *flags: str) -> AsyncIterator[Sidecar]:
    """`pyproxy run` on 127.0.0.1; ready when entered, gone when left. `folder` takes its log."""
    ready, log = folder / "ready.json", folder / "pyproxy.log"
    ports = [text for name in PORTS for text in (f"--{name}-port", "0")]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pyproxy", "run", "--config", str(config), "--address", "127.0.0.1"),
            *(*ports, "--ready-file", str(ready), *flags),
            stderr=output,
        )
    try:
        await until(lambda: ready.exists() or process.returncode is not None)
        assert process.returncode is None, log.read_text()
        yield Sidecar(process, json.loads(ready.read_text())["addresses"], log)
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), SECONDS)


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = SECONDS, every: float = 0.02
) -> float:
    """Wait for a condition; how many seconds it took. Raises AssertionError when it took too long."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    while True:
        holds = condition()
        if await holds if isinstance(holds, Awaitable) else holds:
            return loop.time() - start
        assert loop.time() - start < seconds, "waited in vain"
        await asyncio.sleep(every)
