"""From start-up to the word that a proxy is ready: why it cannot start, what it waits for, where it listens."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Mapping

from pyproxy.core.loop import Clock
from pyproxy.reload import Loaded
from pyproxy.runtime.live import Live
from pyproxy.settings import Settings

_log = logging.getLogger("pyproxy")
READY_TIMEOUT = 30.0
"""Seconds that start-up waits for the first DNS answers before it serves without them."""
KEYS_TIMEOUT = 10.0
"""Seconds that start-up waits for the keys of token issuers before it serves without them."""


def complaint(loaded: Loaded) -> str:
    """Why documents cannot be served."""
    errors = "\n".join(str(problem) for problem in loaded.errors)
    return f"{errors}\n{len(loaded.errors)} error(s) in the documents; `pyproxy validate` shows them too"


async def names_known(live: Live, clock: Clock) -> None:
    """Wait until every DNS cluster has had an answer, good or bad."""
    waiting = [state for state in live.serving.clusters.values() if not state.ready]
    deadline = clock.monotonic() + READY_TIMEOUT
    while any(not state.ready for state in waiting) and clock.monotonic() < deadline:
        await asyncio.sleep(0.01)


def announce(settings: Settings, addresses: Mapping[str, str], *, listens: bool) -> None:
    """Tell the log, the ready file and, if asked to, standard output every bound address by its listener's name."""
    if settings.gateway and not listens:
        labels = ",".join(f"{name}={value}" for name, value in settings.labels.items()) or "none"
        _log.warning("no Gateway document has a server for labels %s: give --labels that its selector fits", labels)
    _log.info("ready: %s", "  ".join(f"{name}={address}" for name, address in addresses.items()))
    told = json.dumps({"pid": os.getpid(), "addresses": addresses})
    if settings.output == "json":
        print(told, flush=True)
    path = settings.ready_file
    if path is not None:
        partial = path.with_name(path.name + ".partial")
        partial.write_text(told + "\n")
        partial.replace(path)
