from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ("metrics: [{providers: [{name: ''}]}]", "metrics[0].providers[0].name", "is required"),
        ("metrics: [{providers: [{}]}]", "metrics[0].providers[0].name", "is required"),
        (
            "metrics: [{overrides: [{match: {customMetric: ''}}]}]",
            "metrics[0].overrides[0].match.customMetric",
            "empty",
        ),
        (
            "metrics: [{overrides: [{match: {metric: REQUEST_COUNT, customMetric: a}}]}]",
            "metrics[0].overrides[0].match",
            "exclude",
        ),
        (
            "metrics: [{overrides: [{tagOverrides: {a: {}}}]}]",
            "metrics[0].overrides[0].tagOverrides.a",
            "value is required",
        ),
        (
            "metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: b}}}]}]",
            "metrics[0].overrides[0].tagOverrides.a.value",
            "excludes it",
        ),
        ("tracing: [{randomSamplingPercentage: 101}]", "tracing[0].randomSamplingPercentage", "0 to 100"),
        (
            "tracing: [{customTags: {a: {literal: {value: ''}}}}]",
            "tracing[0].customTags.a.literal.value",
            "is required",
        ),
        ("tracing: [{customTags: {a: {header: {name: ''}}}}]", "tracing[0].customTags.a.header.name", "is required"),
        ("tracing: [{customTags: {a: }}]", "tracing[0].customTags.a", "must be a mapping, not null"),
        (
            "accessLogging: [{filter: {expression: 'response.code >='}}]",
            "accessLogging[0].filter.expression",
            "at position 16: a value is missing",
        ),
        ("accessLogging: [{providers: [{name: ''}]}]", "accessLogging[0].providers[0].name", "is required"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("Telemetry", spec, path, part)


@pytest.mark.parametrize(
    ("spec", "path"),
    [("tracing: [{}, {}]", "tracing"), ("tracing: [{providers: [{name: a}, {name: b}]}]", "tracing[0].providers")],
)
def test_what_is_used_only_once_is_warned_about(expect: Callable[..., None], spec: str, path: str) -> None:
    expect("Telemetry", spec, path, "only the first", "warning")


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        (
            "accessLogging: [{filter: {expression: 'request.headers.exists(h, true)'}}]",
            "accessLogging[0].filter.expression",
            "the macro exists is not supported; nothing is logged",
        ),
        (
            "accessLogging: [{filter: {expression: 'reponse.code > 1'}}]",
            "accessLogging[0].filter.expression",
            "there is no attribute reponse",
        ),
        (
            "metrics: [{overrides: [{tagOverrides: {a: {value: istio_operationId}}}]}]",
            "metrics[0].overrides[0].tagOverrides.a.value",
            "there is no attribute istio_operationId",
        ),
        (
            "metrics: [{overrides: [{tagOverrides: {a: {value: '(('}}}]}]",
            "metrics[0].overrides[0].tagOverrides.a.value",
            "taken away",
        ),
        (
            "metrics: [{overrides: [{match: {customMetric: my_metric}}]}]",
            "metrics[0].overrides[0].match.customMetric",
            "there is no metric my_metric",
        ),
    ],
)
def test_what_pyproxy_cannot_do_is_warned_about(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("Telemetry", spec, path, part, "warning")
