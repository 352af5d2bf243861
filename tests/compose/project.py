"""docker-compose.yml at the top of the repository, built and brought up on an engine, with free ports."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import yaml

from tests.compose.engine import Engine
from tests.ports import free_port

TOP = Path(__file__).parents[2]
NAME = "pyproxy-compose-test"
BUILD_SECONDS, UP_SECONDS = 900, 300


class Project:
    """The compose project, in a copy of what it is made of, so that a test may edit the documents."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self.config = folder / "config"
        for name in ("config", "examples", "pyproxy", "requirements"):
            shutil.copytree(TOP / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "setup.py", "README.md"):
            shutil.copy(TOP / name, folder / name)
        ports = {name: free_port() for name in ("GATEWAY", "PROMETHEUS", "GRAFANA", "JAEGER")}
        urls = (f"http://127.0.0.1:{port}" for port in ports.values())
        self.orders, self.prometheus, self.grafana, self.jaeger = urls
        engine.environment |= {f"{name}_PORT": str(port) for name, port in ports.items()}
        network = folder / "network.json"
        network.write_text(json.dumps(_on_the_machines_network(TOP / "docker-compose.yml")))
        files = ("--file", str(TOP / "docker-compose.yml"), "--file", str(network))
        self._compose = ["docker-compose", *files, "--project-directory", str(folder), "--project-name", NAME]

    def build(self) -> None:
        """Build the images as the file says, on the machine's network, so as to reach packages the way it does."""
        self.compose("build", *_proxies(), timeout=BUILD_SECONDS)
        # What hangs loose are the first stages of these builds: the cache of the next. Of older ones nobody has use.
        self._engine.docker("image", "prune", "--force", "--filter", "until=48h")

    def up(self) -> None:
        """Start everything, and wait until every container is healthy."""
        try:
            self.compose("up", "--detach", "--no-build", timeout=UP_SECONDS)
            deadline = time.monotonic() + UP_SECONDS
            while unhealthy := [name for name, health in self.health().items() if health != "healthy"]:
                assert time.monotonic() < deadline, f"not healthy: {', '.join(unhealthy)}"
                time.sleep(0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.compose('logs', '--no-color', '--tail', '20')}") from None

    def down(self) -> None:
        """Take everything away. Does nothing when nothing is there."""
        self.compose("down", "--volumes", "--remove-orphans", timeout=UP_SECONDS)

    def health(self) -> dict[str, str]:
        """Service → what its container's health check says, or the container's state when it has stopped."""
        states = {container["service"]: container["State"] for container in self.containers()}
        return {
            name: state["Health"]["Status"] if state["Running"] else state["Status"] for name, state in states.items()
        }

    def containers(self) -> list[dict[str, Any]]:
        """`docker inspect` of each container, with its service's name under "service"."""
        found = self._engine.docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={NAME}")
        containers = json.loads(self._engine.docker("inspect", *found.split())) if found.split() else []
        return [
            {**container, "service": container["Config"]["Labels"]["com.docker.compose.service"]}
            for container in containers
        ]

    def leftovers(self) -> list[str]:
        """Containers, networks and volumes of the project that are still there."""
        label = ("--quiet", "--filter", f"label=com.docker.compose.project={NAME}")
        kinds = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
        return [line for kind in kinds for line in self._engine.docker(*kind, *label).split()]

    def python(self, service: str, program: str) -> str:
        """What a Python program prints inside a service's container, which must be a sidecar's."""
        return self.compose("exec", "-T", service, "python", "-c", program)

    def compose(self, *arguments: str, timeout: float = 60) -> str:
        """Standard output of docker-compose. Raises AssertionError when it fails."""
        return self._engine.run([*self._compose, *arguments], timeout=timeout)


def _on_the_machines_network(file: Path) -> dict[str, Any]:
    """What to lay over a compose file so that its builds use the network of the machine."""
    services = yaml.safe_load(file.read_text())["services"]
    return {"services": {name: {"build": {"network": "host"}} for name, one in services.items() if "build" in one}}


def _proxies() -> list[str]:
    """Build arguments for the proxies that the environment names; Docker knows these without an ARG."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    found = {name: os.environ.get(name) or os.environ.get(name.upper()) for name in names}
    return [part for name, value in found.items() if value for part in ("--build-arg", f"{name}={value}")]
