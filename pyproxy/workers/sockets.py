"""Addresses that several workers listen on: the supervisor holds each, every worker has a socket of its own on it.

With SO_REUSEPORT the system spreads connections over the sockets that listen; the supervisor's own is bound, never
listens, and so is given none. A Unix socket has one queue, which all workers accept from.
"""

from __future__ import annotations

import os
import socket
import stat

from pyproxy.downstream.listener import BACKLOG, refused, unix_path
from pyproxy.snapshot.model import Listener


class HeldListener:
    """One listener of the proxy as a whole (admin.served.Bound)."""

    def __init__(self, listener: Listener, *, alone: bool = True) -> None:
        """Take the address; `alone`: nobody may have it already. Raises CommandError when it cannot be had."""
        self.listener = listener
        self.connections = 0
        """Of all workers, as they last said."""
        try:
            self.socket = _unix(listener.address) if self.is_unix else _held(listener.address, listener.port, alone)
        except OSError as error:
            raise refused(listener, error) from error
        self.port = listener.port if self.is_unix else int(self.socket.getsockname()[1])

    @property
    def is_unix(self) -> bool:
        """Whether its socket goes to the workers, who cannot have one of their own."""
        return self.listener.address.startswith("unix:")

    @property
    def shown(self) -> str:
        """Where it listens."""
        return self.listener.address if self.is_unix else f"{self.listener.address}:{self.port}"

    def close(self) -> None:
        """Give the address up; workers that listen there go on."""
        self.socket.close()


def listening_socket(address: str, port: int) -> socket.socket:
    """A worker's own, at an address that the supervisor holds. Raises OSError."""
    sock = _tcp(address)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def _held(address: str, port: int, alone: bool) -> socket.socket:
    if alone:  # SO_REUSEPORT would let another proxy of the same user on this port go unnoticed
        with _tcp(address) as probe:
            probe.bind((address, port))
    return listening_socket(address, port)


def _tcp(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ":" in address:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as asyncio does
    return sock


def _unix(address: str) -> socket.socket:
    path = unix_path(address)
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)  # left behind by another process, as asyncio sees it
    except FileNotFoundError:
        pass
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
