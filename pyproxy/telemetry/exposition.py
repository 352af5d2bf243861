"""Prometheus text format, written fast: a family's lines for one set of labels come from one template.

Source: Prometheus exposition formats, text version 0.0.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS = (
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10000.0,
    30000.0,
    60000.0,
    300000.0,
    600000.0,
    1800000.0,
    3600000.0,
)
"""Envoy's default histogram bounds (stats/histogram_impl.cc), for milliseconds and bytes alike.

+Inf follows: a histogram is a list of one more count.
"""


def escape(value: str) -> str:
    """A label's value between its quotes."""
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value


def label_text(names: Sequence[str], values: Sequence[str]) -> bytes:
    """`a="1",b="2"`."""
    return ",".join([f'{name}="{escape(value)}"' for name, value in zip(names, values, strict=True)]).encode()


def header(name: str, kind: str) -> bytes:
    """The line above a family. `kind`: counter, gauge or histogram."""
    return f"# TYPE {name} {kind}\n".encode()


class HistogramFamily:
    """Renders histograms of one name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.header = header(name, "histogram")
        bounds = [*(f"{bound:g}" for bound in BUCKETS[:-4]), *(str(int(bound)) for bound in BUCKETS[-4:]), "+Inf"]
        lines = [f'{name}_bucket{{\0,le="{bound}"}} %d\n' for bound in bounds]
        self._template = "".join([*lines, f"{name}_sum{{\0}} %s\n", f"{name}_count{{\0}} %d\n"]).encode()

    def render(self, labels: bytes, counts: Sequence[int], total: float) -> bytes:
        """Every line of one series: observations per bucket, and the sum of all. `labels` from `label_text`."""
        cumulative = list(accumulate(counts))
        text = b"%d" % total if total == int(total) else repr(total).encode()
        template = self._template.replace(b"\0", labels.replace(b"%", b"%%"))
        return template % (*cumulative, text, cumulative[-1])


def sample(name: bytes, labels: bytes, value: int) -> bytes:
    """One line of a counter or gauge."""
    return b"%b{%b} %d\n" % (name, labels, value)
