from collections.abc import Callable

import pytest

from pyproxy.istio.problems import Problem


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ("host: ''", "host", "may not be empty"),
        ("host: a.*.b", "host", "not a host name"),
        ("host: a\nsubsets: [{name: v1}, {name: v1}]", "subsets[1].name", "there twice"),
        ("host: a\nsubsets: [{name: ''}]", "subsets[0].name", "letters, digits"),
        ("host: a\nsubsets: [{name: v1, labels: {'a b': c}}]", 'subsets[0].labels["a b"]', "label key"),
        ("host: a\nsubsets: [{name: v1, trafficPolicy: {}}]", "subsets[0].trafficPolicy", "sets nothing"),
        ("host: a\ntrafficPolicy: {}", "trafficPolicy", "sets nothing"),
        (
            "host: a\ntrafficPolicy: {tunnel: {targetHost: a, targetPort: 1}, proxyProtocol: {}}",
            "trafficPolicy",
            "exclude",
        ),
        (
            "host: a\ntrafficPolicy: {tunnel: {targetHost: a, targetPort: 0}}",
            "trafficPolicy.tunnel.targetPort",
            "65535",
        ),
        (
            "host: a\ntrafficPolicy: {tunnel: {targetHost: '*', targetPort: 1}}",
            "trafficPolicy.tunnel.targetHost",
            "host name",
        ),
        (
            "host: a\ntrafficPolicy: {tunnel: {protocol: GET, targetHost: a, targetPort: 1}}",
            "trafficPolicy.tunnel.protocol",
            "CONNECT or POST",
        ),
        (
            "host: a\ntrafficPolicy: {portLevelSettings: [{tls: {mode: DISABLE}}]}",
            "trafficPolicy.portLevelSettings[0]",
            "port is required",
        ),
        (
            "host: a\ntrafficPolicy: {portLevelSettings: [{port: {number: 80}}]}",
            "trafficPolicy.portLevelSettings[0]",
            "sets nothing",
        ),
        (
            "host: a\ntrafficPolicy: {portLevelSettings: [{port: {number: 0}, tls: {mode: DISABLE}}]}",
            "trafficPolicy.portLevelSettings[0].port.number",
            "65535",
        ),
        (
            "host: a\ntrafficPolicy: {outlierDetection: {consecutiveLocalOriginFailures: 1}}",
            "trafficPolicy.outlierDetection.consecutiveLocalOriginFailures",
            "splitExternalLocalOriginErrors",
        ),
        (
            "host: a\ntrafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}",
            "trafficPolicy.outlierDetection.maxEjectionPercent",
            "0 to 100",
        ),
        (
            "host: a\ntrafficPolicy: {outlierDetection: {minHealthPercent: -1}}",
            "trafficPolicy.outlierDetection.minHealthPercent",
            "0 to 100",
        ),
        (
            "host: a\ntrafficPolicy: {outlierDetection: {outlierDetectionHttpErrorCodes: [99]}}",
            "trafficPolicy.outlierDetection.outlierDetectionHttpErrorCodes[0]",
            "100 to 599",
        ),
        (
            "host: a\ntrafficPolicy: {outlierDetection: {interval: 0s}}",
            "trafficPolicy.outlierDetection.interval",
            "1ms",
        ),
        ("host: a\ntrafficPolicy: {retryBudget: {percent: 101}}", "trafficPolicy.retryBudget.percent", "0 to 100"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("DestinationRule", spec, path, part)


@pytest.mark.parametrize(
    "spec",
    [
        "host: '*'",
        "host: '*.example.com'",
        "host: a\nsubsets: [{name: V1, labels: {}}]",
        "host: a\ntrafficPolicy: {outlierDetection: {}}",
        "host: a\ntrafficPolicy: {tunnel: {targetHost: 10.0.0.1, targetPort: 1}}",
        "host: a\ntrafficPolicy: {retryBudget: {budgetInterval: 0s}}",
    ],
)
def test_what_is_unusual_but_right_passes(judge: Callable[..., list[object]], spec: str) -> None:
    assert judge("DestinationRule", spec) == []


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        ("outlierDetection: {consecutiveGatewayErrors: 5}", "outlierDetection.consecutiveGatewayErrors"),
        (
            "outlierDetection: {consecutiveGatewayErrors: 9, consecutive5xxErrors: 3}",
            "outlierDetection.consecutiveGatewayErrors",
        ),
        ("outlierDetection: {consecutiveGatewayErrors: 4}", None),
        ("outlierDetection: {consecutiveGatewayErrors: 9, consecutive5xxErrors: 0}", None),
        ("outlierDetection: {consecutiveGatewayErrors: 9, outlierDetectionHttpErrorCodes: [500]}", None),
        ("retryBudget: {percent: 20}, connectionPool: {http: {maxRetries: 3}}", "connectionPool.http.maxRetries"),
        ("retryBudget: {percent: 20}, connectionPool: {http: {maxRequestsPerConnection: 3}}", None),
    ],
)
def test_what_another_field_makes_idle_is_warned_about(
    judge: Callable[..., list[Problem]], policy: str, path: str | None
) -> None:
    problems = judge("DestinationRule", f"host: a\ntrafficPolicy: {{{policy}}}")
    found = [(one.severity, one.code, one.path) for one in problems]
    assert found == ([("warning", "PYP0006", f"spec.trafficPolicy.{path}")] if path else [])
