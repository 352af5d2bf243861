from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("mesh", "path", "part"),
    [
        ("connectTimeout: 0s", "connectTimeout", "from 1ms to 1h"),
        ("connectTimeout: 2h", "connectTimeout", "from 1ms to 1h"),
        ("protocolDetectionTimeout: 100us", "protocolDetectionTimeout", "milliseconds"),
        ("dnsRefreshRate: 0s", "dnsRefreshRate", "above 0s"),
        ("proxyListenPort: 70000", "proxyListenPort", "1 to 65535"),
        ("trustDomain: ''", "trustDomain", "not a trust domain"),
        ("trustDomainAliases: [a_b]", "trustDomainAliases[0]", "not a trust domain"),
        ("defaultServiceExportTo: [a_b]", "defaultServiceExportTo[0]", "none of what is accepted"),
        ("serviceSettings: [{hosts: [a_b]}]", "serviceSettings[0].hosts[0]", "not a host name"),
        ("localityLbSetting: {failover: [{from: a, to: a}]}", "localityLbSetting.failover[0]", "different regions"),
        ("defaultHttpRetryPolicy: {attempts: -1}", "defaultHttpRetryPolicy.attempts", "negative"),
        ("defaultInboundHttpRetryPolicy: {backoff: 1s}", "defaultInboundHttpRetryPolicy.backoff", "attempts is 0"),
        ("defaultTrafficPolicy: {connectionPool: {}}", "defaultTrafficPolicy.connectionPool", "sets nothing"),
        (
            "defaultTrafficPolicy: {outlierDetection: {maxEjectionPercent: 200}}",
            "defaultTrafficPolicy.outlierDetection.maxEjectionPercent",
            "0 to 100",
        ),
        ("meshMTLS: {ecdhCurves: [P-256]}", "meshMTLS.ecdhCurves", "cannot be set"),
        ("accessLogEncoding: XML", "accessLogEncoding", "must be one of TEXT, JSON"),
        ("outboundTrafficPolicy: {mode: VIRTUAL_SERVICE_ONLY}", "outboundTrafficPolicy.mode", "ALLOW_ANY_DYNAMIC_DNS"),
        ("acessLogFile: a", "acessLogFile", "did you mean accessLogFile?"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], mesh: str, path: str, part: str) -> None:
    expect("IstioOperator", f"meshConfig: {{{mesh}}}", f"meshConfig.{path}", part)


@pytest.mark.parametrize(
    ("mesh", "path", "part"),
    [
        ("tlsDefaults: {ecdhCurves: [P-1]}", "tlsDefaults.ecdhCurves[0]", "not known"),
        ("tlsDefaults: {ecdhCurves: [P-256, P-256]}", "tlsDefaults.ecdhCurves[1]", "there twice"),
        (
            "defaultInboundHttpRetryPolicy: {attempts: 1, perTryTimeout: 1s}",
            "defaultInboundHttpRetryPolicy.perTryTimeout",
            "no effect",
        ),
    ],
)
def test_what_istio_takes_but_warns_about(expect: Callable[..., None], mesh: str, path: str, part: str) -> None:
    expect("IstioOperator", f"meshConfig: {{{mesh}}}", f"meshConfig.{path}", part, "warning")


def test_the_network_has_a_name(expect: Callable[..., None]) -> None:
    expect("IstioOperator", "values: {global: {network: a b}}", "values.global.network", "not a network's name")
