"""Trust domain aliases in principals. Cases of Istio pilot/pkg/security/trustdomain/bundle_test.go, retold."""

from __future__ import annotations

import pytest

from pyproxy.snapshot.trust_domains import TrustDomains


@pytest.mark.parametrize(
    ("domains", "principal", "meant"),
    [
        (("td1",), "td1/ns/foo/sa/bar", ["td1/ns/foo/sa/bar"]),
        (("td2", "td1"), "td1/ns/foo/sa/bar", ["td2/ns/foo/sa/bar", "td1/ns/foo/sa/bar"]),
        (("td2", "td1"), "cluster.local/ns/foo/sa/bar", ["td2/ns/foo/sa/bar", "td1/ns/foo/sa/bar"]),
        (("td2", "td1"), "other/ns/foo/sa/bar", ["other/ns/foo/sa/bar"]),
        (("td2", "td1"), "*/ns/foo/sa/bar", ["*/ns/foo/sa/bar"]),
        (("td2", "td1"), "*", ["*"]),
        (("td2", "td1"), "td1/ns/foo/sa", ["td1/ns/foo/sa"]),
        (("new-td", "old-td"), "*-td/ns/foo/sa/bar", ["*-td/ns/foo/sa/bar"]),
        (("td1", "some-td"), "*-td/ns/foo/sa/bar", ["td1/ns/foo/sa/bar", "*-td/ns/foo/sa/bar"]),
    ],
)
def test_a_principal_stands_for_itself_in_every_trust_domain_of_ours(
    domains: tuple[str, ...], principal: str, meant: list[str]
) -> None:
    assert list(TrustDomains(domains).of_principals([principal])) == meant


def test_a_trust_domain_of_ours_stands_for_all_of_them() -> None:
    ours = TrustDomains(("a", "b"))
    assert ours.expand(["b", "c", "a"]) == ("a", "b", "c")
