"""`pyproxy run` or `gateway` as a process on free loopback ports, for tests that block."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

_PORTS = ("outbound", "inbound", "http-proxy", "admin", "status", "metrics")
START_SECONDS = 60.0


class PyproxyProcess:
    """Ready once made. `folder` takes the documents, the log and the access log."""

    def __init__(self, folder: Path, documents: str, *flags: str, command: str = "run") -> None:
        self.folder = folder
        self.log = folder / "pyproxy.log"
        config = folder / "config"
        config.mkdir(parents=True)
        (config / "mesh.yaml").write_text(documents)
        ready = folder / "ready.json"
        names = _PORTS if command == "run" else _PORTS[3:]
        ports = [text for name in names for text in (f"--{name}-port", "0")]
        start = [sys.executable, "-m", "pyproxy", command, "--config", str(config), "--address", "127.0.0.1"]
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [*start, *ports, "--ready-file", str(ready), "--drain-duration", "0.5s", *flags], stderr=output
            )
        try:
            until = time.monotonic() + START_SECONDS
            while not ready.exists():
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < until, "pyproxy did not start"
                time.sleep(0.02)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        addresses = json.loads(ready.read_text())["addresses"]
        self.ports = {name: int(address.rpartition(":")[2]) for name, address in addresses.items()}
        self.pid = self._process.pid

    @property
    def outbound(self) -> int:
        """The outbound capture port."""
        return self.ports["virtualOutbound"]

    @property
    def resident_bytes(self) -> int:
        """Memory of the process now (Linux)."""
        return self._memory("VmRSS")

    @property
    def peak_resident_bytes(self) -> int:
        """The most memory it had since it began, or since `forget_peak` (Linux)."""
        return self._memory("VmHWM")

    def forget_peak(self) -> None:
        """Let the peak begin from now (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def close(self) -> None:
        """End it, and fail when it had something to complain about."""
        self._process.terminate()
        try:
            code = self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        log = self.log.read_text()
        assert code == 0, log
        assert "Traceback" not in log, log

    def _memory(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {name} for {self.pid}")
