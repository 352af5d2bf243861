"""Envoy's statistics as text: /stats, its JSON, and Prometheus with the tags that Istio's bootstrap extracts.

Every function takes pairs of an instance's name and its statistics; what stands before the name (`cluster.`, `http.`)
comes from the type. Answers come in pieces, so that a server can let traffic run in between.
Source: Envoy server/admin/{stats_render,prometheus_stats}.cc; Istio tools/packaging/common/envoy_bootstrap.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from operator import attrgetter
from typing import NamedTuple

from pyproxy.runtime.counters import (
    GAUGES,
    ClusterManagerStats,
    ClusterStats,
    HttpStats,
    ListenerManagerStats,
    ListenerStats,
    OpenTelemetryStats,
    ServerStats,
    StatGroup,
    TcpProxyStats,
    TcpStats,
    ZipkinStats,
)
from pyproxy.telemetry.exposition import escape
from pyproxy.wire.http2_stats import ClusterHttp2Stats, Http2Stats

Groups = Iterable[tuple[str, StatGroup]]
Matches = Callable[[str], bool]
"""A test of a whole name such as `cluster.outbound|80||a.upstream_rq_total`."""


class Stat(NamedTuple):
    """One value under its name within the group."""

    name: str
    value: int
    is_gauge: bool


def text_stats(groups: Groups, *, matches: Matches | None = None, used_only: bool = False) -> Iterator[str]:
    """`name: value` lines in order. `used_only` leaves out what is 0 (Envoy: what was never touched)."""
    for prefix, group in _in_order(groups):
        lines = [f"{prefix}{stat.name}: {stat.value}\n" for stat in _shown(prefix, group, matches, used_only)]
        if lines:
            yield "".join(lines)


def json_stats(groups: Groups, *, matches: Matches | None = None, used_only: bool = False) -> Iterator[str]:
    """`{"stats": [{"name": ..., "value": ...}, ...]}`."""
    separator = '{"stats":['
    for prefix, group in _in_order(groups):
        items = [
            f'{{"name":{json.dumps(prefix + stat.name)},"value":{stat.value}}}'
            for stat in _shown(prefix, group, matches, used_only)
        ]
        if items:
            yield separator + ",".join(items)
            separator = ","
    yield "]}" if separator == "," else separator + "]}"


def prometheus_stats(groups: Groups, *, matches: Matches | None = None, used_only: bool = False) -> Iterator[str]:
    """Families of one name together, counters before gauges."""
    by_type: dict[type[StatGroup], list[tuple[str, StatGroup]]] = {}
    for name, group in groups:
        by_type.setdefault(type(group), []).append((name, group))
    for kind, members in by_type.items():
        yield from _prometheus(kind, members, matches, used_only)


def reset_counters(groups: Groups) -> None:
    """Counters start again at 0; gauges stay."""
    for _, group in groups:
        for _, attribute, is_gauge in _TABLES[type(group)]:
            if not is_gauge:
                setattr(group, attribute, 0)
        for result in _RESULTS[type(group)]:
            setattr(group, result.attribute, 0)
        if isinstance(group, ClusterStats):
            group.codes.clear()
            group.retry_codes.clear()
        elif isinstance(group, HttpStats):
            group.classes[:] = [0] * len(group.classes)


# Names and values


_ROOTS: dict[type[StatGroup], tuple[str, str]] = {
    ClusterStats: ("cluster.", "cluster_name"),
    ClusterHttp2Stats: ("cluster.", "cluster_name"),
    Http2Stats: ("http2", ""),
    HttpStats: ("http.", "http_conn_manager_prefix"),
    TcpProxyStats: ("tcp.", "tcp_prefix"),
    TcpStats: ("tcp", ""),
    ZipkinStats: ("tracing.zipkin", ""),
    OpenTelemetryStats: ("tracing.opentelemetry", ""),
    ListenerStats: ("listener.", "listener_address"),
    ClusterManagerStats: ("cluster_manager", ""),
    ListenerManagerStats: ("listener_manager", ""),
    ServerStats: ("server", ""),
}
"""What stands before the instance's name, and the label that the name becomes in Prometheus."""
_WITHIN: dict[type[StatGroup], str] = {ClusterHttp2Stats: "http2."}
"""What stands behind the instance's name."""
_DOTTED = re.compile(
    r"^(circuit_breakers)_(default|high)_|^(outlier_detection|jwt_authn|ext_authz|fault|cors|tracing|ssl)_"
)


