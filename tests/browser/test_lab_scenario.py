"""The console of a real lab during a lesson: a sick replica is seen and counted down, and is back after a reset."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
SUBNET = f"127.6.{os.getpid() % 250}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Lab:
    """A bookshop with its console; `order` is a command in another terminal."""

    def __init__(self, folder: Path) -> None:
        self._environment = {**os.environ, "TMPDIR": str(folder)}
        self._documents = folder / "bookshop"
        self._log = folder / "lab.log"
        ports = ["--port", str(free_port()), "--console-port", str(free_port())]
        command = [sys.executable, "-m", "pyproxy", "lab", "--dir", str(self._documents), "--subnet", SUBNET, *ports]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        deadline = time.monotonic() + 60
        while (found := re.search(r"console +(http\S+)", self._log.read_text())) is None:
            assert self._process.poll() is None and time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)
        self.console = found[1]

    def order(self, *words: str) -> None:
        command = [sys.executable, "-m", "pyproxy", "lab", *words, "--dir", str(self._documents)]
        subprocess.run(command, env=self._environment, check=True, capture_output=True, timeout=60)

    def close(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(60)
        finally:
            self._process.kill()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def shown(selector: str) -> str:
    return f"[...document.querySelectorAll({selector!r})]"


async def test_a_lesson_is_seen_as_it_happens(lab: Lab, browser: Chromium) -> None:
    lab.order("scenario", "outlier-ejection", "2")
    await browser.open(lab.console)
    await browser.until("document.querySelector('.node.trouble')?.textContent.includes('ejected')", 60)
    assert await browser.evaluate("document.querySelector('h1').innerText") == "The bookshop"
    assert await browser.evaluate(f"{shown('.label .lock.mutual')}.length > 0")
    await browser.click("#tab-hosts")
    ejected = await browser.until("document.querySelector('tr.ejected')?.innerText", 60)
    assert "productpage-v1" in ejected and "reviews-v3" in ejected and "s left" in ejected
    await browser.fill("input[type=search]", "ratings")
    rows = f"{shown('table.hosts tbody tr')}.map((row) => row.innerText)"
    await browser.until(f"{rows}.length > 0 && {rows}.every((row) => row.includes('ratings'))")
    await browser.fill("input[type=search]", "")

    await browser.click("#tab-latency")
    heat = await browser.until("document.querySelector('canvas[role=img]')?.getAttribute('aria-label')")
    assert re.match(r"Heat map of durations\. .*: \d+ requests, median .*, p99 ", heat)
    await browser.until(painted("canvas[role=img]"))
    await browser.until("parseInt(document.querySelector('.latency').innerText.match(/Last (\\d+) of 15 min/)[1]) >= 1")

    await browser.open(lab.console)  # a page that is opened later has the history and the events from before
    await browser.until("document.querySelector('.sum dd') !== null")
    await browser.click("#tab-events")
    await browser.until("document.querySelector('.events ol')?.innerText.includes('productpage-v1 ejected reviews-v3')")
    lab.order("reset")
    await browser.click("#tab-hosts")
    await browser.until("document.querySelector('table.hosts') && document.querySelector('tr.ejected') === null", 60)


def painted(canvas: str) -> str:
    """Whether there are several colours on it."""
    return (
        f"(() => {{ const canvas = document.querySelector({canvas!r});"
        " const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        " return new Set(new Uint32Array(data.buffer)).size > 3 })()"
    )
