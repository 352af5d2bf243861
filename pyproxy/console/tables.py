"""Rows for the page: every host as every client proxy has it, every breaker with a ceiling, every proxy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyproxy.console.names import target_of
from pyproxy.console.reading import UNLIMITED, Cluster, Host, Reading

Row = dict[str, Any]


def host_rows(now: Reading, before: Reading | None, seconds: float) -> Iterator[tuple[str, Row]]:
    """Id and row of each host that one proxy may call. `before` is `seconds` older."""
    for name, cluster in now.clusters.items():
        target = target_of(name)
        if target.direction != "outbound":
            continue
        old = {host.address: host for host in _known(before, now, name).hosts}
        for host in cluster.hosts:
            yield (
                f"{now.name}|{name}|{host.address}",
                {
                    "client": now.name,
                    "service": target.service,
                    "subset": target.subset,
                    "port": target.port,
                    "watched": cluster.outlier_detection,
                    **_host(host, old.get(host.address), seconds),
                },
            )


def _host(host: Host, old: Host | None, seconds: float) -> Row:
    known = old if old is not None and old.requests <= host.requests else None
    requests = host.requests - known.requests if known is not None else 0
    errors = host.errors - known.errors if known is not None else 0
    return {
        "address": host.address,
        "name": host.name,
        "healthy": host.healthy,
        "left": None if host.seconds_left is None else round(host.seconds_left, 1),
        "times": host.times_ejected,
        "weight": host.weight,
        "active": host.active,
        "connections": host.connections,
        "rps": round(requests / seconds, 2) if seconds else 0.0,
        "errors": round(errors / requests, 4) if requests > 0 else 0.0,
        "total": host.requests,
    }


def breaker_rows(now: Reading, before: Reading | None, seconds: float) -> Iterator[tuple[str, Row]]:
    """Id and row of each cluster for which documents set a ceiling, or that overflowed."""
    for name, cluster in now.clusters.items():
        target = target_of(name)
        limited = {
            kind: breaker
            for kind, breaker in cluster.breakers.items()
            if breaker.ceiling < UNLIMITED or breaker.overflows
        }
        if not target.direction or not limited:
            continue
        old = _known(before, now, name)
        yield (
            f"{now.name}|{name}",
            {
                "client": now.name,
                "service": target.service,
                "subset": target.subset,
                "port": target.port,
                "inbound": target.direction == "inbound",
                "used": any(host.requests or host.connections for host in cluster.hosts),
                "retries": _rate(cluster.retries, old.retries, seconds),
                "timeouts": _rate(cluster.timeouts, old.timeouts, seconds),
                "limits": {
                    kind: {
                        "now": breaker.now,
                        "ceiling": breaker.ceiling if breaker.ceiling < UNLIMITED else None,
                        "overflows": breaker.overflows,
                        "rate": _rate(breaker.overflows, old.breakers[kind].overflows, seconds)
                        if kind in old.breakers
                        else 0.0,
                    }
                    for kind, breaker in limited.items()
                },
            },
        )


def proxy_row(address: str, reading: Reading | None, error: str) -> Row:
    """One proxy, whether or not it answers."""
    row: Row = {"address": address, "name": reading.name if reading else address, "error": error}
    if reading is not None:
        row |= {
            "state": reading.state,
            "version": reading.version,
            "refused": list(reading.errors),
            "started": round(reading.started, 1),
            "expires": min((each.expires for each in reading.certificates if each.expires), default=None),
            "certificate_error": next((each.error for each in reading.certificates if each.error), ""),
        }
    return row


_NOTHING = Cluster("", {}, ())


def _known(before: Reading | None, now: Reading, cluster: str) -> Cluster:
    if before is None or before.started != now.started:
        return _NOTHING
    return before.clusters.get(cluster, _NOTHING)


def _rate(now: int, before: int, seconds: float) -> float:
    return round((now - before) / seconds, 2) if seconds and now >= before else 0.0
