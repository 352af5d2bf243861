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
        yield from _key_fetches(self._served)
        yield from _spans(self._served)
        yield from _certificates(self._served)
        yield GaugeMetricFamily("pyproxy_ready", "1 while new traffic is welcome.", int(self._served.state == "LIVE"))


def _key_fetches(served: Served) -> Iterator[Metric]:
    """Of token issuers' keys; nothing where no document names any."""
    if not served.key_fetches:
        return
    count = CounterMetricFamily(
        "pyproxy_jwks_fetches", "Fetches of keys that verify tokens.", labels=["source", "result"]
    )
    latest = GaugeMetricFamily(
        "pyproxy_jwks_last_success_timestamp_seconds", "When keys last came; 0: never.", labels=["source"]
    )
    for each in served.key_fetches:
        count.add_metric([each.source, "success"], each.succeeded)
        count.add_metric([each.source, "failure"], each.failed)
        latest.add_metric([each.source], each.succeeded_at)
    yield count
    yield latest


def _spans(served: Served) -> Iterator[Metric]:
    """What became of spans; nothing without a collector."""
    if not served.tracer_stats:
        return
    sent = CounterMetricFamily("pyproxy_spans_sent", "Spans that a collector took.", labels=["tracer"])
    dropped = CounterMetricFamily("pyproxy_spans_dropped", "Spans that no collector got.", labels=["tracer"])
    for name, stats in served.tracer_stats.items():
        sent.add_metric([name], stats.spans_sent)
        dropped.add_metric([name], stats.spans_dropped)
    yield sent
    yield dropped


def _certificates(served: Served) -> Iterator[Metric]:
    """Of each set of files that was read; nothing where there is none."""
    if not served.certificates:
        return
    now = served.clock.time()
    expiry = GaugeMetricFamily(
        "pyproxy_certificate_expiry_seconds",
        "Seconds until the first certificate of a file expires; negative once one has.",
        labels=["kind", "path", "identity"],
    )
    successful = GaugeMetricFamily(
        "pyproxy_certificate_last_rotation_successful",
        "Whether what lies in the files is in use.",
        labels=["path"],
    )
    latest = GaugeMetricFamily(
        "pyproxy_certificate_last_rotation_success_timestamp_seconds",
        "When the files were last taken up; 0: never.",
        labels=["path"],
    )
    rotations = CounterMetricFamily(
        "pyproxy_certificate_rotations", "Sets of files, the first among them.", labels=["path", "result"]
    )
    for holding in served.certificates:
        material, path = holding.material, holding.path
        if material is not None and material.chain:
            labels = ["cert_chain", material.sources.certificate, material.identity]
            expiry.add_metric(labels, material.not_after - now)
        if material is not None and material.roots:
            expiry.add_metric(["ca_cert", material.sources.ca, ""], material.roots_not_after - now)
        successful.add_metric([path], int(not holding.error))
        latest.add_metric([path], holding.succeeded_at)
        rotations.add_metric([path, "accepted"], holding.accepted)
        rotations.add_metric([path, "rejected"], holding.rejected)
    yield from (expiry, successful, latest, rotations)


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
