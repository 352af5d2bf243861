"""A Docker engine of the test's own: private socket, private store, no rule in the machine's iptables.

Whatever engine the machine already runs is not touched, so that stand-ins for base images can carry the real names.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

NEEDED = ("dockerd", "containerd", "docker", "docker-compose", "debootstrap", "prometheus")
"""Programs; on Debian, packages docker.io, docker-compose, debootstrap and prometheus."""

START_SECONDS, STOP_SECONDS = 60, 30


def cache_dir() -> Path:
    """Where what is slow to make is kept between runs: outside the repository."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pyproxy-compose"


def missing() -> str:
    """Why no engine can be started here; empty when one can."""
    if os.geteuid() != 0:
        return "a Docker engine needs root"
    absent = [program for program in NEEDED if shutil.which(program) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


class Engine:
    """The docker command line, pointed at a running engine."""

    def __init__(self, socket: Path, work: Path) -> None:
        self._work = work
        self.environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{socket}",
            "DOCKER_CONFIG": str(work / "config"),  # not the user's: it may name credentials, proxies, contexts
            "DOCKER_BUILDKIT": "0",  # Debian's docker.io has no buildx
        }

    def docker(self, *arguments: str, stdin: bytes | None = None, timeout: float = 60) -> str:
        """Standard output. Raises AssertionError with both outputs when the command fails."""
        return self.run(["docker", *arguments], stdin=stdin, timeout=timeout)

    def run(self, command: Sequence[str], *, stdin: bytes | None = None, timeout: float = 60) -> str:
        """As docker(), for any command that reads DOCKER_HOST."""
        done = subprocess.run(
            command, input=stdin, env=self.environment, capture_output=True, timeout=timeout, check=False
        )
        output = done.stdout.decode(errors="replace")
        if done.returncode:
            raise AssertionError(f"{' '.join(command)} failed:\n{output}\n{done.stderr.decode(errors='replace')}")
        return output


@contextlib.contextmanager
def started(work: Path) -> Iterator[Engine]:
    """Run an engine whose sockets and logs are under work, and whose images stay in the cache. One at a time."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    socket, store, pid = work / "docker.sock", cache_dir() / "engine", cache_dir() / "engine.pid"
    command = [
        "dockerd",
        *("--host", f"unix://{socket}", "--pidfile", str(pid)),
        *("--data-root", str(store), "--exec-root", str(work / "exec")),
        # The system's containerd, where there is one, is shared with other engines: keep apart from them.
        *("--containerd-namespace", "pyproxy-compose", "--containerd-plugins-namespace", "pyproxy-compose-plugins"),
        # Networks of the test's own and ports published by docker-proxy work without touching the machine's rules.
        *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
    ]
    with (cache_dir() / "lock").open("w") as lock, (work / "dockerd.log").open("wb") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _stop_orphan(pid, store)
        daemon = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            engine = Engine(socket, work)
            _wait_until_it_answers(engine, daemon, work / "dockerd.log")
            yield engine
        finally:
            _stop(daemon)
            _unmount_all_under(work)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _stop_orphan(pidfile: Path, store: Path) -> None:
    """End the engine that a killed test run left behind. The caller holds the lock, so that no living run owns it."""
    try:
        pid = int(pidfile.read_text())
        if str(store) not in Path(f"/proc/{pid}/cmdline").read_text():
            return
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return
    deadline = time.monotonic() + STOP_SECONDS
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)


def _unmount_all_under(folder: Path) -> None:
    """The engine leaves its own network namespace mounted, which would keep the folder from being removed."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False)


def _wait_until_it_answers(engine: Engine, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if daemon.poll() is not None:
            break
        with contextlib.suppress(AssertionError):
            engine.docker("version")
            return
        time.sleep(0.2)
    raise AssertionError("dockerd did not start:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:]))
