"""A scenario's load: requests at a rate, or from clients that wait for their answers, and what the clients met.

Small on purpose: it runs inside the lab and must not take the machine down. For more there is locust.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from pyproxy.core.loop import spawn

MOST_AT_ONCE = 300
MOST_LATENCIES = 20_000


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of request, and how many of all it is."""

    label: str
    headers: tuple[tuple[str, str], ...] = ()
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """Whom to ask, how often, and as whom."""

    to: str
    """`page`: through the gateway; `reviews` and the like: as productpage asks it, through its sidecar;
    `plain:details-v1`: its sidecar's port, without a certificate."""
    rate: float = 20.0
    """Requests a second, at even distances, whether answered or not."""
    clients: int = 0
    """Above 0: so many clients in the place of a rate, each asks when it has its answer and `pause` seconds more."""
    pause: float = 0.01
    kinds: tuple[Kind, ...] = (Kind("anybody"),)
    path: str = ""
    """Empty: the service's own."""
    timeout: float = 10.0
    """Seconds after which the client gives up."""
    spike: tuple[float, float] = (0.0, 0.0)
    """Seconds, and requests a second during them, before the rate is the usual one."""
    via: str = "productpage-v1"
    """Whose sidecar carries it to a service."""


@dataclass
class Met:
    """What the clients met: sent, answers by status (0: none), and who answered whom."""

    sent: int = 0
    skipped: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    by_kind: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(label, status) → requests."""
    versions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(label, version of reviews that answered) → answers."""
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_LATENCIES))

    def record(self, label: str, status: int, version: str, latency_ms: float) -> None:
        self.statuses[status] += 1
        self.by_kind[label, status] += 1
        self.latencies_ms.append(latency_ms)
        if version:
            self.versions[label, version] += 1

    @property
    def answered(self) -> int:
        """Done with, whatever came of it."""
        return self.statuses.total()

    def share(self, *statuses: int, kind: str = "") -> float:
        """Of what was asked (by this kind) and is done with, 0 to 1. Raises ZeroDivisionError when nothing is."""
        if kind:
            mine = {status: n for (label, status), n in self.by_kind.items() if label == kind}
            return sum(mine.get(status, 0) for status in statuses) / sum(mine.values())
        return sum(self.statuses[status] for status in statuses) / self.answered

    def version_share(self, version: str, kind: str = "") -> float:
        """How many of the (kind's) answers came from this version of reviews."""
        mine = {found: n for (label, found), n in self.versions.items() if not kind or label == kind}
        total = sum(n for (label, _), n in self.versions.items() if not kind or label == kind)
        if kind:
            return mine.get(version, 0) / total
        return sum(n for (_, found), n in self.versions.items() if found == version) / total

    def percentile_ms(self, share: float) -> float:
        """Nearest rank; 0 when nothing was answered."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a load goes: an address of this machine, and the Host that is asked for."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()


class Generator:
    """Runs loads until it is cancelled; the same seed gives the same requests in the same order."""

    def __init__(self, loads: Sequence[Load], aim: Callable[[Load], Aim], seed: str) -> None:
        self._loads = loads
        self._aim = aim
        self._seed = seed
        self._under_way: set[asyncio.Task[None]] = set()
        self.met = Met()

    def forget(self) -> None:
        """Count from nothing; who still waits counts when it ends."""
        self.met = Met()

    async def run(self) -> None:
        """Until cancelled."""
        connector = TCPConnector(limit=0)
        async with ClientSession(connector=connector, cookie_jar=DummyCookieJar()) as session:
            runs = [spawn(self._run(session, load, n), name="load") for n, load in enumerate(self._loads)]
            try:
                await asyncio.gather(*runs)
                await asyncio.Event().wait()  # no loads: nothing to do until the end
            finally:
                ends = [*runs, *self._under_way]
                for task in ends:
                    task.cancel()
                await asyncio.gather(*ends, return_exceptions=True)

    async def _run(self, session: ClientSession, load: Load, number: int) -> None:
        rng = random.Random(f"{self._seed}/{number}")
        if load.clients:
            await asyncio.gather(*(self._client(session, load, rng) for _ in range(load.clients)))
        else:
            await self._at_rate(session, load, rng)

    async def _client(self, session: ClientSession, load: Load, rng: random.Random) -> None:
        while True:
            await self._ask(session, load, _draw(rng, load.kinds))
            await asyncio.sleep(load.pause)

    async def _at_rate(self, session: ClientSession, load: Load, rng: random.Random) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        usual_from = due + load.spike[0]
        while True:
            due += 1 / (load.spike[1] if due < usual_from else load.rate)
            kind = _draw(rng, load.kinds)
            await asyncio.sleep(max(0.0, due - loop.time()))
            if len(self._under_way) >= MOST_AT_ONCE:
                self.met.skipped += 1
                continue
            task = spawn(self._ask(session, load, kind), name="request")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _ask(self, session: ClientSession, load: Load, kind: Kind) -> None:
        loop = asyncio.get_running_loop()
        aim = self._aim(load)
        met = self.met
        met.sent += 1
        begun = loop.time()
        status, version = 0, ""
        try:
            headers = dict((*aim.headers, *kind.headers))
            limit = ClientTimeout(total=load.timeout)
            async with session.get(aim.url, headers=headers, timeout=limit, allow_redirects=False) as response:
                body = await response.read()
                status = response.status
                version = _version(body)
        except (ClientError, TimeoutError, OSError):
            pass
        met.record(kind.label, status, version, 1000 * (loop.time() - begun))


def _draw(rng: random.Random, kinds: Sequence[Kind]) -> Kind:
    return rng.choices(kinds, [kind.share for kind in kinds])[0]


def _version(body: bytes) -> str:
    """Which version of reviews an answer shows: the page's part, or its own."""
    try:
        answer: Any = json.loads(body)
        return str(answer.get("reviews", {}).get("version", "")) if "details" in answer else str(answer["version"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
