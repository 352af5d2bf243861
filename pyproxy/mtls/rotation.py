"""Certificates that are replaced while the proxy runs: new connections use the new ones, open ones go on."""

from __future__ import annotations

import asyncio

from pyproxy.mtls.contexts import Contexts
from pyproxy.mtls.holding import Holding

LOOK_INTERVAL = 0.2
"""Seconds from one look at the files to the next; a change is taken up at the second look that finds it the same."""


async def watch(contexts: Contexts) -> None:
    """Look at every file, for ever. Files are looked at and not watched, as documents are."""
    while True:
        await asyncio.sleep(LOOK_INTERVAL)
        holdings = contexts.holdings
        if not holdings:
            continue
        if await asyncio.to_thread(_any_is_new, holdings):
            contexts.renew()


def _any_is_new(holdings: tuple[Holding, ...]) -> bool:
    return True in [holding.look() for holding in holdings]
