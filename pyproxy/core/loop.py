"""The two doors to the event loop: the clock and the task starter. Nothing else reads the time or starts a task."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

_log = logging.getLogger("pyproxy")
_running: set[asyncio.Task[Any]] = set()


class Clock(Protocol):
    """Where time comes from; a test brings its own."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def time(self) -> float:
        """Unix seconds."""
        ...


class SystemClock:
    """The machine's clock."""

    monotonic: Callable[[], float] = staticmethod(time.monotonic)  # noqa: TID251 - the one door
    time: Callable[[], float] = staticmethod(time.time)


def spawn(coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
    """Start a named task and keep a reference until it ends."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    """Nobody awaits a spawned task: what it raised must be heard all the same."""
    _running.discard(task)
    if not task.cancelled() and task.exception() is not None:
        _log.error("task %s failed", task.get_name(), exc_info=task.exception())
