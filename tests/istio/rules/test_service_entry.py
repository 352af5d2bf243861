from collections.abc import Callable

import pytest

HTTP = "ports: [{number: 80, name: http, protocol: HTTP}]"


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ("hosts: []", "hosts", "at least one host"),
        ("hosts: ['*']", "hosts[0]", "* is not accepted"),
        ("hosts: [a b]", "hosts[0]", "not a host name"),
        ("hosts: [a]\naddresses: [1.2.3]", "addresses[0]", "not an IP address"),
        ("hosts: [a]\naddresses: [10.0.0.0/8]\nresolution: DNS", "addresses[0]", "takes no blocks"),
        (
            "hosts: [a]\nresolution: STATIC\nworkloadSelector: {labels: {a: b}}\nendpoints: [{address: 1.2.3.4}]",
            "spec",
            "exclude each other",
        ),
        ("hosts: [a]\nendpoints: [{address: 1.2.3.4}]", "endpoints", "NONE, the default, takes none"),
        (
            "hosts: [a]\nresolution: STATIC\nendpoints: [{address: b.com}]",
            "endpoints[0].address",
            "needs resolution: DNS",
        ),
        ("hosts: [a]\nresolution: STATIC\nendpoints: [{}]", "endpoints[0]", "address is required"),
        (
            "hosts: [a]\nresolution: STATIC\nendpoints: [{address: 'unix://a'}]\n" + HTTP,
            "endpoints[0].address",
            "not a socket",
        ),
        (
            "hosts: [a]\nresolution: STATIC\nendpoints: [{address: 'unix:///a'}]",
            "endpoints[0].address",
            "exactly one port",
        ),
        (
            f"hosts: [a]\nresolution: STATIC\nendpoints: [{{address: 1.2.3.4, ports: {{web: 1}}}}]\n{HTTP}",
            "endpoints[0].ports.web",
            "accepted are http",
        ),
        (
            f"hosts: [a]\nresolution: DNS\nendpoints: [{{address: 1.2.3.4, ports: {{http: 0}}}}]\n{HTTP}",
            "endpoints[0].ports.http",
            "1 to 65535",
        ),
        (
            "hosts: [a]\nresolution: DNS\nendpoints: [{address: 'b c'}]",
            "endpoints[0].address",
            "neither an IP address nor",
        ),
        ("hosts: ['*.a']\nresolution: DNS", "hosts[0]", "resolves the host itself"),
        (
            "hosts: [a]\nresolution: DNS_ROUND_ROBIN\nendpoints: [{address: b}, {address: c}]",
            "endpoints",
            "one at most",
        ),
        ("hosts: [a.b]\nresolution: DYNAMIC_DNS", "hosts[0]", "wildcards only"),
        ("hosts: ['*.b']\naddresses: [1.2.3.4]\nresolution: DYNAMIC_DNS", "addresses", "DYNAMIC_DNS excludes it"),
        (
            "hosts: ['*.b']\nports: [{number: 1, name: a, protocol: TCP}]\nresolution: DYNAMIC_DNS",
            "ports[0].protocol",
            "TLS only",
        ),
        (
            "hosts: [a, b]\nports: [{number: 1, name: a, protocol: TCP}]\nresolution: DNS",
            "ports[0]",
            "cannot tell them apart",
        ),
        (f"hosts: [a]\n{HTTP[:-1]}, {{number: 80, name: b, protocol: HTTP}}]", "ports[1].number", "there twice"),
        (f"hosts: [a]\n{HTTP[:-1]}, {{number: 81, name: http, protocol: HTTP}}]", "ports[1].name", "there twice"),
        ("hosts: [a]\nports: [{number: 80, name: a.b, protocol: HTTP}]", "ports[0].name", "letters, digits"),
        ("hosts: [a]\nports: [{number: 80, name: a, protocol: SPDY}]", "ports[0].protocol", "accepted are GRPC"),
        (
            "hosts: [a]\nports: [{number: 80, name: a, protocol: HTTP, targetPort: 70000}]",
            "ports[0].targetPort",
            "65535",
        ),
        ("hosts: [a]\nexportTo: ['~', a]", "exportTo", "nobody"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("ServiceEntry", spec, path, part)


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ("hosts: ['*a.b']", "hosts[0]", "partial wildcard"),
        ("hosts: [a]\nworkloadSelector: {labels: {a: b}}", "workloadSelector", "selects nothing"),
        ("hosts: [a]\nresolution: STATIC\nworkloadSelector: {}", "workloadSelector", "selects every workload"),
        ("hosts: [a]\nports: [{number: 1, name: a}]", "ports[0]", "takes every address"),
        (
            "hosts: [a, b]\naddresses: [1.2.3.4]\nresolution: DNS\nports: [{number: 1, name: a, protocol: TLS}]",
            "hosts",
            "share their addresses",
        ),
        ("hosts: [a]\nresolution: STATIC\nendpoints: [{network: far}]", "endpoints[0]", "gateway of network far"),
    ],
)
def test_what_istio_takes_but_warns_about(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("ServiceEntry", spec, path, part, "warning")


def test_lists_have_a_greatest_length(expect: Callable[..., None]) -> None:
    hosts = ", ".join(f"h{n}.example.com" for n in range(257))
    expect("ServiceEntry", f"hosts: [{hosts}]", "hosts", "256 at most, not 257")


def test_tcp_has_an_address_unless_its_allocation_is_switched_off(judge: Callable[..., list[object]]) -> None:
    spec = "hosts: [a]\nresolution: STATIC\nports: [{number: 1, name: a, protocol: TCP}]"
    off = 'labels: {networking.istio.io/enable-autoallocate-ip: "false"}'
    assert judge("ServiceEntry", spec) == []
    assert len(judge("ServiceEntry", spec, off)) == 1
