"""`pyproxy_*`: what only we have to say in metrics about reloads, version, keys, spans and certificates."""

from __future__ import annotations

from collections.abc import Iterator

from pyproxy import __version__
from pyproxy.admin.served import Served
from pyproxy.telemetry.exposition import Family


def own_metrics(served: Served) -> Iterator[Family]:
    """As things are now."""
    yield from _reloads(served)
    yield from _key_fetches(served)
    yield from _spans(served)
    yield from _certificates(served)
    ready = Family("pyproxy_ready", "gauge", "1 while new traffic is welcome.")
    ready.add(served.state == "LIVE")
    yield ready


def _reloads(served: Served) -> Iterator[Family]:
    status = served.reload_status
    successful = Family(
        "pyproxy_config_last_reload_successful", "gauge", "Whether the last change of the documents was taken up."
    )
    successful.add(status.successful)
    latest = Family(
        "pyproxy_config_last_reload_success_timestamp_seconds", "gauge", "When documents were last taken up."
    )
    latest.add(status.succeeded_at)
    reloads = Family("pyproxy_config_reloads_total", "counter", "Changes of the documents.")
    reloads.add(status.accepted, result="accepted")
    reloads.add(status.rejected, result="rejected")
    config = Family("pyproxy_config_info", "gauge", "The documents in force, by digest.")
    config.add(1, version=served.live.serving.snapshot.version)
    build = Family("pyproxy_build_info", "gauge", "Which pyproxy this is.")
    build.add(1, version=__version__)
    yield from (successful, latest, reloads, config, build)


def _key_fetches(served: Served) -> Iterator[Family]:
    """Of token issuers' keys; nothing where no document names any."""
    if not served.key_fetches:
        return
    count = Family("pyproxy_jwks_fetches_total", "counter", "Fetches of keys that verify tokens.")
    latest = Family("pyproxy_jwks_last_success_timestamp_seconds", "gauge", "When keys last came; 0: never.")
    for each in served.key_fetches:
        count.add(each.succeeded, source=each.source, result="success")
        count.add(each.failed, source=each.source, result="failure")
        latest.add(each.succeeded_at, source=each.source)
    yield from (count, latest)


def _spans(served: Served) -> Iterator[Family]:
    """What became of spans; nothing without a collector."""
    if not served.tracer_stats:
        return
    sent = Family("pyproxy_spans_sent_total", "counter", "Spans that a collector took.")
    dropped = Family("pyproxy_spans_dropped_total", "counter", "Spans that no collector got.")
    for name, stats in served.tracer_stats.items():
        sent.add(stats.spans_sent, tracer=name)
        dropped.add(stats.spans_dropped, tracer=name)
    yield from (sent, dropped)


def _certificates(served: Served) -> Iterator[Family]:
    """Of each set of files that was read; nothing where there is none."""
    if not served.certificates:
        return
    now = served.clock.time()
    expiry = Family(
        "pyproxy_certificate_expiry_seconds",
        "gauge",
        "Seconds until the first certificate of a file expires; negative once one has.",
    )
    successful = Family(
        "pyproxy_certificate_last_rotation_successful", "gauge", "Whether what lies in the files is in use."
    )
    latest = Family(
        "pyproxy_certificate_last_rotation_success_timestamp_seconds",
        "gauge",
        "When the files were last taken up; 0: never.",
    )
    rotations = Family("pyproxy_certificate_rotations_total", "counter", "Sets of files, the first among them.")
    for holding in served.certificates:
        material, path = holding.material, holding.path
        if material is not None and material.chain:
            left, file = material.not_after - now, material.sources.certificate
            expiry.add(left, identity=material.identity, kind="cert_chain", path=file)
        if material is not None and material.roots:
            expiry.add(material.roots_not_after - now, identity="", kind="ca_cert", path=material.sources.ca)
        successful.add(not holding.error, path=path)
        latest.add(holding.succeeded_at, path=path)
        rotations.add(holding.accepted, path=path, result="accepted")
        rotations.add(holding.rejected, path=path, result="rejected")
    yield from (expiry, successful, latest, rotations)
