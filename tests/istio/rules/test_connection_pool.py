from collections.abc import Callable

import pytest


def in_rule(pool: str) -> str:
    return f"host: a\ntrafficPolicy: {{connectionPool: {pool}}}"


@pytest.mark.parametrize(
    ("pool", "path", "part"),
    [
        ("{}", "", "sets nothing"),
        ("{tcp: {maxConnections: -1}}", ".tcp.maxConnections", "negative"),
        ("{tcp: {connectTimeout: 0s}}", ".tcp.connectTimeout", "1ms"),
        ("{tcp: {idleTimeout: 1.0001s}}", ".tcp.idleTimeout", "whole number of milliseconds"),
        ("{tcp: {idleTimeout: -1s}}", ".tcp.idleTimeout", "0s"),
        ("{http: {maxRetries: -1}}", ".http.maxRetries", "negative"),
        ("{http: {http1MaxPendingRequests: -1}}", ".http.http1MaxPendingRequests", "negative"),
        ("{http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}", ".http.useClientProtocol", "excludes"),
        ("{http: {http2KeepAlive: {interval: 1s}}}", ".http.http2KeepAlive", "timeout is required"),
        ("{http: {http2KeepAlive: {timeout: 1s}}}", ".http.http2KeepAlive", "interval is required"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], pool: str, path: str, part: str) -> None:
    expect("DestinationRule", in_rule(pool), f"trafficPolicy.connectionPool{path}", part)


@pytest.mark.parametrize("pool", ["{tcp: {}}", "{tcp: {idleTimeout: 0s}}", "{http: {maxRetries: 0}}"])
def test_zero_is_the_default_or_switches_off(judge: Callable[..., list[object]], pool: str) -> None:
    assert judge("DestinationRule", in_rule(pool)) == []
