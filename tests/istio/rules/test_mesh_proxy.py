from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("proxy", "path", "part"),
    [
        ("drainDuration: 500ms", "drainDuration", "at least 1s"),
        ("drainDuration: 1500ms", "drainDuration", "whole number of seconds"),
        ("discoveryAddress: istiod", "discoveryAddress", "HOST:PORT"),
        ("statsdUdpAddress: 'a_b:1'", "statsdUdpAddress", "neither a host name"),
        ("envoyMetricsService: {address: 'a:0'}", "envoyMetricsService.address", "1 to 65535"),
        ("proxyAdminPort: 0", "proxyAdminPort", "1 to 65535"),
        ("statusPort: 70000", "statusPort", "1 to 65535"),
        ("concurrency: -1", "concurrency", "negative"),
        ("controlPlaneAuthPolicy: INHERIT", "controlPlaneAuthPolicy", "NONE or MUTUAL_TLS"),
        ("tracing: {sampling: 101}", "tracing.sampling", "0 to 100"),
        ("tracing: {zipkin: {address: zipkin}}", "tracing.zipkin.address", "HOST:PORT"),
        ("tracing: {zipkin: {address: 'a:1'}, datadog: {address: 'a:1'}}", "tracing", "exclude each other"),
        ("tracing: {lightstep: {address: 'a:1'}}", "tracing.lightstep.accessToken", "is required"),
        ("privateKeyProvider: {}", "privateKeyProvider", "cryptomb or qat"),
        ("privateKeyProvider: {qat: {}}", "privateKeyProvider.qat.pollDelay", "is required"),
        ("connectionSettings: {httpIdleTimeout: -1s}", "connectionSettings.httpIdleTimeout", "negative"),
        ("connectionSettings: {httpMaxConcurrentStreams: 0}", "connectionSettings.httpMaxConcurrentStreams", "above 0"),
        (
            "connectionSettings: {http2InitialStreamWindowSize: 1}",
            "connectionSettings.http2InitialStreamWindowSize",
            "65535",
        ),
        ("readinessProbe: {}", "readinessProbe", "asks nothing"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], proxy: str, path: str, part: str) -> None:
    where = f"meshConfig.defaultConfig.{path}"
    expect("IstioOperator", f"meshConfig: {{defaultConfig: {{{proxy}}}}}", where, part)


def test_allocation_by_the_old_switch_is_warned_about(expect: Callable[..., None]) -> None:
    spec = 'meshConfig: {defaultConfig: {proxyMetadata: {ISTIO_META_DNS_AUTO_ALLOCATE: "true"}}}'
    where = "meshConfig.defaultConfig.proxyMetadata.ISTIO_META_DNS_AUTO_ALLOCATE"
    expect("IstioOperator", spec, where, "deprecated", "warning")
