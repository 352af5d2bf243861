"""The two doors to the event loop."""

import asyncio
import logging

import pytest

from pyproxy.core.loop import SystemClock, spawn


async def test_a_spawned_task_has_its_name_and_runs() -> None:
    async def answer() -> int:
        return 42

    task = spawn(answer(), name="the answer")
    assert task.get_name() == "the answer"
    assert await task == 42


async def test_what_a_spawned_task_raises_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("lost")

    with caplog.at_level(logging.ERROR, logger="pyproxy"):
        task = spawn(fail(), name="dns reviews")
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert "task dns reviews failed" in caplog.text
    assert "ValueError: lost" in caplog.text


async def test_a_cancelled_task_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    task = spawn(asyncio.sleep(60), name="sleeper")
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert caplog.text == ""


def test_the_clock_does_not_go_back() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    assert clock.monotonic() >= before
    assert clock.time() > 1_700_000_000
