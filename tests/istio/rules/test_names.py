import pytest

from pyproxy.istio.rules.names import (
    fqdn_problem,
    host_within,
    hosts_overlap,
    ip_block_problem,
    is_dns_label,
    is_ip_address,
    label_problem,
    partial_wildcard_problem,
    sni_domain_problem,
    unix_address_problem,
    wildcard_domain_problem,
)


@pytest.mark.parametrize("text", ["a", "A-1", "1", "a" * 63])
def test_dns_labels(text: str) -> None:
    assert is_dns_label(text)


@pytest.mark.parametrize("text", ["", "-a", "a-", "a.b", "a_b", "ä", "a" * 64, "a\n"])
def test_what_is_no_dns_label(text: str) -> None:
    assert not is_dns_label(text)


@pytest.mark.parametrize("domain", ["a", "a.b.c", "a.b.", "A.b1", "1.a", "a.b-1"])
def test_host_names(domain: str) -> None:
    assert fqdn_problem(domain) is None
    assert wildcard_domain_problem(domain) is None


@pytest.mark.parametrize("domain", ["", "a..b", ".a", "a.1", "10.0.0.1", "a_b", "a b", "a." * 130, "*.*", "a.*", "**"])
def test_what_is_no_host_name(domain: str) -> None:
    assert fqdn_problem(domain) is not None
    assert wildcard_domain_problem(domain) is not None


@pytest.mark.parametrize("domain", ["*", "*.a.b", "*a.b", "*-a.b"])
def test_wildcards_stand_in_the_first_label_only(domain: str) -> None:
    assert wildcard_domain_problem(domain) is None
    assert fqdn_problem(domain) is not None


@pytest.mark.parametrize(
    ("domain", "partial"), [("*", False), ("*.a", False), ("a", False), ("*a.b", True), ("*-a.b", True)]
)
def test_partial_wildcards(domain: str, partial: bool) -> None:
    assert (partial_wildcard_problem(domain) is not None) == partial


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("foo.com", "foo.com", True),
        ("foo.com", "bar.com", False),
        ("*.com", "foo.com", True),
        ("*.foo.com", "foo.com", False),
        ("*", "foo.com", True),
        ("*", "*.com", True),
        ("*.foo.com", "*.com", True),
        ("*.foo.com", "*.bar.com", False),
    ],
)
def test_overlapping_hosts(one: str, other: str, overlap: bool) -> None:
    assert hosts_overlap(one, other) == overlap
    assert hosts_overlap(other, one) == overlap


@pytest.mark.parametrize(
    ("narrow", "wide", "within"),
    [
        ("a.foo.com", "*.foo.com", True),
        ("*.foo.com", "a.foo.com", False),
        ("*.a.foo.com", "*.foo.com", True),
        ("*.foo.com", "*.a.foo.com", False),
        ("foo.com", "*.foo.com", False),
        ("foo.com", "foo.com", True),
    ],
)
def test_hosts_within_others(narrow: str, wide: str, within: bool) -> None:
    assert host_within(narrow, wide) == within


@pytest.mark.parametrize("text", ["10.0.0.1", "::1", "fe80::1%eth0"])
def test_addresses(text: str) -> None:
    assert is_ip_address(text)


@pytest.mark.parametrize("text", ["10.0.0.0/8", "10.1.2.3/16", "2001:db8::/32", "10.0.0.1", "0.0.0.0/0"])
def test_blocks(text: str) -> None:
    assert ip_block_problem(text) is None


@pytest.mark.parametrize(
    "text", ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/255.0.0.0", "a/8", "::/129", "1.2.3"]
)
def test_what_is_no_block(text: str) -> None:
    assert ip_block_problem(text) is not None


@pytest.mark.parametrize(
    ("key", "value"), [("app", "a"), ("a.b/c_d", ""), ("x" * 63, "A-1_b.c"), ("topology.kubernetes.io/zone", "z")]
)
def test_labels(key: str, value: str) -> None:
    assert label_problem(key, value) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [("", "a"), ("a/b/c", "d"), ("-a", "b"), ("x" * 64, "a"), ("a", "-b"), ("a", "b c"), ("a", "x" * 64)],
)
def test_what_is_no_label(key: str, value: str) -> None:
    assert label_problem(key, value) is not None


@pytest.mark.parametrize(
    ("address", "right"), [("/run/a.sock", True), ("@abstract", True), ("/run/", False), ("run/a", False), ("", False)]
)
def test_unix_sockets(address: str, right: bool) -> None:
    assert (unix_address_problem(address) is None) == right


def test_the_server_names_that_istio_makes() -> None:
    assert sni_domain_problem("outbound_.80_.v1_.a.example.com") is None
    assert sni_domain_problem("outbound_.80") is not None
    assert sni_domain_problem("*.example.com") is None
