from __future__ import annotations

from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.metric_rules import METRIC_NAMES, MetricSettings, compile_metrics
from pyproxy.snapshot.providers import Providers
from pyproxy.snapshot.registry import Registry
from pyproxy.snapshot.reporting import LabelChange, MetricChange, MetricRules
from tests.snapshot.documents import documents, mesh

UNCHANGED = MetricRules()


def compiled(*entries: str, config: str = "accessLogFile: ''") -> MetricSettings:
    text = (
        f"{mesh(config)}\n---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: t}}\n"
        f"spec: {{metrics: [{', '.join(entries)}]}}"
    )
    found = documents(text)
    settings = mesh_settings(found)
    return compile_metrics(found[-1].spec.metrics, settings, Providers(settings, Registry(found, settings)))  # type: ignore[attr-defined]


def overrides(*items: str, more: str = "") -> str:
    return f"{{overrides: [{', '.join(items)}]{more}}}"


def test_nothing_changes_where_nobody_says() -> None:
    assert compiled() == MetricSettings(UNCHANGED, UNCHANGED, 5.0)


def test_one_metric_of_one_direction() -> None:
    found = compiled(
        overrides(
            "{match: {metric: REQUEST_COUNT, mode: CLIENT}, tagOverrides: {b: {value: '1'}, a: {operation: REMOVE}}}"
        )
    )
    assert found.client.changes == (MetricChange("requests_total", labels=(LabelChange("a"), LabelChange("b", "1"))),)
    assert found.server == UNCHANGED


def test_all_metrics_are_each_of_them() -> None:
    found = compiled(overrides("{tagOverrides: {a: {operation: REMOVE}}}"))
    assert found.client == found.server
    assert sorted(change.metric for change in found.client.changes) == sorted(METRIC_NAMES.values())


def test_a_direction_without_metrics_and_one_that_is_turned_on_again() -> None:
    off = overrides("{match: {metric: ALL_METRICS, mode: SERVER}, disabled: true}")
    assert [side.enabled for side in (compiled(off).client, compiled(off).server)] == [True, False]
    again = compiled(off, overrides("{match: {metric: REQUEST_SIZE}, disabled: true}"))
    assert again.server == MetricRules(changes=(MetricChange("request_bytes", dropped=True),))


def test_the_later_overlays_the_earlier() -> None:
    one = "{match: {metric: REQUEST_COUNT}, disabled: true, tagOverrides: {a: {value: x}, b: {value: x}}}"
    found = compiled(
        overrides(one), overrides("{match: {metric: REQUEST_COUNT}, disabled: false, tagOverrides: {a: {value: z}}}")
    )
    assert found.client.changes == (
        MetricChange("requests_total", labels=(LabelChange("a", "z"), LabelChange("b", "x"))),
    )


def test_custom_metrics_go_by_their_names_with_or_without_the_prefix() -> None:
    found = compiled(overrides("{match: {customMetric: istio_request_bytes}, disabled: true}"))
    assert [change.metric for change in found.client.changes] == ["request_bytes"]


def test_only_prometheus_is_counted_for() -> None:
    elsewhere = compiled("{providers: [{name: stackdriver}]}")
    assert not elsewhere.client.enabled and not elsewhere.server.enabled
    changed = overrides("{disabled: true, match: {metric: REQUEST_SIZE}}", more=", providers: [{name: prometheus}]")
    assert compiled(changed).client.changes
    default = compiled(config="defaultProviders: {metrics: [stackdriver]}")
    assert not default.client.enabled


def test_the_reporting_interval() -> None:
    assert compiled("{reportingInterval: 10s}").interval == 10.0
