"""How many worker processes a proxy has."""

from __future__ import annotations

import os

from pyproxy.reload import Loaded
from pyproxy.settings import Settings
from pyproxy.snapshot.identity import concurrency_of


def worker_count(settings: Settings, loaded: Loaded) -> int:
    """What --workers says, else ProxyConfig's `concurrency`, else 1; 0 is one for each core that we may use."""
    asked = settings.workers
    if asked is None:
        asked = concurrency_of(loaded.documents, settings.identity_in(loaded.documents))
    if asked is None:
        return 1
    return asked or _cores()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
