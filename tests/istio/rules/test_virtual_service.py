from collections.abc import Callable

import pytest

ROUTE = "http: [{route: [{destination: {host: a}}]}]"


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ("hosts: [a]", "spec", "has no routes"),
        (f"hosts: [a_b.example.com]\n{ROUTE}", "hosts[0]", "not a host name"),
        (f"hosts: [10.0.0.300]\n{ROUTE}", "hosts[0]", "may not be a number"),
        (f"hosts: [a, '*']\n{ROUTE}", "hosts[1]", "none is mesh"),
        (f"hosts: ['*.b.com', a.b.com]\n{ROUTE}", "hosts[1]", "a.b.com overlaps with *.b.com"),
        (f"hosts: ['*.b.com', '*.a.b.com']\n{ROUTE}", "hosts[1]", "overlaps"),
        (f"hosts: [a, a]\n{ROUTE}", "hosts[1]", "overlaps"),
        (f"hosts: [a]\ngateways: [ns/]\n{ROUTE}", "gateways[0]", '"" must be letters'),
        (f"hosts: [a]\ngateways: [n_s/gw]\n{ROUTE}", "gateways[0]", '"n_s" must be letters'),
        (f"gateways: [gw]\n{ROUTE}", "gateways", "is a delegate"),
        (f"hosts: [a]\nexportTo: ['*', b]\n{ROUTE}", "exportTo", "must stand alone"),
        (f"hosts: [a]\nexportTo: [b, b]\n{ROUTE}", "exportTo[1]", "there twice"),
        (f"hosts: [a]\nexportTo: ['.', default]\n{ROUTE}", "exportTo[1]", "there twice"),
        (f"hosts: [a]\nexportTo: ['~']\n{ROUTE}", "exportTo[0]", "none of what is accepted"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("VirtualService", spec, path, part)


@pytest.mark.parametrize(
    "spec",
    [
        f"hosts: ['*']\ngateways: [edge]\n{ROUTE}",
        f"hosts: [10.0.0.1]\n{ROUTE}",
        f"hosts: ['*.b.com', b.com]\n{ROUTE}",
        f"hosts: [example.com.]\n{ROUTE}",
        f"hosts: ['*-a.b.com', A.example.com]\n{ROUTE}",
        f"{ROUTE}",
    ],
)
def test_what_is_unusual_but_right_passes(judge: Callable[..., list[object]], spec: str) -> None:
    assert judge("VirtualService", spec) == []


def test_claims_are_matched_only_where_every_gateway_is_named(expect: Callable[..., None]) -> None:
    spec = "hosts: [a.com]\ngateways: [%s]\nhttp: [{match: [{headers: {'@request.auth.claims.sub': {exact: a}}}], %s"
    route = "route: [{destination: {host: a}}]}]"
    expect(
        "VirtualService",
        spec % ("edge, mesh", route),
        'http[0].match[0].headers["@request.auth.claims.sub"]',
        "gateways",
    )


def test_a_dotted_gateway_name_is_warned_about(expect: Callable[..., None]) -> None:
    spec = f"hosts: [a]\ngateways: [gw.shop.svc.cluster.local]\n{ROUTE}"
    expect("VirtualService", spec, "gateways[0]", "write shop/gw", "warning")
