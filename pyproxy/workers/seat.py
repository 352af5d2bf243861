"""A worker as the supervisor sees it: where it can be told something, and what it last said."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from pyproxy.core.loop import Clock
from pyproxy.workers.channel import Channel, Message
from pyproxy.workers.nursery import Nursery
from pyproxy.workers.sharing import Entry

REPORT_TIMEOUT = 1.0
"""Seconds that a page waits for a worker's numbers; then those it last gave are shown."""


class Seat:
    """One worker process, from its fork to its end."""

    def __init__(
        self,
        number: int,
        clock: Clock,
        on_outcomes: Callable[[list[Entry]], None],
        on_ended: Callable[[Seat], None],
    ) -> None:
        self.number = number
        self.pid = 0
        self.version = ""
        """Of the documents that it serves by; empty until it serves."""
        self.numbers: dict[str, Any] = {}
        """As it last reported them."""
        self.started_at = clock.monotonic()
        self.ended = asyncio.Event()
        self._on_outcomes = on_outcomes
        self._on_ended = on_ended
        self._channel = Channel(self._on_message, self._on_closed)
        self._descriptors: socket.socket | None = None
        self._reports: dict[int, asyncio.Future[None]] = {}
        self._asked = 0

    async def start(self, nursery: Nursery) -> None:
        """Have the process forked. Raises OSError."""
        ours, theirs = socket.socketpair()
        self._descriptors, their_descriptors = socket.socketpair()
        self.pid = nursery.fork(self.number, theirs, their_descriptors)
        ours.setblocking(False)
        await self._channel.open(ours)

    def tell(self, *message: object) -> None:
        """Say something."""
        self._channel.send(*message)

    def pass_socket(self, sock: socket.socket) -> None:
        """Let it have a listening socket; the message that names it follows."""
        if self._descriptors is not None:
            with contextlib.suppress(OSError):  # it has just ended
                socket.send_fds(self._descriptors, [b"."], [sock.fileno()])

    async def report(self) -> None:
        """Bring `numbers` up to date, if it answers in time."""
        self._asked += 1
        answered = self._reports[self._asked] = asyncio.get_running_loop().create_future()
        self.tell("report", self._asked)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPORT_TIMEOUT):
                await answered

    def kill(self) -> None:
        """It had its time."""
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _on_message(self, message: Message) -> None:
        name = message[0]
        if name == "outcomes":
            self._on_outcomes(message[1])
        elif name == "serving":
            self.version = message[1]
        elif name == "report":
            self.numbers = message[2]
            self._answer(message[1])

    def _on_closed(self) -> None:
        for number in list(self._reports):
            self._answer(number)
        if self._descriptors is not None:
            self._descriptors.close()
            self._descriptors = None
        self.ended.set()
        self._on_ended(self)

    def _answer(self, number: int) -> None:
        answered = self._reports.pop(number, None)
        if answered is not None and not answered.done():
            answered.set_result(None)
