from collections.abc import Callable

import pytest

ROUTE = "route: [{destination: {host: a}}]"


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        (f"tls: [{{match: [], {ROUTE}}}]", "tls[0].match", "is required"),
        (f"tls: [{{match: [{{sniHosts: []}}], {ROUTE}}}]", "tls[0].match[0].sniHosts", "at least one"),
        (f"tls: [{{match: [{{sniHosts: [b.org]}}], {ROUTE}}}]", "tls[0].match[0].sniHosts[0]", "not covered"),
        (f"tls: [{{match: [{{sniHosts: ['*.com']}}], {ROUTE}}}]", "tls[0].match[0].sniHosts[0]", "not covered"),
        (f"tls: [{{match: [{{sniHosts: [a_b.com]}}], {ROUTE}}}]", "tls[0].match[0].sniHosts[0]", "not a host name"),
        ("tls: [{match: [{sniHosts: [x.a.com]}]}]", "tls[0]", "route is required"),
        ("tcp: [{}]", "tcp[0]", "route is required"),
        (
            f"tcp: [{{match: [{{destinationSubnets: [10.0.0.0/33]}}], {ROUTE}}}]",
            "tcp[0].match[0].destinationSubnets[0]",
            "not an IP block",
        ),
        (f"tcp: [{{match: [{{port: 0x10000}}], {ROUTE}}}]", "tcp[0].match[0].port", "1 to 65535"),
        ("tcp: [{route: [{destination: {host: a}}, {destination: {host: b}}]}]", "tcp[0].route", "weight above 0"),
        ("tcp: [{route: [{destination: {host: a}, weight: -2}]}]", "tcp[0].route[0].weight", "negative"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("VirtualService", f"hosts: ['*.a.com']\n{spec}", path, part)


def test_an_ip_address_as_a_server_name_is_warned_about(expect: Callable[..., None]) -> None:
    spec = f"hosts: ['*.a.com']\ntls: [{{match: [{{sniHosts: [10.0.0.1]}}], {ROUTE}}}]"
    expect("VirtualService", spec, "tls[0].match[0].sniHosts[0]", "no IP address", "warning")


def test_a_gateway_may_route_the_names_that_istio_makes(judge: Callable[..., list[object]]) -> None:
    name = "outbound_.80_._.a.example.com"
    spec = f"hosts: [{name}]\ngateways: [edge]\ntls: [{{match: [{{sniHosts: [{name}]}}], {ROUTE}}}]"
    assert judge("VirtualService", spec) == []


def test_a_name_that_only_looks_like_those_is_wrong(expect: Callable[..., None]) -> None:
    tls = f"tls: [{{match: [{{sniHosts: [b.com]}}], {ROUTE}}}]"
    expect(
        "VirtualService", f"hosts: [outbound_.x_._.a, b.com]\ngateways: [edge]\n{tls}", "hosts[0]", "not of the form"
    )
