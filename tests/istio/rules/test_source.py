import pytest

from pyproxy.istio.rules.place import Finding, Place
from pyproxy.istio.rules.source import check_gateway_names


@pytest.mark.parametrize(
    ("gateway", "found"),
    [
        ("mesh", []),
        ("edge", []),
        ("shop/edge", []),
        ("./edge", ["error"]),
        ("/edge", ["error"]),
        ("a/b/c", ["error"]),
        ("a_b", ["error"]),
        ("edge.shop.svc", ["warning"]),
        ("edge.shop.7", ["error", "warning"]),
    ],
)
def test_gateways_are_named_alone_or_with_their_namespace(gateway: str, found: list[str]) -> None:
    findings: list[Finding] = []
    check_gateway_names([gateway], Place(findings))
    assert [finding.severity for finding in findings] == found
