"""What the processes of one proxy put in the place of their own: shared counts, and one outlier detector for all.

A worker's monitors send what came of each attempt to the supervisor; its detector judges, and tells every worker who
is ejected and who is back. Source of the judgement: policy/outlier.py, as with one process.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping

from pyproxy.core.loop import Clock
from pyproxy.core.outcome import Outcome
from pyproxy.policy.circuit_breaker import Ceilings, CircuitBreakers
from pyproxy.policy.host_monitor import Monitor, OutlierPolicy
from pyproxy.runtime.clusters import Detector, HostState, outlier_detector
from pyproxy.workers.table import CountTable, Slots

GATHERING = 0.01
"""Seconds for which good news may wait; bad news leaves with the current turn of the event loop."""
_OUTCOMES = tuple(Outcome)
_CONNECTED = 0
"""What else is sent: a status as itself, a failure as -1 and less."""

Entry = list[object]
"""Cluster, host, what came, how many times in a row."""


class SupervisorSharing:
    """Judges for all."""

    def __init__(
        self, table: CountTable, slots: Slots, clock: Clock, rng: random.Random, tell: Callable[[str, HostState], None]
    ) -> None:
        """`tell` is called with a cluster's name and a host that was ejected or came back."""
        self._table = table
        self._slots = slots
        self._clock = clock
        self._rng = rng
        self._tell = tell

    def ceilings(self, cluster: str, limits: CircuitBreakers) -> Ceilings:
        """All workers' counts."""
        return Ceilings(limits, self._table.of_all(self._slots.assign(cluster)))

    def detector(self, cluster: str, policy: OutlierPolicy, on_change: Callable[[HostState], None]) -> Detector:
        """The one that there is."""

        def changed(host: HostState) -> None:
            on_change(host)
            self._tell(cluster, host)

        return outlier_detector(cluster, policy, self._clock, self._rng, changed)


class WorkerSharing:
    """Counts into this worker's rows, sends what happens and does as it is told."""

    def __init__(self, table: CountTable, worker: int, send: Callable[[list[Entry]], None]) -> None:
        """`send` takes what came of attempts, in order."""
        self.slots: Mapping[str, int] = {}
        """As the supervisor assigned them; set before clusters are made."""
        self.outbox = Outbox(send)
        self._table = table
        self._worker = worker
        self._detectors: dict[str, DistantDetector] = {}
        self._ejected: dict[str, set[str]] = {}

    def ceilings(self, cluster: str, limits: CircuitBreakers) -> Ceilings:
        """This worker's counts beside the others'."""
        return Ceilings(limits, self._table.of_worker(self._worker, self.slots.get(cluster)))

    def detector(self, cluster: str, policy: OutlierPolicy, on_change: Callable[[HostState], None]) -> Detector:
        """One that asks the supervisor's."""
        ejected = self._ejected.setdefault(cluster, set())
        found = self._detectors[cluster] = DistantDetector(cluster, policy, on_change, self.outbox, ejected)
        return found

    def on_health(self, cluster: str, key: str, *, healthy: bool) -> None:
        """The supervisor ejected a host, or it is back. It may not be known here yet."""
        ejected = self._ejected.setdefault(cluster, set())
        if healthy:
            ejected.discard(key)
        else:
            ejected.add(key)
        detector = self._detectors.get(cluster)
        if detector is not None:
            detector.follow(key)


class DistantDetector:
    """One cluster's detector, as a worker has it: it knows who is ejected, and not why."""

    def __init__(
        self,
        cluster: str,
        policy: OutlierPolicy,
        on_change: Callable[[HostState], None],
        outbox: Outbox,
        ejected: set[str],
    ) -> None:
        self.policy = policy
        self._cluster = cluster
        self._on_change = on_change
        self._outbox = outbox
        self._ejected = ejected
        self._hosts: dict[str, HostState] = {}

    def watch(self, hosts: Iterable[HostState]) -> None:
        """The cluster's hosts are these now. Who left is forgotten, as the supervisor forgets it."""
        now = {host.key: host for host in hosts}
        self._ejected.difference_update(self._hosts.keys() - now.keys())
        self._hosts = now
        for key, host in now.items():
            host.healthy = key not in self._ejected

    def monitor(self, host: HostState) -> Monitor:
        """Who sends what came of a host's attempts."""
        return host.monitor or Reporter(self._cluster, host.key, self, self._outbox)

    def follow(self, key: str) -> None:
        """What is known of a host's health is another now."""
        host = self._hosts.get(key)
        healthy = key not in self._ejected
        if host is not None and host.healthy is not healthy:
            host.healthy = healthy
            self._on_change(host)

    def sweep(self) -> None:
        """The supervisor does."""

    def release(self) -> None:
        """Outlier detection ends here: every ejected host returns."""
        keys = list(self._ejected)
        self._ejected.clear()
        for key in keys:
            self.follow(key)
        self._hosts = {}


class Reporter:
    """Sends what came of one host's attempts (host_monitor.Monitor)."""

    __slots__ = ("_cluster", "_detector", "_host", "_last", "_outbox", "_turn")

    def __init__(self, cluster: str, host: str, detector: DistantDetector, outbox: Outbox) -> None:
        self._cluster = cluster
        self._host = host
        self._detector = detector
        self._outbox = outbox
        self._last: Entry = []
        self._turn = -1

    def record_response(self, status: int) -> None:
        """A response head arrived."""
        self._add(status, urgent=status >= 400)

    def record_failure(self, outcome: Outcome) -> None:
        """The attempt ended without one."""
        self._add(-1 - _OUTCOMES.index(outcome), urgent=True)

    def record_connected(self) -> None:
        """The attempt has its connection: of interest only where local errors are counted apart."""
        if self._detector.policy.split_local_origin:
            self._add(_CONNECTED, urgent=False)

    def _add(self, what: int, *, urgent: bool) -> None:
        """What is the same as before is counted, so that a host that does well costs one entry a message."""
        outbox, last = self._outbox, self._last
        if self._turn == outbox.turn and last[2] == what:
            last[3] += 1  # type: ignore[operator]
            if urgent:
                outbox.hurry()
            return
        self._last = [self._cluster, self._host, what, 1]
        self._turn = outbox.turn
        outbox.add(self._last, urgent=urgent)


class Outbox:
    """Gathers entries for one message."""

    def __init__(self, send: Callable[[list[Entry]], None]) -> None:
        self.turn = 0
        """Counts messages: an entry may be added to until its message is sent."""
        self._send = send
        self._entries: list[Entry] = []
        self._timer: asyncio.Handle | None = None
        self._hurries = False

    def add(self, entry: Entry, *, urgent: bool) -> None:
        """Send it soon."""
        self._entries.append(entry)
        if urgent:
            self.hurry()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHERING, self._flush)

    def hurry(self) -> None:
        """Send all with the end of this turn of the loop."""
        if not self._hurries:
            self._hurries = True
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        entries, self._entries = self._entries, []
        self.turn += 1
        self._timer = None
        self._hurries = False
        self._send(entries)


def record(monitor: Monitor, what: int, times: int) -> None:
    """Tell a host's real monitor what a worker's Reporter was told."""
    for _ in range(times):
        if what == _CONNECTED:
            monitor.record_connected()
        elif what > 0:
            monitor.record_response(what)
        else:
            monitor.record_failure(_OUTCOMES[-1 - what])
