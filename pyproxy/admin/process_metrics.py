"""What only we have to say in metrics: reloads, version, and the process's own memory, CPU time and open files."""

from __future__ import annotations

from collections.abc import Iterator

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


def process_metrics(served: Served) -> bytes:
    """Prometheus text: `pyproxy_*`, `process_*`, `python_*`."""
    registry = CollectorRegistry()
    registry.register(_Reloads(served))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return generate_latest(registry)