_BY_STATUS = frozenset({"codes", "retry_codes", "classes"})
_RBAC = re.compile(r"rbac_(istio_(?:dry_run_(allow|deny)|ext_authz)_)?(?:shadow_)?(allowed|denied)")
"""Attribute → the prefix that Istio gives what is only tried out, the action under trial, the result."""


def _table(kind: type[StatGroup]) -> list[tuple[str, str, bool]]:
    """(Envoy's name, attribute, is a gauge) of what is a plain number, in order of name."""
    attributes = [
        field.name for field in fields(kind) if field.name not in _BY_STATUS and not field.name.startswith("rbac_")
    ]
    within = _WITHIN.get(kind, "")
    return sorted((within + _DOTTED.sub(_dotted, each), each, each in GAUGES) for each in attributes)


def _dotted(found: re.Match[str]) -> str:
    return ".".join(filter(None, found.groups())) + "."


_TABLES = {kind: _table(kind) for kind in _ROOTS}


class _Result(NamedTuple):
    """What rules decided: Envoy's name, the attribute, and what Istio's tags make of it."""

    name: str
    attribute: str
    labels: str


def _results(kind: type[StatGroup]) -> list[_Result]:
    found = ((field.name, _RBAC.fullmatch(field.name)) for field in fields(kind))
    return [_result(attribute, match) for attribute, match in found if match is not None]


def _result(attribute: str, found: re.Match[str]) -> _Result:
    prefix, action, result = found.groups()
    if prefix is None:
        return _Result(f"rbac.{result}", attribute, f'authz_enforce_result="{result}"')
    on_trial = f'authz_dry_run_action="{action}",' if action else ""
    return _Result(f"rbac.{prefix}.shadow_{result}", attribute, f'{on_trial}authz_dry_run_result="{result}"')


_RESULTS = {kind: _results(kind) for kind in _ROOTS}
_RESULT_LABELS = {result.name: result.labels for results in _RESULTS.values() for result in results}


def _in_order(groups: Groups) -> list[tuple[str, StatGroup]]:
    """(everything before the statistic's own name, group)."""
    named = [(_prefix(name, group), group) for name, group in groups]
    named.sort(key=lambda pair: pair[0])
    return named


def _prefix(name: str, group: StatGroup) -> str:
    return f"{_ROOTS[type(group)][0]}{name}."


def _shown(prefix: str, group: StatGroup, matches: Matches | None, used_only: bool) -> list[Stat]:
    stats = sorted([*_plain(group), *_by_status(group)])
    return [
        stat for stat in stats if (stat.value or not used_only) and (matches is None or matches(prefix + stat.name))
    ]


def _plain(group: StatGroup) -> Iterator[Stat]:
    for name, attribute, is_gauge in _TABLES[type(group)]:
        value = getattr(group, attribute)
        if value is not None:
            yield Stat(name, value, is_gauge)


def _by_status(group: StatGroup) -> Iterator[Stat]:
    """What Envoy counts by status: each code, each class, and their sum; and what rules decided."""
    for name, attribute, _ in _RESULTS[type(group)]:
        yield Stat(name, getattr(group, attribute), False)
    if isinstance(group, ClusterStats):
        yield from _codes("", group.codes)
        if group.retry_codes:
            yield from _codes("retry.", group.retry_codes)
    elif isinstance(group, HttpStats):
        for number in range(1, 6):
            yield Stat(f"downstream_rq_{number}xx", group.classes[number], False)
        yield Stat("downstream_rq_completed", sum(group.classes), False)


