from collections.abc import Callable

import pytest

from pyproxy.istio.rules.listener_names import check_gateway_host, check_sidecar_host
from pyproxy.istio.rules.place import Finding, Place


def wrong(check: Callable[[str, Place], None], host: str) -> bool:
    findings: list[Finding] = []
    check(host, Place(findings))
    return findings != []


@pytest.mark.parametrize("host", ["*", "a.com", "*.a.com", "shop/a.com", "./a.com", "*/a.com", "10.0.0.1", "a.com."])
def test_hosts_of_gateways(host: str) -> None:
    assert not wrong(check_gateway_host, host)


@pytest.mark.parametrize("host", ["", "reviews", "shop/", "/a.com", "a_b/a.com", "*a.com", "a.*.com", "~/a.com"])
def test_what_is_no_host_of_a_gateway(host: str) -> None:
    assert wrong(check_gateway_host, host)


@pytest.mark.parametrize("host", ["*/*", "./*", "shop/a.com", "~shop/*", "~/*.a.com", "~*/a.com"])
def test_hosts_of_sidecars(host: str) -> None:
    assert not wrong(check_sidecar_host, host)


@pytest.mark.parametrize("host", ["", "*", "a.com", "./reviews", "./10.0.0.1", "a b/*", "/*", "./*a.com"])
def test_what_is_no_host_of_a_sidecar(host: str) -> None:
    assert wrong(check_sidecar_host, host)
