import asyncio
from pathlib import Path
from typing import Any

import pytest

from pyproxy.core.errors import CommandError
from pyproxy.lab.desk import Desk
from pyproxy.lab.running import RunningLab


class FakeDirector:
    """Answers with what it was asked."""

    run = None

    async def status(self) -> dict[str, Any]:
        return {"scenario": ""}

    async def start(self, name: str, number: int) -> dict[str, Any]:
        return {"start": [name, number]}

    async def check(self, name: str, answer: str) -> dict[str, Any]:
        return {"check": [name, answer]}

    async def reset(self) -> dict[str, Any]:
        return {"reset": True}


def desk(stop: asyncio.Event) -> Desk:
    lab = RunningLab(1, "http://u", "secret", "/d", "/f", "http://p", 5)
    return Desk(FakeDirector(), lab, stop)  # type: ignore[arg-type]


async def test_each_order_does_what_it_is_called(tmp_path: Path) -> None:
    stop = asyncio.Event()
    orders = desk(stop).orders()
    assert await orders["scenario"]({"name": "canary", "step": 2}) == {"start": ["canary", 2]}
    assert await orders["scenario"]({"name": "canary"}) == {"start": ["canary", 1]}
    assert await orders["check"]({"name": "canary", "answer": "x"}) == {"check": ["canary", "x"]}
    assert await orders["reset"]({}) == {"reset": True}
    with pytest.raises(CommandError, match="no scenario has run"):
        await orders["report"]({})
    assert not stop.is_set()
    await orders["down"]({})
    assert stop.is_set()


async def test_status_says_where_the_lab_is_but_not_its_secret() -> None:
    status = await desk(asyncio.Event()).orders()["status"]({})
    assert status["lab"] == {"page": "http://p", "documents": "/d", "folder": "/f", "seed": 5}
    assert "secret" not in str(status)
