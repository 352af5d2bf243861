"""Forks workers: a process of its own, made before any loop or thread exists, so that what it forks has neither.

A supervisor that forked for itself would hand its threads' locks, its sockets and its event loop down to each worker
that takes a dead one's place.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import struct
from collections.abc import Callable

_log = logging.getLogger("pyproxy")
_ORDER = struct.Struct("!I")
_PID = struct.Struct("!I")


class Nursery:
    """The supervisor's hold on the process that forks."""

    def __init__(self, run_worker: Callable[[int, socket.socket, socket.socket], None]) -> None:
        """Fork it. `run_worker` is what a worker does, given its number and two sockets that lead to the supervisor."""
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _exit_after(lambda: _serve(theirs, run_worker))
        theirs.close()
        self._orders = ours

    def fork(self, number: int, channel: socket.socket, descriptors: socket.socket) -> int:
        """Have a worker forked, with these two sockets, which are closed here; its process id. Raises OSError."""
        with channel, descriptors:
            socket.send_fds(self._orders, [_ORDER.pack(number)], [channel.fileno(), descriptors.fileno()])
        answer = self._orders.recv(_PID.size)
        if not answer:
            raise OSError("the process that forks workers is gone")
        pid: int = _PID.unpack(answer)[0]
        return pid

    def close(self) -> None:
        """No more workers; those that run go on."""
        self._orders.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _serve(orders: socket.socket, run_worker: Callable[[int, socket.socket, socket.socket], None]) -> None:
    """Fork at each order until the supervisor is gone."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # it ends with the supervisor
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for workers: their channels tell that they ended
    while True:
        order, descriptors, _, _ = socket.recv_fds(orders, _ORDER.size, 2)
        if not order:
            return
        channel, passed = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        pid = os.fork()
        if pid == 0:
            orders.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            number = _ORDER.unpack(order)[0]
            _exit_after(lambda: run_worker(number, channel, passed))  # noqa: B023 - called at once, and never returns
        channel.close()
        passed.close()
        orders.send(_PID.pack(pid))


def _exit_after(work: Callable[[], None]) -> None:
    """Leave a forked process without what its parent would still do."""
    code = 1
    try:
        work()
        code = 0
    except Exception:
        _log.exception("a process of the proxy failed")
    finally:
        logging.shutdown()
        os._exit(code)
