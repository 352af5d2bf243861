from collections.abc import Callable

import pytest


def server(text: str, protocol: str = "HTTP") -> str:
    return f"servers: [{{port: {{number: 80, name: a, protocol: {protocol}}}, hosts: ['*'], {text}}}]"


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ("selector: {a: b}", "servers", "at least one server"),
        ("servers: [{hosts: ['*']}]", "servers[0].port", "is required"),
        (
            "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: []}]",
            "servers[0].hosts",
            "at least one host",
        ),
        (
            "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [reviews]}]",
            "servers[0].hosts[0]",
            "short name",
        ),
        (
            "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*a.com']}]",
            "servers[0].hosts[0]",
            "partial",
        ),
        (
            "servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['~/a.com']}]",
            "servers[0].hosts[0]",
            "no namespace",
        ),
        (
            "servers: [{port: {number: 80, name: '', protocol: HTTP}, hosts: ['*']}]",
            "servers[0].port.name",
            "is required",
        ),
        ("servers: [{port: {number: 0, name: a, protocol: HTTP}, hosts: ['*']}]", "servers[0].port.number", "65535"),
        (
            "servers: [{port: {number: 80, name: a, protocol: FTP}, hosts: ['*']}]",
            "servers[0].port.protocol",
            "accepted are",
        ),
        (
            "servers: [{port: {number: 80, name: a, protocol: HTTP, targetPort: 8080}, hosts: ['*']}]",
            "servers[0].port.targetPort",
            "no effect",
        ),
        (server("bind: everywhere"), "servers[0].bind", "not an IP address"),
        (server("bind: 'unix:///a'"), "servers[0].bind", "has no port"),
        (server("tls: {mode: SIMPLE, credentialName: a}"), "servers[0].tls", "httpsRedirect alone"),
        (server("tls: {mode: PASSTHROUGH}", "TCP"), "servers[0].tls", "takes no tls"),
        (server("name: x", "HTTPS"), "servers[0]", "requires tls"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("Gateway", spec, path, part)


def test_port_names_are_different(expect: Callable[..., None]) -> None:
    one = "{port: {number: %s, name: a, protocol: HTTP}, hosts: ['*']}"
    expect("Gateway", f"servers: [{one % 80}, {one % 81}]", "servers[1].port.name", "there twice")


def test_a_redirect_of_what_is_no_http_is_warned_about(expect: Callable[..., None]) -> None:
    expect(
        "Gateway",
        server("tls: {httpsRedirect: true}", "TLS"),
        "servers[0].tls.httpsRedirect",
        "HTTP servers only",
        "warning",
    )


@pytest.mark.parametrize("hosts", ["[10.0.0.1]", "['*/*']", "[./a.com]", "[ns/10.0.0.1]"])
def test_hosts_that_are_right(judge: Callable[..., list[object]], hosts: str) -> None:
    assert judge("Gateway", f"servers: [{{port: {{number: 80, name: a, protocol: http}}, hosts: {hosts}}}]") == []


def test_the_name_is_a_dns_label(load_text: Callable[[str], object]) -> None:
    loaded = load_text("""
        apiVersion: networking.istio.io/v1
        kind: Gateway
        metadata: {name: a.b}
        spec: {servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ["*"]}]}
        """)
    assert [one.path for one in loaded.problems] == ["metadata.name"]  # type: ignore[attr-defined]
