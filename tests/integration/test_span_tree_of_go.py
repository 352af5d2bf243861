"""Spans of two sidecars and of a Go service between them are one tree in a collector that is strict about both formats.

The client stands beside the sidecar `caller`, and asks the Go service, which asks a service beside `caller` again:
client, outbound span, inbound span, Go's own span, outbound span, inbound span.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.traced import PROVIDERS, Application, ask, behind, reporting
from tests.ports import free_port
from tests.pyproxy_process import PyproxyProcess
from tests.span_collector import Collector, Seen

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TESTS = Path(__file__).parents[1]
TRACED = TESTS / "clients" / "go_traced"
ORDERS = TESTS.parent / "examples" / "go" / "cmd" / "order-service"


class Way:
    """Two sidecars and a collector; `go` is the port where the Go service has to listen."""

    def __init__(self, folder: Path, provider: str) -> None:
        self.collector, self.back, self.go = Collector(), Application(), free_port()
        inbound = [free_port(), free_port()]
        text = "\n---\n".join(
            (
                *behind("go-service", inbound[0], self.go),
                *behind("caller", inbound[1], self.back.port),
                *reporting(provider, self.collector.port),
            )
        )
        self.caller, self.sidecar = (
            PyproxyProcess(folder / name, text, "--workload", name) for name in ("caller", "go-service")
        )

    def spans(self, count: int, asked: str = "/") -> list[Seen]:
        """What a request from the client to the Go service leaves, root first; exactly so many, and one path."""
        assert ask(self.caller.outbound, "go-service", {}, asked) == 200
        found = self.collector.wait(count)
        time.sleep(1.5)  # a report waits a second: one span too many would come now
        assert len(self.collector.spans) == count
        assert self.collector.refused == []
        return path(found)

    def close(self) -> None:
        for each in (self.caller, self.sidecar, self.back, self.collector):
            each.close()


def path(spans: list[Seen]) -> list[Seen]:
    """From the span without a parent, each followed by its only child."""
    children: dict[str, list[Seen]] = {}
    for span in spans:
        children.setdefault(span.parent_id, []).append(span)
    found, at = [], ""
    while at in children:
        here = children.pop(at)
        assert len(here) == 1, f"several spans below one: {here}"
        found += here
        at = here[0].id
    assert not children, f"spans whose parents nobody reported: {children}"
    return found


@pytest.fixture(params=list(PROVIDERS))
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    made = Way(tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both Go programs, which are made of the standard library alone."""
    if shutil.which("go") is None:
        pytest.skip("LOUD SKIP: go is not installed")
    folder = tmp_path_factory.mktemp("programs")
    without_network = {"GOFLAGS": "-mod=readonly", "GOPROXY": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    for source in (TRACED, ORDERS):
        build = ["go", "build", "-o", str(folder / source.name), "."]
        subprocess.run(build, cwd=source, env={**os.environ, **without_network}, check=True, timeout=200)
    return folder


@contextmanager
def running(port: int, command: list[str], **environment: str) -> Iterator[None]:
    """A program that listens at a port, until the end."""
    with subprocess.Popen(command, env={**os.environ, **environment}, stdin=subprocess.PIPE) as process:
        try:
            until = time.monotonic() + 30
            while not listens(port):
                assert process.poll() is None and time.monotonic() < until, f"{command[0]} does not listen"
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def listens(port: int) -> bool:
    """Whether a connection is taken; no request is sent, which would leave a span."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_go_service_has_its_place_between_its_sidecars_two_spans(way: Way, programs: Path) -> None:
    collector = f"http://127.0.0.1:{way.collector.port}/api/v2/spans"
    command = [str(programs / TRACED.name), f"127.0.0.1:{way.go}"]
    with running(way.go, [*command, f"http://127.0.0.1:{way.sidecar.outbound}", "caller", collector]):
        spans = way.spans(5)
    assert [(span.service, span.kind) for span in spans] == [
        ("caller.default", "CLIENT"),
        ("go-service.default", "SERVER"),
        ("go-service", "SERVER"),
        ("go-service.default", "CLIENT"),
        ("caller.default", "SERVER"),
    ]
    assert [span.parent_id for span in spans] == ["", *(span.id for span in spans[:-1])]
    assert len({span.id for span in spans}) == 5, "Istio's sidecars share no span between client and server"
    assert {len(span.trace_id) for span in spans} == {32}
    assert len({span.trace_id for span in spans}) == 1
    assert len({span.tags["guid:x-request-id"] for span in spans}) == 1
    assert [span.name for span in spans] == ["go-service:80/*"] * 2 + ["GET /"] + ["caller:80/*"] * 2
    for inner, outer in zip(spans[1:], spans, strict=False):
        assert outer.started - 0.002 <= inner.started  # each process reads its own clock
        assert inner.started + inner.duration <= outer.started + outer.duration + 0.002


def test_the_example_that_reports_nothing_and_hands_headers_on_leaves_the_tree_whole(way: Way, programs: Path) -> None:
    surroundings = {
        "ADDRESS": f"127.0.0.1:{way.go}",
        "HTTP_PROXY": f"http://127.0.0.1:{way.sidecar.ports['http_proxy']}",
        "NO_PROXY": "",
        "USER_SERVICE_URL": "http://caller",
    }
    with running(way.go, [str(programs / ORDERS.name)], **surroundings):
        spans = way.spans(4, "/orders/1")
    assert [(span.service, span.kind) for span in spans] == [
        ("caller.default", "CLIENT"),
        ("go-service.default", "SERVER"),
        ("go-service.default", "CLIENT"),
        ("caller.default", "SERVER"),
    ]
    assert len({span.trace_id for span in spans}) == 1
    assert len({span.id for span in spans}) == 4
