import pytest

from pyproxy.istio.networking.virtual_service import Destination
from pyproxy.istio.rules.destination import check_destination
from pyproxy.istio.rules.place import Finding, Place


@pytest.mark.parametrize(
    ("host", "subset", "paths"),
    [
        ("reviews", None, []),
        ("*.example.com", "v1", []),
        ("*", None, [("host",)]),
        ("a b", "v.1", [("host",), ("subset",)]),
        ("a", "", []),
    ],
)
def test_a_destination_is_one_service(host: str, subset: str | None, paths: list[tuple[str, ...]]) -> None:
    findings: list[Finding] = []
    check_destination(Destination(host=host, subset=subset), Place(findings))
    assert [finding.path for finding in findings] == paths
