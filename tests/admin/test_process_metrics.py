"""What a process says of its memory, CPU time and files, beside what Prometheus' own client says."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pyproxy.admin.process_metrics import process_metrics, python_metrics, read_usage
from pyproxy.telemetry.exposition import Family
from tests.admin.fake_app import FakeApp


def parsed(text: bytes) -> dict[tuple[str, ...], float]:
    """Value by name and label values."""
    families = text_string_to_metric_families(text.decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def samples(families: Iterable[Family]) -> dict[tuple[str, ...], float]:
    return parsed(b"".join(family.render() for family in families))


def test_names_and_values_are_those_of_prometheus_client(app: FakeApp) -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    theirs, ours = parsed(generate_latest(registry)), samples([*process_metrics(app), *python_metrics()])
    assert set(theirs) == {name for name in ours if not name[0].startswith("python_gc")}
    for name in [("process_start_time_seconds",), ("process_max_fds",)]:
        assert ours[name] == theirs[name]
    for name in [("process_virtual_memory_bytes",), ("process_resident_memory_bytes",)]:
        assert ours[name] == pytest.approx(theirs[name], rel=0.1)
    assert ours["process_cpu_seconds_total",] == pytest.approx(theirs["process_cpu_seconds_total",], abs=1)
    assert ours["process_open_fds",] == pytest.approx(theirs["process_open_fds",], abs=2)


def test_what_the_workers_use_is_added_up(app: FakeApp) -> None:
    alone = samples(process_metrics(app))
    app.worker_processes = [{"pid": os.getpid(), "version": "1"}]
    together = samples(process_metrics(app))
    for name in ("process_virtual_memory_bytes", "process_resident_memory_bytes", "process_open_fds"):
        assert together[name,] == pytest.approx(2 * alone[name,], rel=0.05)
    for name in ("process_start_time_seconds", "process_max_fds"):
        assert together[name,] == alone[name,]
    app.worker_processes = [{"pid": 2**22 + 1, "version": "1"}]  # nobody's: it has just ended
    assert samples(process_metrics(app))["process_open_fds",] == alone["process_open_fds",]


def test_a_process_that_is_gone_uses_nothing() -> None:
    assert read_usage(str(2**22 + 1)) is None


def test_the_garbage_collector_is_told_by_generation() -> None:
    gc.collect()
    found = samples(python_metrics())
    assert found["python_gc_collections_total", "2"] >= 1
    assert {name[1] for name in found if name[0] == "python_gc_objects_collected_total"} == {"0", "1", "2"}
