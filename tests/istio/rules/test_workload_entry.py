from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ("{}", "spec", "address is required"),
        ("address: a_b", "address", "neither an IP address nor a host name"),
        ("address: unix:///dir/", "address", "not a socket"),
        ("address: unix:///a\nports: {http: 80}", "ports", "has no ports"),
        ("address: 1.2.3.4\nports: {http: 0}", "ports.http", "1 to 65535"),
        ("address: 1.2.3.4\nports: {'@': 80}", 'ports["@"]', "letters, digits"),
        ("address: 1.2.3.4\nlabels: {a: 'b c'}", "labels.a", "label value"),
    ],
)
def test_what_is_wrong_with_an_entry_is_named(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("WorkloadEntry", spec, path, part)


def test_an_entry_behind_a_network_gateway_is_warned_about(expect: Callable[..., None]) -> None:
    expect("WorkloadEntry", "network: far", "spec", "gateway of network far", "warning")


@pytest.mark.parametrize(
    ("probe", "path", "part"),
    [
        ("{}", "", "asks nothing"),
        ("{httpGet: {port: 80}, exec: {command: [a]}}", "", "exclude each other"),
        ("{httpGet: {port: 0}}", ".httpGet.port", "1 to 65535"),
        ("{httpGet: {port: 80, scheme: http}}", ".httpGet.scheme", "HTTP or HTTPS"),
        ("{httpGet: {port: 80, httpHeaders: [{name: a_b}]}}", ".httpGet.httpHeaders[0].name", "not a header name"),
        ("{tcpSocket: {port: 70000}}", ".tcpSocket.port", "1 to 65535"),
        ("{grpc: {}}", ".grpc.port", "1 to 65535"),
        ("{exec: {command: []}}", ".exec.command", "is required"),
        ("{exec: {command: [a]}, periodSeconds: -1}", ".periodSeconds", "negative"),
    ],
)
def test_what_is_wrong_with_a_probe_is_named(expect: Callable[..., None], probe: str, path: str, part: str) -> None:
    expect("WorkloadGroup", f"template: {{}}\nprobe: {probe}", f"probe{path}", part)


def test_a_group_needs_a_template_with_right_labels(expect: Callable[..., None]) -> None:
    expect("WorkloadGroup", "probe: {grpc: {port: 1}}", "template", "is required")
    expect("WorkloadGroup", "template: {labels: {'': a}}", 'template.labels[""]', "label key")
