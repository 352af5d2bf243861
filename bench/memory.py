"""The large-body measurement: how much memory 1 GiB costs when the receiving side pauses again and again."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from bench.contestants import Contestant
from bench.process import peak_resident_bytes, reset_peak, resident_bytes
from bench.scenarios import HOST, SERVICE_PORT
from bench.table import MEBIBYTE, align

PAUSE_EVERY = 64 * MEBIBYTE
PAUSE_SECONDS = 0.1
"""A proxy without back-pressure takes in about 100 MiB meanwhile."""
_PIECE = bytes(256 * 1024)


@dataclass(frozen=True)
class Growth:
    """What one proxy's memory did. Bytes and seconds."""

    idle: int
    download: int
    """The peak above idle while the client read slowly."""
    download_seconds: float
    upload: int
    """The peak above idle while the service read slowly."""
    upload_seconds: float


def measure(contestant: Contestant, size: int) -> Growth:
    """One body of `size` bytes each way."""
    idle = resident_bytes(contestant.pid)
    download, download_seconds = _watch(contestant, idle, lambda: _download(contestant.port, size))
    upload, upload_seconds = _watch(contestant, idle, lambda: _upload(contestant.port, size))
    return Growth(idle, download, download_seconds, upload, upload_seconds)


def render(about: str, growths: dict[str, Growth]) -> str:
    """A table that lines up in a terminal."""
    rows = [["", "idle MiB", "download +MiB", "seconds", "upload +MiB", "seconds"]]
    for proxy, growth in growths.items():
        idle, download, upload = (f"{size / MEBIBYTE:.1f}" for size in (growth.idle, growth.download, growth.upload))
        rows.append([proxy, idle, download, f"{growth.download_seconds:.1f}", upload, f"{growth.upload_seconds:.1f}"])
    return f"large-body: {about}\n{align(rows)}"


def as_json(about: str, growths: dict[str, Growth]) -> dict[str, Any]:
    """The same as data. Bytes and seconds."""
    proxies = {proxy: asdict(growth) for proxy, growth in growths.items()}
    return {"scenario": "large-body", "about": about, "proxies": proxies}


@contextmanager
def peer(size: int) -> Iterator[int]:
    """A service that answers GET with `size` bytes and reads any other request slowly; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, size), daemon=True).start()
        yield listener.getsockname()[1]


def _watch(contestant: Contestant, idle: int, transfer: Callable[[], None]) -> tuple[int, float]:
    reset_peak(contestant.pid)
    started = time.perf_counter()
    transfer()
    return max(0, peak_resident_bytes(contestant.pid) - idle), time.perf_counter() - started


def _download(port: int, size: int) -> None:
    with _connect(port) as connection:
        connection.sendall(_head("GET", "connection: close"))
        _, rest = _read_head(connection)
        _read_slowly(connection, size - len(rest))


def _upload(port: int, size: int) -> None:
    with _connect(port) as connection:
        connection.sendall(_head("POST", f"content-length: {size}", "connection: close"))
        _send(connection, size)
        head, _ = _read_head(connection)
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(f"the upload was answered with {head[:100]!r}")


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def _head(method: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} / HTTP/1.1", f"host: {HOST}:{SERVICE_PORT}", *lines, "", ""]).encode()


def _serve(listener: socket.socket, size: int) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection, size), daemon=True).start()


def _answer(connection: socket.socket, size: int) -> None:
    with connection:
        try:
            head, rest = _read_head(connection)
            if head.startswith(b"GET"):
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % size)
                _send(connection, size)
            else:
                _read_slowly(connection, size - len(rest))
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        except OSError:
            return


def _send(connection: socket.socket, size: int) -> None:
    while size:
        piece = _PIECE[:size]
        connection.sendall(piece)
        size -= len(piece)


def _read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError(f"closed before the head was whole: {received[:100]!r}")
        received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def _read_slowly(connection: socket.socket, size: int) -> None:
    buffer = bytearray(len(_PIECE))
    until_pause = PAUSE_EVERY
    while size > 0:
        got = connection.recv_into(buffer, min(size, len(buffer)))
        if not got:
            raise ConnectionError(f"closed with {size} bytes missing")
        size -= got
        until_pause -= got
        if until_pause <= 0:
            time.sleep(PAUSE_SECONDS)
            until_pause = PAUSE_EVERY
