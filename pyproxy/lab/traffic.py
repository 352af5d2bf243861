"""The lab's users: an open-loop generator, so that a slow mesh does not slow its users down."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import ClientError, ClientSession, ClientTimeout

from pyproxy.core.loop import spawn

TESTER = "jason"
TESTER_SHARE = 0.3
"""How many of the requests are jason's; the others have no name."""
MOST_AT_ONCE = 200
"""Requests beyond this are not sent but counted: a lab must not take the machine down."""
ANSWER_SECONDS = 15.0


@dataclass
class Tally:
    """What the users met in one interval."""

    sent: int = 0
    failed: int = 0
    skipped: int = 0
    served: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(user, version of reviews on the page) → pages; the version is `none` when the page had a gap there."""


class Traffic:
    """Visits the page about `rate` times a second; the same seed gives the same users at the same moments."""

    def __init__(self, url: str, rate: float, rng: random.Random) -> None:
        self._url = url
        self._rate = rate
        self._rng = rng
        self._tally = Tally()
        self._visits: set[asyncio.Task[None]] = set()
        self.paused = False
        """Nobody comes as long as this holds."""

    def take(self) -> Tally:
        """The tally since the last call."""
        tally, self._tally = self._tally, Tally()
        return tally

    async def run(self) -> None:
        """Until cancelled. Arrivals are a Poisson process."""
        loop = asyncio.get_running_loop()
        async with ClientSession(timeout=ClientTimeout(total=ANSWER_SECONDS)) as session:
            due = loop.time()
            try:
                while True:
                    due += self._rng.expovariate(self._rate)
                    user = TESTER if self._rng.random() < TESTER_SHARE else ""
                    await asyncio.sleep(max(0.0, due - loop.time()))
                    if not self.paused:
                        self._arrive(session, user)
            finally:
                for visit in self._visits:
                    visit.cancel()
                await asyncio.gather(*self._visits, return_exceptions=True)

    def _arrive(self, session: ClientSession, user: str) -> None:
        if len(self._visits) >= MOST_AT_ONCE:
            self._tally.skipped += 1
            return
        visit = spawn(self._visit(session, user), name="visit")
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)

    async def _visit(self, session: ClientSession, user: str) -> None:
        self._tally.sent += 1
        version = "none"
        try:
            async with session.get(self._url, headers={"end-user": user} if user else {}) as response:
                if response.status == 200:
                    version = (await response.json())["reviews"].get("version", "none")
                else:
                    self._tally.failed += 1
        except (ClientError, TimeoutError, ValueError, LookupError, TypeError, AttributeError):  # or no page of ours
            self._tally.failed += 1
        self._tally.served[user or "anonymous", version] += 1
