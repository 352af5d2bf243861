from collections.abc import Callable

import pytest

IN = "ingress: [{port: {number: 80, protocol: HTTP, name: a}, %s}]"
OUT = "egress: [{port: {number: 80, protocol: HTTP}, hosts: ['*/*'], %s}]"


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ("{}", "spec", "is empty"),
        ("workloadSelector: {labels: {a: b}}", "spec", "is empty"),
        ("ingress: [{}]", "ingress[0].port", "is required"),
        ("ingress: [{port: {protocol: HTTP}}]", "ingress[0].port.number", "1 to 65535"),
        ("ingress: [{port: {number: 80, protocol: X}}]", "ingress[0].port.protocol", "accepted are"),
        ("ingress: [{port: {number: 80, name: a_b}}]", "ingress[0].port.name", "letters, digits"),
        ("ingress: [{port: {number: 80, targetPort: 81}}]", "ingress[0].port.targetPort", "no effect in a Sidecar"),
        ("ingress: [{port: {number: 80}}, {port: {number: 80}}]", "ingress[1].port.number", "there twice"),
        (IN % "bind: localhost", "ingress[0].bind", "not an IP address"),
        (IN % "defaultEndpoint: 10.0.0.1:80", "ingress[0].defaultEndpoint", "not where a workload listens"),
        (IN % "defaultEndpoint: 127.0.0.1", "ingress[0].defaultEndpoint", "not where a workload listens"),
        (IN % "defaultEndpoint: '127.0.0.1:0'", "ingress[0].defaultEndpoint", "1 to 65535"),
        (IN % "defaultEndpoint: 'unix://x'", "ingress[0].defaultEndpoint", "not a socket"),
        (IN % "tls: {mode: PASSTHROUGH}", "ingress[0].tls", "HTTPS or TLS"),
        (IN % "connectionPool: {}", "ingress[0].connectionPool", "sets nothing"),
        ("inboundConnectionPool: {}", "inboundConnectionPool", "sets nothing"),
        ("egress: [{hosts: []}]", "egress[0].hosts", "at least one"),
        ("egress: [{hosts: [a.com]}]", "egress[0].hosts[0]", "NAMESPACE/HOST"),
        ("egress: [{hosts: [./reviews]}]", "egress[0].hosts[0]", "reviews.default.svc.cluster.local"),
        ("egress: [{hosts: ['a_b/*']}]", "egress[0].hosts[0]", "no namespace"),
        ("egress: [{hosts: ['./*a.com']}]", "egress[0].hosts[0]", "partial wildcard"),
        ("egress: [{hosts: ['*/*']}, {hosts: ['./*']}]", "egress[0]", "must be the last"),
        ("egress: [{port: {number: 0}, hosts: ['*/*']}]", "egress[0].bind", "needs a unix socket"),
        (
            "egress: [{port: {}, bind: 'unix:///a', captureMode: IPTABLES, hosts: ['*/*']}]",
            "egress[0].captureMode",
            "cannot be captured",
        ),
        (OUT % "bind: a", "egress[0].bind", "not an IP address"),
        (
            "egress: [{port: {number: 80}, hosts: ['*/*']}, {port: {number: 80}, hosts: ['*/*']}]",
            "egress[1].port.number",
            "there twice",
        ),
        (
            "outboundTrafficPolicy: {egressProxy: {host: a.com, port: {number: 1}}}",
            "outboundTrafficPolicy.egressProxy",
            "ALLOW_ANY",
        ),
        (
            "outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.com}}",
            "outboundTrafficPolicy.egressProxy",
            "port is required",
        ),
        (
            "outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: '*.com', port: {number: 1}}}",
            "outboundTrafficPolicy.egressProxy.host",
            "not a host name",
        ),
        ("outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}", "outboundTrafficPolicy.mode", "must be one of"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("Sidecar", spec, path, part)


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ("egress: [{hosts: ['./a.com', './a.com']}]", "egress[0].hosts[1]", "overlaps"),
        ("egress: [{hosts: ['default/*', './a.com']}]", "egress[0].hosts[1]", "overlaps"),
        ("egress: [{hosts: ['*/*', a/b.com]}]", "egress[0].hosts", "no effect"),
        ("workloadSelector: {}\negress: [{hosts: ['*/*']}]", "workloadSelector", "selects every workload"),
        (
            "ingress: [{port: {number: 80, protocol: TCP}, connectionPool: {http: {maxRetries: 1}}}]",
            "ingress[0].connectionPool.http",
            "protocol is not HTTP",
        ),
    ],
)
def test_what_istio_takes_but_warns_about(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("Sidecar", spec, path, part, "warning")


@pytest.mark.parametrize("endpoint", [":80", "0.0.0.0:80", "[::1]:80", "[::]:80", "unix://@a"])
def test_where_a_workload_may_listen(judge: Callable[..., list[object]], endpoint: str) -> None:
    assert judge("Sidecar", IN % f"defaultEndpoint: '{endpoint}'") == []


@pytest.mark.parametrize("name", ["subjectAltNames: [a]", "httpsRedirect: true", "credentialName: a"])
def test_what_a_sidecar_does_not_do_with_tls(judge: Callable[..., list[object]], name: str) -> None:
    tls = f"{{mode: SIMPLE, {name}, serverCertificate: a, privateKey: b}}"
    problems = judge("Sidecar", f"ingress: [{{port: {{number: 443, protocol: HTTPS}}, tls: {tls}}}]")
    assert any("not supported in a Sidecar" in str(problem) for problem in problems)


def test_exclusions_are_hosts_too(judge: Callable[..., list[object]]) -> None:
    assert judge("Sidecar", "egress: [{hosts: ['*/*', '~audit/*.secret.com', '~/*']}]") == []
