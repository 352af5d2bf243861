"""What only we have to say in metrics: reloads, version, and the process's own memory, CPU time and open files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pyproxy import __version__
from pyproxy.admin.served import Served


class _Reloads(Collector):
    """`pyproxy_*`, read when scraped."""

    def __init__(self, served: Served) -> None:
        self._served = served

    def collect(self) -> Iterator[Metric]:
        status = self._served.reload_status
        yield GaugeMetricFamily(
            "pyproxy_config_last_reload_successful",
            "Whether the last change of the documents was taken up.",
            int(status.successful),
        )
        yield GaugeMetricFamily(
            "pyproxy_config_last_reload_success_timestamp_seconds",
            "When documents were last taken up.",
            status.succeeded_at,
        )
        reloads = CounterMetricFamily("pyproxy_config_reloads", "Changes of the documents.", labels=["result"])
        reloads.add_metric(["accepted"], status.accepted)
        reloads.add_metric(["rejected"], status.rejected)
        yield reloads
        snapshot = self._served.live.serving.snapshot
        config = GaugeMetricFamily("pyproxy_config_info", "The documents in force, by digest.", labels=["version"])
        config.add_metric([snapshot.version], 1)
        yield config
        build = GaugeMetricFamily("pyproxy_build_info", "Which pyproxy this is.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield GaugeMetricFamily("pyproxy_ready", "1 while new traffic is welcome.", int(self._served.state == "LIVE"))


class _Processes(Collector):
    """`process_*` of this process and its workers: their sums, and when the first of them started."""

    def __init__(self, served: Served) -> None:
        self._served = served

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for process in ("self", *(str(worker["pid"]) for worker in self._served.workers)):
            for family in ProcessCollector(pid=partial(str, process), registry=None).collect():
                known = families.setdefault(family.name, family)
                if known is not family:
                    values = known.samples[0].value, family.samples[0].value
                    value = min(values) if family.name in _NOT_ADDED_UP else sum(values)
                    known.samples[0] = known.samples[0]._replace(value=value)
        yield from families.values()


_NOT_ADDED_UP = frozenset({"process_start_time_seconds", "process_max_fds"})


def process_metrics(served: Served) -> bytes:
    """Prometheus text: `pyproxy_*`, `process_*`, `python_*`."""
    registry = CollectorRegistry()
    registry.register(_Reloads(served))
    registry.register(_Processes(served))
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return generate_latest(registry)
