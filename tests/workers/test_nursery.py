"""A process that forks workers when told, and ends with who tells it."""

from __future__ import annotations

import os
import socket

import pytest

from pyproxy.workers.nursery import Nursery


def work(number: int, channel: socket.socket, descriptors: socket.socket) -> None:
    """What the worker does: tell who it is, and wait to be let go."""
    channel.send(f"{number} {os.getpid()} {os.getppid()}".encode())
    if channel.recv(1) == b"!":
        raise RuntimeError("as asked")


def test_every_order_is_a_process_with_its_own_sockets() -> None:
    nursery = Nursery(work)
    lines = []
    for number in (0, 5):
        ours, theirs = socket.socketpair()
        other, passed = socket.socketpair()
        pid = nursery.fork(number, theirs, passed)
        ours.settimeout(5)
        lines.append(ours)
        assert ours.recv(100).decode().split() == [str(number), str(pid), str(nursery.pid)]
        other.close()
    nursery.close()  # it is gone; the workers are not
    lines[0].send(b".")
    assert lines[0].recv(1) == b""  # ended, and nobody else has its end of the line
    lines[1].send(b"!")
    assert lines[1].recv(1) == b""
    for ours in lines:
        ours.close()


def test_without_it_there_are_no_workers() -> None:
    nursery = Nursery(work)
    os.kill(nursery.pid, 9)
    os.waitpid(nursery.pid, 0)
    ours, theirs = socket.socketpair()
    other, passed = socket.socketpair()
    with ours, other, pytest.raises(OSError, match=r".+"):
        nursery.fork(0, theirs, passed)
    nursery.close()
