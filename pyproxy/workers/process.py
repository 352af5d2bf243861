"""What runs in a worker's process: a Worker that is told what to serve, and tells what it counted."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import socket
from collections.abc import Callable, Mapping

from pyproxy.core.errors import CommandError
from pyproxy.core.loop import SystemClock, spawn
from pyproxy.downstream.listener import refused
from pyproxy.mtls.rotation import watch
from pyproxy.policy.token_rules import KeySource
from pyproxy.settings import Settings
from pyproxy.snapshot.compile import compile_snapshot
from pyproxy.snapshot.model import Listener, Snapshot
from pyproxy.telemetry.stats import reset_counters
from pyproxy.worker import Worker, listener_key
from pyproxy.workers.channel import Channel, Message
from pyproxy.workers.discovery import Place, ToldDiscovery
from pyproxy.workers.numbers import report
from pyproxy.workers.sharing import Entry, WorkerSharing
from pyproxy.workers.sockets import listening_socket
from pyproxy.workers.table import CountTable

_log = logging.getLogger("pyproxy.worker")
MAX_UNSENT = 4 * 1024 * 1024
"""Bytes that may wait for the supervisor before what came of attempts is no longer sent."""


class WorkerProcess(Worker):
    """One of several workers. Ends when it is told to, or when the supervisor is gone."""

    def __init__(self, settings: Settings, number: int, table: CountTable, first: Snapshot) -> None:
        """`first` is the snapshot that was there before the fork: compiled already, and perhaps still in force."""
        super().__init__(settings, SystemClock(), _seed(settings.seed, number))
        self._first: Snapshot | None = first
        self._wired = False
        self._stopping = asyncio.Event()
        self._discovery = ToldDiscovery()
        self._sharing = WorkerSharing(table, number, self._send_entries)
        self._channel = Channel(self._on_message, self._stopping.set)
        self._descriptors: socket.socket = None  # type: ignore[assignment]  # set in run, before any use
        self._unix: dict[str, socket.socket] = {}
        self._ports: Mapping[str, int] = {}
        self._orders: asyncio.Queue[Message] = asyncio.Queue()
        self._handlers: dict[str, Callable[..., object]] = {
            "hosts": self._on_hosts,
            "keys": lambda issuer, uri, timeout, text: self.keys.put(KeySource(issuer, uri, timeout=timeout), text),
            "health": lambda cluster, key, healthy: self._sharing.on_health(cluster, key, healthy=healthy),
            "report": lambda number: spawn(self._report(number), name="report"),
            "stop": self._stopping.set,
        }
        """What is done at once. Everything else is an order: one is done after the other."""
        self._order_handlers: dict[str, Callable[..., object]] = {
            "reset": self._on_reset,
            "fail": self._on_fail,
            "drain_listeners": lambda inbound, graceful, keep: self.drain_listeners(
                inbound_only=inbound, graceful=graceful, keep_listening=keep
            ),
            "levels": self._on_levels,
        }

    async def run(self, channel: socket.socket, descriptors: socket.socket) -> None:
        """Serve until told to stop, then drain."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C reaches the supervisor too, which says stop
        self._descriptors = descriptors
        self._until_exit = channel.dup()  # the supervisor hears of the end when there is no process any more
        await self._channel.open(channel)
        obeying = spawn(self._obey(), name="obey")
        await self._stopping.wait()
        if self._wired:
            await self.drain()
            await self._report(0)
            await self.close()
        obeying.cancel()
        self._channel.close()
        await asyncio.sleep(0)

    def socket_for(self, listener: Listener) -> socket.socket | None:
        """One of our own at the address that the supervisor holds, or its Unix socket."""
        place = place_of(listener)
        try:
            if listener.address.startswith("unix:"):
                return self._unix[place].dup()
            return listening_socket(listener.address, self._ports[place])
        except OSError as error:
            raise refused(listener, error) from error

    # What the supervisor says

    def _on_message(self, message: Message) -> None:
        handler = self._handlers.get(message[0])
        if handler is None:
            self._orders.put_nowait(message)
        else:
            handler(*message[1:])

    async def _obey(self) -> None:
        while True:
            name, *values = await self._orders.get()
            if name == "documents":
                await self._take_up(*values)
            else:
                self._order_handlers[name](*values)

    def _on_hosts(self, cluster: str, places: list[Place]) -> None:
        self._discovery.on_told(cluster, places)

    def _on_reset(self) -> None:
        states = self.live.serving.clusters.values()
        reset_counters([(state.name, state.stats) for state in states])
        reset_counters([(state.name, state.http2) for state in states if state.http2 is not None])
        reset_counters([*self.http_stats.items(), *self.connection_stats.items(), ("", self.tcp_stats)])
        reset_counters([("", self.http2_stats)])
        reset_counters([*self.tcp_proxies.items(), *self.tracer_stats.items()])
        self.env.metrics.reset_counters()

    def _on_fail(self, failing: bool) -> None:
        if not self._stopping.is_set():
            self.env.draining = failing

    def _on_levels(self, levels: dict[str, int]) -> None:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

    # Documents

    async def _take_up(
        self, version: str, documents: bytes, slots: dict[str, int], ports: dict[str, int], unix: list[str]
    ) -> None:
        """Serve by these documents, at these ports; `unix` are places whose sockets were just passed."""
        for place in unix:
            _, descriptors, _, _ = socket.recv_fds(self._descriptors, 1, 1)
            self._unix[place] = socket.socket(fileno=descriptors[0])
        try:
            snapshot = await self._compiled(version, documents)
        except Exception:  # the supervisor compiled the same; the last good configuration must survive all the same
            _log.exception("worker %d cannot take up version %s", os.getpid(), version)
            if not self._wired:
                self._stopping.set()
            return
        self._sharing.slots = slots
        self._ports = ports
        if self._wired:
            self.swap(snapshot)
        else:
            self.wire(snapshot, self._discovery, self._sharing)
            self._wired = True
            spawn(self.sweep(), name="sweep")
            spawn(watch(self.tls), name="watch certificates")
        try:
            await self.bind(one for one in snapshot.listeners if place_of(one) in ports)
        except CommandError as error:
            _log.error("%s", error)
        for place in self._unix.keys() - ports.keys():
            self._unix.pop(place).close()
        if self._first is not None:
            self._first = None
            self.settle()
        self._channel.send("serving", version)

    async def _compiled(self, version: str, documents: bytes) -> Snapshot:
        if self._first is not None and self._first.version == version:
            return self._first
        return await asyncio.to_thread(_compile, documents, self.settings)

    # What the supervisor is told

    def _send_entries(self, entries: list[Entry]) -> None:
        if self._channel.unsent_bytes < MAX_UNSENT:
            self._channel.send("outcomes", entries)

    async def _report(self, number: int) -> None:
        self._channel.send("report", number, await report(self))


def place_of(listener: Listener) -> str:
    """A listener's key as plain data."""
    return "|".join(str(getattr(part, "value", part)) for part in listener_key(listener))


def _seed(seed: int | None, number: int) -> int | str | None:
    """The first worker repeats what one alone would do; the others have streams of their own."""
    return seed if seed is None or number == 0 else f"{seed}/{number}"


def _compile(documents: bytes, settings: Settings) -> Snapshot:
    found = pickle.loads(documents)  # the supervisor alone sends these
    return compile_snapshot(found, settings.identity_in(found), settings.listening).snapshot
