"""/clusters, /stats, /stats/prometheus and /reset_counters: which statistics there are, in which form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyproxy.admin.pages import Page, Query, text
from pyproxy.admin.patterns import Matches, pattern
from pyproxy.admin.process_metrics import process_metrics
from pyproxy.admin.served import Served
from pyproxy.telemetry.exposition import CONTENT_TYPE


def prometheus(served: Served, query: Query) -> Page:
    """Everything for Prometheus. `?filter=` looks at Envoy's names for Envoy's statistics, else at the metric's."""
    named = pattern(query.get("filter", ""))
    pieces = _only(named, _our_metrics(served)) if "filter" in query else _our_metrics(served)
    return Page(pieces, content_type=CONTENT_TYPE)


def _our_metrics(served: Served) -> Iterator[bytes]:
    yield from served.metrics.pieces()
    yield process_metrics(served)


def _only(named: Matches, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines whose metric has such a name, comments included."""
    for piece in pieces:
        yield b"".join(line for line in piece.splitlines(keepends=True) if named(_metric(line)))


def _metric(line: bytes) -> str:
    """`# TYPE name counter`, `name{...} 1`, `name 1` → name."""
    words = line.split(None, 3) if line.startswith(b"#") else [b"", b"", line]
    return words[2].partition(b"{")[0].partition(b" ")[0].decode()


def clusters(served: Served, query: Query) -> Page:
    pattern(query.get("filter", ""))
    return text("\n")


def stats(served: Served, query: Query) -> Page:
    pattern(query.get("filter", ""))
    return text("\n")


def reset_counters(served: Served, query: Query) -> Page:
    return text("OK\n")
