"""What happened in the mesh, by the difference between two readings of one proxy; a bounded timeline of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from pyproxy.console.names import Target, target_of
from pyproxy.console.reading import Cluster, Host, Reading

MAX_EVENTS = 500
TOGETHER_SECONDS = 5.0
"""What several proxies tell of within so long, or one again and again, is one event."""


@dataclass(slots=True)
class Event:
    """One entry of the timeline."""

    number: int
    at: float
    """Unix seconds, by the console's clock."""
    kind: str
    """configuration, rejected, ejected, returned, overflow, certificate, proxy."""
    text: str
    detail: str = ""
    proxies: list[str] = field(default_factory=list)
    """Who told of it."""
    count: int = 1
    until: float = 0.0
    """When it was last told of."""


@dataclass(frozen=True, slots=True)
class Happening:
    """What one proxy tells of."""

    kind: str
    text: str
    detail: str = ""
    count: int = 1


class Timeline:
    """The last events, oldest first."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._next = 1

    def tell(self, at: float, proxy: str, happening: Happening) -> None:
        """Add to an event of this moment, or begin one."""
        event = self._same(at, happening)
        if event is None:
            event = Event(self._next, at, happening.kind, happening.text, happening.detail, count=0)
            self._next += 1
            self.events.append(event)
        event.until = at
        event.count += happening.count
        if proxy not in event.proxies:
            event.proxies.append(proxy)

    def _same(self, at: float, happening: Happening) -> Event | None:
        for event in reversed(self.events):
            if event.at < at - 60 * TOGETHER_SECONDS:
                return None
            if at - event.until <= TOGETHER_SECONDS and (event.kind, event.text) == (happening.kind, happening.text):
                return event
        return None


def happenings(before: Reading, now: Reading) -> Iterator[Happening]:
    """What one proxy did between two of its answers."""
    if now.started != before.started:
        yield Happening("proxy", f"{now.name} was started anew")
        return
    if now.state != before.state:
        yield Happening("proxy", f"{now.name} is {now.state}")
    if now.accepted > before.accepted:
        yield Happening("configuration", f"documents {now.version[:8]} taken up")
    if now.rejected > before.rejected:
        yield Happening("rejected", "the documents have an error; the last good ones serve on", "\n".join(now.errors))
    yield from _certificates(before, now)
    for name, cluster in now.clusters.items():
        known = before.clusters.get(name)
        if known is not None:
            target = target_of(name)
            yield from _ejections(now.name, target, known, cluster)
            yield from _overflows(now.name, target, known, cluster)


def _certificates(before: Reading, now: Reading) -> Iterator[Happening]:
    known = {each.path: each for each in before.certificates}
    for certificate in now.certificates:
        old = known.get(certificate.path)
        if old is None:
            continue
        if certificate.taken_up > old.taken_up:
            yield Happening("certificate", f"{now.name} has a new certificate", certificate.path)
        if certificate.error and certificate.error != old.error:
            yield Happening("certificate", f"{now.name} cannot use its new certificate", certificate.error)


def _ejections(proxy: str, target: Target, before: Cluster, now: Cluster) -> Iterator[Happening]:
    known = {host.address: host for host in before.hosts}
    for host in now.hosts:
        old = known.get(host.address)
        if old is None:
            continue
        who = f"{host.name or target.title} {host.address}"
        if not host.healthy and (old.healthy or host.times_ejected > old.times_ejected):
            yield Happening("ejected", f"{proxy} ejected {who}", _sentence(host))
        elif host.healthy and not old.healthy:
            yield Happening("returned", f"{who} is back for {proxy}")


def _sentence(host: Host) -> str:
    if host.seconds_left is None:
        return ""
    return f"for {host.seconds_left:.0f} s more; {host.times_ejected} time{'s' * (host.times_ejected != 1)} so far"


def _overflows(proxy: str, target: Target, before: Cluster, now: Cluster) -> Iterator[Happening]:
    for kind, breaker in now.breakers.items():
        old = before.breakers.get(kind)
        more = breaker.overflows - old.overflows if old is not None else 0
        if more > 0:
            text = f"{proxy} to {target.title}: {kind} overflowed"
            yield Happening("overflow", text, f"ceiling {breaker.ceiling}", more)
