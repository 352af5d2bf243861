"""Drives a real Chromium over the DevTools protocol: just what the console's tests need.

Source: https://chromedevtools.github.io/devtools-protocol/.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import ClientSession, WSMsgType

START_SECONDS = 30.0
ANSWER_SECONDS = 30.0
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """The binary: PYPROXY_TEST_CHROMIUM, or the first that is on the PATH."""
    given = os.environ.get("PYPROXY_TEST_CHROMIUM")
    return given or next((found for name in _NAMES if (found := shutil.which(name))), None)


class Chromium:
    """One browser with one page, `async with`."""

    def __init__(self, binary: str, *flags: str) -> None:
        self.console: list[str] = []
        """What the page logged as an error, and what it threw."""
        self._binary = binary
        self._flags = flags
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def __aenter__(self) -> Self:
        self._profile = tempfile.TemporaryDirectory(prefix="pyproxy-chromium-", ignore_cleanup_errors=True)
        self._process = await asyncio.create_subprocess_exec(
            self._binary,
            "--headless=new",
            "--no-sandbox",  # tests run as root in containers; the only page is ours
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--remote-debugging-port=0",
            f"--user-data-dir={self._profile.name}",
            *self._flags,
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        self._session = ClientSession()
        port = await self._port()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as response:
            pages = [page for page in await response.json() if page["type"] == "page"]
        self._socket = await self._session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
        self._reading = asyncio.create_task(self._read())
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._socket.close()
        await self._session.close()
        await self._reading
        os.killpg(self._process.pid, 9)
        await self._process.wait()
        self._profile.cleanup()

    async def call(self, method: str, **parameters: Any) -> Any:
        """One command and its result."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        return await asyncio.wait_for(answer, ANSWER_SECONDS)

    async def open(self, url: str) -> None:
        """Go there; what it shows comes when it comes."""
        await self.call("Page.navigate", url=url)

    async def size(self, width: int, height: int) -> None:
        """Of the window, in CSS pixels."""
        phone = width < 600
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )

    async def media(self, features: Mapping[str, str]) -> None:
        """What the system prefers: `prefers-color-scheme` and others."""
        shown = [{"name": name, "value": value} for name, value in features.items()]
        await self.call("Emulation.setEmulatedMedia", features=shown)

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression on the page. Raises AssertionError with what it threw."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str, seconds: float = 60.0) -> Any:
        """The expression's value as soon as it is true. Raises AssertionError with what the page shows instead."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not (value := await self.evaluate(expression)):
            if asyncio.get_running_loop().time() > deadline:
                shown = await self.text()
                raise AssertionError(f"never true: {expression}\nthe page shows:\n{shown}\nand logged: {self.console}")
            await asyncio.sleep(0.1)
        return value

    async def text(self, selector: str = "body") -> str:
        """What a person reads there; empty when there is no such element."""
        found = f"document.querySelector({json.dumps(selector)})"
        return str(await self.evaluate(f"{found}?.innerText ?? {found}?.textContent ?? ''"))  # SVG has no innerText

    async def click(self, selector: str) -> None:
        """A click on the first element that fits; it must be there."""
        await self.until(f"document.querySelector({json.dumps(selector)}) !== null")
        script = "element.dispatchEvent(new MouseEvent('click', {bubbles: true}))"
        await self.evaluate(f"{{ const element = document.querySelector({json.dumps(selector)}); {script}; true }}")

    async def press(self, *keys: str) -> None:
        """Keys one after the other, as a keyboard sends them."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
            await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
            await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def fill(self, selector: str, value: str) -> None:
        """Put a text or number into a field, as if it was typed."""
        field = json.dumps(selector)
        await self.until(f"document.querySelector({field}) !== null")
        await self.evaluate(
            f"{{ const field = document.querySelector({field}); field.value = {json.dumps(value)}; "
            "for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {bubbles: true})); true }"
        )

    async def picture(self, file: Path) -> None:
        """What is seen, as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(answer["data"]))

    # For itself

    async def _port(self) -> int:
        note = Path(self._profile.name, "DevToolsActivePort")
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while not (note.exists() and note.read_text().strip()):
            assert self._process.returncode is None, f"{self._binary} ended with {self._process.returncode}"
            assert asyncio.get_running_loop().time() < deadline, f"{self._binary} did not start"
            await asyncio.sleep(0.05)
        return int(note.read_text().split()[0])

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                continue
            told = json.loads(message.data)
            answer = self._waiting.pop(told.get("id", 0), None)
            if answer is None:
                self._note(told)
            elif not answer.done():
                if "error" in told:
                    answer.set_exception(AssertionError(told["error"]["message"]))
                else:
                    answer.set_result(told["result"])

    def _note(self, told: Mapping[str, Any]) -> None:
        given = told.get("params", {})
        if told.get("method") == "Runtime.exceptionThrown":
            details = given["exceptionDetails"]
            self.console.append(details.get("exception", {}).get("description") or details["text"])
        elif told.get("method") == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning"):
            self.console.append(_words(given["args"]))
        elif told.get("method") == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.console.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")


def _words(values: Sequence[Mapping[str, Any]]) -> str:
    return " ".join(str(value.get("value", value.get("description", ""))) for value in values)
