import pytest

from pyproxy.core.spiffe import SpiffeId, parse_spiffe, trust_domain_of, workload_identity


def test_an_identity_is_written_as_istio_writes_it() -> None:
    identity = workload_identity("cluster.local", "default", "bookinfo-reviews")
    assert str(identity) == "spiffe://cluster.local/ns/default/sa/bookinfo-reviews"
    assert identity.principal == "cluster.local/ns/default/sa/bookinfo-reviews"


def test_an_at_sign_in_a_trust_domain_becomes_a_dot() -> None:
    assert workload_identity("me@corp", "a", "b").trust_domain == "me.corp"


def test_what_was_written_is_read_again() -> None:
    identity = SpiffeId("td", "ns1", "sa1")
    assert parse_spiffe(str(identity)) == identity


@pytest.mark.parametrize(
    "uri",
    ["", "https://cluster.local/ns/a/sa/b", "spiffe://td", "spiffe://td/ns/a", "spiffe://td/ns//sa/b", "spiffe://td/x/a/sa/b",
     "spiffe://td/ns/a/sa/b/c"],
)  # fmt: skip
def test_other_texts_are_no_identity(uri: str) -> None:
    assert parse_spiffe(uri) is None


def test_the_trust_domain_of_any_spiffe_uri_is_known() -> None:
    assert trust_domain_of("spiffe://td/anything") == "td"
    assert trust_domain_of("https://td/") == ""