def _codes(prefix: str, codes: dict[int, int]) -> Iterator[Stat]:
    classes: dict[int, int] = {}
    for code, count in codes.items():
        classes[code // 100] = classes.get(code // 100, 0) + count
        if code:  # 0: the client went before it was answered
            yield Stat(f"{prefix}upstream_rq_{code}", count, False)
    for number, count in classes.items():
        if number:
            yield Stat(f"{prefix}upstream_rq_{number}xx", count, False)
    yield Stat(f"{prefix}upstream_rq_completed", sum(codes.values()), False)


# Prometheus


_STATUS = re.compile(r"(.*_rq)_(?:(\d\d\d)|(\dxx))\Z")
_UNSAFE = re.compile(r"[^a-zA-Z0-9_]")
_SERIES_PER_PIECE = 500


def _prometheus(
    kind: type[StatGroup], members: list[tuple[str, StatGroup]], matches: Matches | None, used_only: bool
) -> Iterator[str]:
    root, tag = _ROOTS[kind]
    members.sort(key=lambda member: member[0])
    labels = [f'{tag}="{escape(name)}"' if tag else "" for name, _ in members]
    for gauges in (False, True):
        for name, attribute, is_gauge in _TABLES[kind]:
            if is_gauge is gauges:
                family = _family(root, name)
                value_of = attrgetter(attribute)
                header = f"# TYPE {family} {'gauge' if gauges else 'counter'}\n"
                lines: list[str] = []
                for label, (instance, group) in zip(labels, members, strict=True):
                    value = value_of(group)
                    if value is None or (used_only and not value):
                        continue
                    if matches is None or matches(f"{root}{instance}.{name}"):
                        lines.append(f"{header}{family}{{{label}}} {value}\n")
                        header = ""
                        if len(lines) == _SERIES_PER_PIECE:
                            yield "".join(lines)
                            lines.clear()
                yield "".join(lines)
        if not gauges:
            yield from _prometheus_by_status(root, labels, members, matches, used_only)


def _prometheus_by_status(
    root: str, labels: list[str], members: list[tuple[str, StatGroup]], matches: Matches | None, used_only: bool
) -> Iterator[str]:
    """`upstream_rq_503` is one series of `envoy_cluster_upstream_rq`, told by a label; so is `rbac.denied`."""
    families: dict[str, list[str]] = {}
    for number, (label, (instance, group)) in enumerate(zip(labels, members, strict=True)):
        if number % _SERIES_PER_PIECE == 0:
            yield ""  # nothing yet, but traffic may run
        for stat in _by_status(group):
            if used_only and not stat.value:
                continue
            if matches is not None and not matches(f"{root}{instance}.{stat.name}"):
                continue
            found = _STATUS.match(stat.name)
            if stat.name in _RESULT_LABELS:
                family, status = (
                    _family(root, _result_family(stat.name)),
                    ("," if label else "") + _RESULT_LABELS[stat.name],
                )
            elif found is None:
                family, status = _family(root, stat.name), ""
            elif found[2]:
                family, status = _family(root, found[1]), f',response_code="{found[2]}"'
            else:
                family, status = _family(root, found[1]), f',response_code_class="{found[3]}"'
            families.setdefault(family, []).append(f"{family}{{{label}{status}}} {stat.value}\n")
    for family in sorted(families):
        yield f"# TYPE {family} counter\n" + "".join(families[family])


def _result_family(name: str) -> str:
    """The prefix of the external authorizer is in no tag of Istio's, so it stays in the name."""
    return "rbac_istio_ext_authz_" if "ext_authz" in name else "rbac"


def _family(root: str, name: str) -> str:
    return "envoy_" + _UNSAFE.sub("_", f"{root.rstrip('.')}.{name}")
