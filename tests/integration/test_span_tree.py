"""Spans of one request through two sidecars, with an application in between, are one tree in a strict collector."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.traced import PROVIDERS, Application, ask, behind, reporting, workload
from tests.ports import free_port
from tests.pyproxy_process import PyproxyProcess
from tests.snapshot.documents import entry
from tests.span_collector import Collector, Seen

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def documents(provider: str, front: int, back: int, inbound: int, collector: int) -> str:
    """`front` listens behind one sidecar's inbound port, `back` behind the other's, which is `inbound`."""
    before_front = entry("front.test", f"{front}/HTTP", more="workloadSelector: {labels: {app: front}}")
    parts = [workload("front"), before_front, *behind("back", inbound, back), *reporting(provider, collector)]
    return "\n---\n".join(parts)


@pytest.fixture(params=list(PROVIDERS))
def mesh_of_two(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Collector, Application, PyproxyProcess, PyproxyProcess]]:
    front, back, collector, inbound = Application(), Application(), Collector(), free_port()
    text = documents(request.param, front.port, back.port, inbound, collector.port)
    sidecars = [PyproxyProcess(tmp_path / name, text, "--workload", name) for name in ("front", "back")]
    front.next = sidecars[0].outbound
    yield collector, front, sidecars[0], sidecars[1]
    for each in (*sidecars, front, back, collector):
        each.close()


def by_place(spans: list[Seen]) -> dict[str, Seen]:
    return {f"{span.service.partition('.')[0]} {span.kind}": span for span in spans}


def test_a_request_and_the_one_it_made_are_one_tree(
    mesh_of_two: tuple[Collector, Application, PyproxyProcess, PyproxyProcess],
) -> None:
    collector, front, sidecar, _ = mesh_of_two
    assert ask(sidecar.ports["virtualInbound"], f"x:{front.port}", {}) == 200
    spans = by_place(collector.wait(3))
    entered, left, arrived = spans["front SERVER"], spans["front CLIENT"], spans["back SERVER"]
    assert len({span.trace_id for span in spans.values()}) == 1
    assert (entered.parent_id, left.parent_id, arrived.parent_id) == ("", entered.id, left.id)
    assert len({span.id for span in spans.values()}) == 3
    assert len({span.tags["guid:x-request-id"] for span in spans.values()}) == 1
    assert left.name == arrived.name == "back:80/*"
    for inner, outer in ((left, entered), (arrived, left)):
        assert outer.started - 0.002 <= inner.started  # each process reads its own clock
        assert inner.started + inner.duration <= outer.started + outer.duration + 0.002
    assert collector.refused == []


def test_an_application_that_hands_nothing_on_breaks_the_tree(
    mesh_of_two: tuple[Collector, Application, PyproxyProcess, PyproxyProcess],
) -> None:
    collector, front, sidecar, _ = mesh_of_two
    front.forgets = True
    ask(sidecar.ports["virtualInbound"], f"x:{front.port}", {})
    spans = by_place(collector.wait(3))
    assert spans["front CLIENT"].trace_id != spans["front SERVER"].trace_id
    assert spans["back SERVER"].parent_id == spans["front CLIENT"].id


def test_a_collector_that_is_down_costs_no_request_and_gets_the_spans_later(tmp_path: Path) -> None:
    back, collector, inbound = Application(), Collector(status=503), free_port()
    text = documents("zipkin", 1, back.port, inbound, collector.port)
    sidecar = PyproxyProcess(tmp_path, text, "--workload", "back")
    try:
        assert [ask(inbound, "back", {}) for _ in range(20)] == [200] * 20
        until = time.monotonic() + 10
        while not collector.reports:
            assert time.monotonic() < until
            time.sleep(0.02)
        collector.status = 200
        assert len(collector.wait(20)) == 20
        page = metrics(sidecar)
        assert 'pyproxy_spans_sent_total{tracer="zipkin"} 20' in page
        assert 'pyproxy_spans_dropped_total{tracer="zipkin"} 0' in page
        assert "envoy_tracing_zipkin_spans_sent{} 20" in page
    finally:
        sidecar.close()
        back.close()
        collector.close()


def metrics(sidecar: PyproxyProcess) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", sidecar.ports["metrics"], timeout=10)
    try:
        connection.request("GET", "/stats/prometheus")
        return connection.getresponse().read().decode()
    finally:
        connection.close()
