import asyncio
from typing import Any

import pytest

from pyproxy.core.errors import CommandError
from pyproxy.lab.control import Control
from pyproxy.lab.orders import give
from pyproxy.lab.running import RunningLab

pytestmark = pytest.mark.integration


async def echo(arguments: dict[str, Any]) -> dict[str, Any]:
    if not arguments:
        raise CommandError("say something")
    return arguments


def lab_at(url: str, token: str = "secret") -> RunningLab:
    return RunningLab(1, url, token, "/d", "/f", "http://p", 1)


async def test_an_order_arrives_and_its_answer_or_complaint_comes_back() -> None:
    control = Control("secret")
    control.orders = {"echo": echo}
    await control.start("127.0.0.1")
    try:
        assert await asyncio.to_thread(give, lab_at(control.url), "echo", a=1) == {"a": 1}
        with pytest.raises(CommandError, match="say something"):
            await asyncio.to_thread(give, lab_at(control.url), "echo")
        with pytest.raises(CommandError, match="who are you"):
            await asyncio.to_thread(give, lab_at(control.url, "guess"), "echo", a=1)
    finally:
        await control.stop()


def test_a_lab_that_has_gone_is_said_to_have() -> None:
    with pytest.raises(CommandError, match="is it still running"):
        give(lab_at("http://127.0.0.1:1"), "echo")
