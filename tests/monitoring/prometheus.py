"""A real Prometheus with the repository's scrape configuration, pointed at other targets and scraping every second."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.ports import free_port

CONFIG = Path(__file__).parents[2] / "config" / "prometheus"
START_SECONDS = 30.0


def missing() -> str:
    """Why none can be started; empty when one can. On Debian: package prometheus."""
    absent = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


class Prometheus:
    """Its HTTP API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector's samples now. Raises AssertionError with what Prometheus says is wrong."""
        try:
            result = self._get("/api/v1/query", query=expression)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        assert result["resultType"] in ("vector", "scalar"), expression
        found: list[dict[str, Any]] = result["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health."""
        groups = self._get("/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _get(self, path: str, **query: str) -> Any:
        with self._opener.open(f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=30) as answer:
            return json.load(answer)


@contextmanager
def prometheus(folder: Path, targets: list[dict[str, Any]]) -> Iterator[Prometheus]:
    """Ready, and every target scraped once."""
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(pointed_at(targets)))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", "--config.file", str(file), "--storage.tsdb.path", str(folder / "data")]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, "--web.listen-address", address], stdout=log, stderr=log)
        try:
            server = Prometheus(f"http://{address}")
            _wait_until_it_scrapes(server, len(targets), process, folder / "prometheus.log")
            yield server
        finally:
            process.terminate()
            process.wait(20)


def pointed_at(targets: list[dict[str, Any]]) -> dict[str, Any]:
    """The repository's configuration with these targets in its one job."""
    configuration: dict[str, Any] = yaml.safe_load((CONFIG / "prometheus.yml").read_text())
    configuration["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "1s")
    configuration["rule_files"] = [str(CONFIG / name) for name in configuration["rule_files"]]
    (job,) = configuration["scrape_configs"]
    job["static_configs"] = targets
    return configuration


def _wait_until_it_scrapes(server: Prometheus, count: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if len(server.query("up == 1")) == count:
                return
        except (OSError, AssertionError):
            pass  # not ready yet
        time.sleep(0.1)
    raise AssertionError(f"Prometheus does not scrape {count} targets:\n{log.read_text()[-3000:]}")
