from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from pyproxy.core.errors import CommandError
from pyproxy.lab.control import Control

pytestmark = pytest.mark.integration


async def double(arguments: dict[str, Any]) -> dict[str, Any]:
    if arguments["n"] < 0:
        raise CommandError("give a number that is not negative")
    return {"n": 2 * arguments["n"]}


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    control = Control("secret")
    control.orders = {"double": double}
    await control.start("127.0.0.1")
    yield control
    await control.stop()


async def post(control: Control, order: str, arguments: Any, token: str = "secret") -> tuple[int, dict[str, Any]]:
    headers = {"authorization": f"Bearer {token}"}
    async with (
        ClientSession() as session,
        session.post(f"{control.url}/{order}", json=arguments, headers=headers) as response,
    ):
        return response.status, await response.json()


async def test_an_order_is_obeyed_and_answered(control: Control) -> None:
    assert await post(control, "double", {"n": 4}) == (200, {"n": 8})


async def test_who_does_not_know_the_token_gives_no_orders(control: Control) -> None:
    status, _ = await post(control, "double", {"n": 4}, token="guess")
    assert status == 403


async def test_what_cannot_be_done_is_said(control: Control) -> None:
    assert await post(control, "double", {"n": -1}) == (409, {"error": "give a number that is not negative"})
    status, answer = await post(control, "dance", {})
    assert status == 404 and "double" in answer["error"]


async def test_a_full_disk_is_said_too(control: Control) -> None:
    async def write(arguments: dict[str, Any]) -> dict[str, Any]:
        raise OSError(28, "No space left on device")

    control.orders["write"] = write
    status, answer = await post(control, "write", {})
    assert status == 409 and "No space left" in answer["error"]
