"""One proxy of a mesh as a process: our own, or a real Envoy with what `pyproxy export envoy` writes for it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.differential.envoy_process import START_SECONDS
from tests.peers import until, whole_lines
from tests.pyproxy_process import PyproxyProcess

SECONDS = 20.0
"""A helper process may take so long."""


class ExportedEnvoy:
    """Ready once made. `folder` takes the documents, the bootstrap and the logs."""

    def __init__(self, path: str, folder: Path, documents: str, *flags: str) -> None:
        config, bootstrap, admin = folder / "config", folder / "envoy.json", folder / "admin.txt"
        config.mkdir(parents=True)
        (config / "mesh.yaml").write_text(documents)
        names = ("outbound", "inbound", "http-proxy", "admin", "status", "metrics")
        ports = [text for name in names for text in (f"--{name}-port", "0")]
        where = ["--config", str(config), "--address", "127.0.0.1", "--output", "json", *ports]
        export = [sys.executable, "-m", "pyproxy", "export", "envoy", *where, *flags]
        written = subprocess.run(export, capture_output=True, check=False, timeout=START_SECONDS)
        assert written.returncode == 0, written.stderr.decode()
        bootstrap.write_bytes(written.stdout)
        quick = ("--concurrency", "1", "--disable-hot-restart", "-l", "warning", "--file-flush-interval-msec", "100")
        with (folder / "envoy.log").open("wb") as log:
            self._process = subprocess.Popen(
                [path, "-c", str(bootstrap), "--admin-address-path", str(admin), *quick], stdout=log, stderr=log
            )
        try:
            self._await_start(folder, admin)
        except BaseException:
            self.close()
            raise
        status: Any = json.loads(self.page("/listeners?format=json"))
        self.ports = {
            each["name"]: each["local_address"]["socket_address"]["port_value"]
            for each in status["listener_statuses"]
            if "socket_address" in each["local_address"]
        }

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)

    def page(self, path: str) -> str:
        """A page of the admin port; empty while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}{path}", timeout=30) as response:
                return str(response.read().decode())
        except OSError:
            return ""

    def _await_start(self, folder: Path, admin: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        self._admin = 0
        while "LIVE" not in (self.page("/ready") if self._admin else ""):
            assert self._process.poll() is None, (folder / "envoy.log").read_text()[:2000]
            assert time.monotonic() < deadline, "Envoy did not start"
            time.sleep(0.02)
            if admin.exists() and ":" in admin.read_text():
                self._admin = int(admin.read_text().rpartition(":")[2])


class Proxy:
    """Either of them; its access log is the file `access.log` of the folder."""

    def __init__(self, kind: str, envoy_path: str, folder: Path, documents: str, *flags: str) -> None:
        self.kind = kind
        self._log = folder / "access.log"
        documents = documents.replace("ACCESS_LOG", str(self._log))
        self._process: PyproxyProcess | ExportedEnvoy
        if kind == "pyproxy":
            command = "gateway" if "--gateway" in flags else "run"
            rest = [flag for flag in flags if flag != "--gateway"]
            self._process = PyproxyProcess(folder, documents, *rest, command=command)
        else:
            self._process = ExportedEnvoy(envoy_path, folder, documents, *flags)
        self.ports = self._process.ports

    def close(self) -> None:
        self._process.close()

    def log_lines(self, count: int) -> list[str]:
        """The access log, once it has so many lines."""
        until(lambda: len(whole_lines(self._log)) >= count)
        return [line.rstrip("\n") for line in whole_lines(self._log)]

    def page(self, path: str) -> str:
        """A page of the admin port."""
        if isinstance(self._process, ExportedEnvoy):
            return self._process.page(path)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['admin']}{path}", timeout=30) as response:
            return str(response.read().decode())

    def statistic(self, pattern: str) -> int:
        """The sum of the statistics whose name matches."""
        found = re.findall(rf"^{pattern}: (\d+)$", self.page("/stats"), re.MULTILINE)
        return sum(int(each) for each in found)
