from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ("selector: {a: b}", "ports", "at least one port"),
        ("ports: [{port: 0}]", "ports[0].port", "1 to 65535"),
        ("ports: [{port: 80, targetPort: 0}]", "ports[0].targetPort", "1 to 65535"),
        ("ports: [{port: 80, targetPort: 1.5}]", "ports[0].targetPort", "a port number or the name"),
        ("ports: [{port: 80, name: a}, {port: 81}]", "ports[1].name", "several ports"),
        ("ports: [{port: 80, name: a}, {port: 81, name: a}]", "ports[1].name", "there twice"),
        ("ports: [{port: 80, name: a}, {port: 80, name: b}]", "ports[1].port", "there twice"),
        ("ports: [{port: 80, protocol: HTTP}]", "ports[0].protocol", "must be one of TCP"),
        ("clusterIP: here\nports: [{port: 80}]", "clusterIP", "not an IP address"),
        ("type: ExternalName", "externalName", "may not be empty"),
        ("ports: [{port: 80}]\nselector: {a: 'b c'}", "selector.a", "label value"),
    ],
)
def test_what_is_wrong_with_a_service_is_named(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("Service", spec, path, part)


@pytest.mark.parametrize(
    "spec", ["clusterIP: None", "ports: [{port: 53, name: a}, {port: 53, name: b, protocol: UDP}]"]
)
def test_what_is_unusual_but_right_passes(judge: Callable[..., list[object]], spec: str) -> None:
    assert judge("Service", spec) == []


def test_endpoints_have_addresses_and_ports(expect: Callable[..., None]) -> None:
    expect("Endpoints", "subsets: [{addresses: [{ip: a}]}]", "subsets[0].addresses[0].ip", "not an IP address")
    expect("Endpoints", "subsets: [{ports: [{port: 0}]}]", "subsets[0].ports[0].port", "1 to 65535")
    expect("Endpoints", "subset: []", "subset", "did you mean subsets?")


def test_a_slice_says_whose_and_which_addresses_it_has(expect: Callable[..., None]) -> None:
    label = "labels: {kubernetes.io/service-name: a}"
    expect("EndpointSlice", "endpoints: []", "addressType", "is required", metadata=label)
    expect("EndpointSlice", "addressType: IPv4", "metadata.labels", "belong to no service", "warning", "labels: {a: b}")
    spec = "addressType: IPv4\nendpoints: [{addresses: [a.com]}]"
    expect("EndpointSlice", spec, "endpoints[0].addresses[0]", "not an IP address", metadata=label)


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ("service: ''\nbackends: [{service: a, weight: 1}]", "service", "is required"),
        ("service: a\nbackends: [{service: b, weight: 0}]", "backends", "weight above 0"),
        ("service: a\nbackends: [{service: b, weight: -1}]", "backends[0].weight", "negative"),
        ("service: a\nbackends: [{service: b, weight: many}]", "backends[0].weight", "a number"),
    ],
)
def test_what_is_wrong_with_a_split_is_named(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("TrafficSplit", spec, path, part)
