"""What of a request is hashed. That the hashes are Envoy's is shown in tests/differential."""

from __future__ import annotations

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.http import Headers, RequestHead
from pyproxy.policy.hashing import (
    HashKind,
    HashPolicy,
    cookie_value,
    query_parameter,
    request_hash,
    set_cookie,
)

HEADER = HashPolicy(HashKind.HEADER, b"x-user")
QUERY = HashPolicy(HashKind.QUERY, b"user")
SOURCE = HashPolicy(HashKind.SOURCE_IP)


def head(target: bytes = b"/", headers: Headers | None = None) -> RequestHead:
    return RequestHead(b"GET", target, b"shop.example", headers or [])


def hash_of(*policies: HashPolicy, request: RequestHead | None = None, source: bytes = b"10.1.2.3") -> int | None:
    return request_hash(policies, request or head(), source, b"")[0]


def xxh(text: bytes) -> int:
    return xxhash.xxh64_intdigest(text)


def test_a_header_is_hashed_as_it_is() -> None:
    assert hash_of(HEADER, request=head(headers=[(b"x-user", b"anna")])) == xxh(b"anna")


def test_an_empty_header_has_a_hash_and_a_missing_one_has_none() -> None:
    assert hash_of(HEADER, request=head(headers=[(b"x-user", b"")])) == xxh(b"")
    assert hash_of(HEADER) is None


def test_a_repeated_header_is_hashed_in_sorted_order_each_value_from_the_hash_before() -> None:
    one = head(headers=[(b"x-user", b"b"), (b"x-user", b"a")])
    other = head(headers=[(b"x-user", b"a"), (b"x-user", b"b")])

    assert hash_of(HEADER, request=one) == hash_of(HEADER, request=other)
    assert hash_of(HEADER, request=one) == xxhash.xxh64_intdigest(b"b", xxh(b"a"))


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"host", b"shop.example"), (b":authority", b"shop.example"), (b":path", b"/a?b=c"), (b":method", b"GET")],
)
def test_what_the_request_line_says_counts_as_headers(name: bytes, value: bytes) -> None:
    assert hash_of(HashPolicy(HashKind.HEADER, name), request=head(b"/a?b=c")) == xxh(value)


def test_the_source_address_is_hashed_as_text() -> None:
    assert hash_of(SOURCE) == xxh(b"10.1.2.3")
    assert hash_of(SOURCE, source=b"") is None


@pytest.mark.parametrize(
    ("query", "value"),
    [
        (b"", None),
        (b"?", None),
        (b"?user=1", b"1"),
        (b"?a=b&user=1&user=2", b"1"),
        (b"?user", b""),
        (b"?user=", b""),
        (b"?user=a=b", b"a=b"),
        (b"?user=%31", b"%31"),
        (b"?User=1", None),
        (b"?&&user=1", b"1"),
        (b"?x=user=1", None),
    ],
)
def test_a_query_parameter_is_taken_as_it_is_written(query: bytes, value: bytes | None) -> None:
    assert query_parameter(b"/path" + query, b"user") == value


@pytest.mark.parametrize(
    ("cookie", "value"),
    [
        (b"", b""),
        (b"sticky=a", b"a"),
        (b"x=y;sticky=a", b"a"),
        (b"x=y;   sticky=a; sticky=b", b"a"),
        (b'sticky="a"', b"a"),
        (b'sticky="', b'"'),
        (b"sticky", b""),
        (b"sticky =a", b""),
        (b"sticky= a", b" a"),
        (b"notsticky=a", b""),
        (b"sticky=a=b", b"a=b"),
    ],
)
def test_a_cookie_is_found_among_others(cookie: bytes, value: bytes) -> None:
    assert cookie_value(head(headers=[(b"cookie", cookie)]), b"sticky") == value


def test_cookies_may_come_in_several_headers() -> None:
    assert cookie_value(head(headers=[(b"cookie", b"a=b"), (b"cookie", b"sticky=c")]), b"sticky") == b"c"


def test_a_missing_cookie_with_a_ttl_is_made_from_the_connection() -> None:
    policy = HashPolicy(HashKind.COOKIE, b"sticky", "/p", 3600.0)
    ends = b"127.0.0.1:5000127.0.0.1:80"

    value, cookies = request_hash([policy], head(), b"", ends)

    made = b"%016x" % xxh(ends)
    assert cookies == (b'sticky="%s"; Max-Age=3600; Path=/p; HttpOnly' % made,)
    assert value == xxh(made)


def test_an_empty_cookie_counts_as_missing() -> None:
    policy = HashPolicy(HashKind.COOKIE, b"sticky", "", 0.0)

    _, cookies = request_hash([policy], head(headers=[(b"cookie", b"sticky=")]), b"", b"ends")

    assert len(cookies) == 1


def test_a_missing_cookie_without_a_ttl_is_not_made() -> None:
    assert request_hash([HashPolicy(HashKind.COOKIE, b"sticky")], head(), b"", b"ends") == (None, ())


def test_a_cookie_that_is_there_is_not_made_again() -> None:
    policy = HashPolicy(HashKind.COOKIE, b"sticky", "", 60.0)

    assert request_hash([policy], head(headers=[(b"cookie", b"sticky=x")]), b"", b"ends") == (xxh(b"x"), ())


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (HashPolicy(HashKind.COOKIE, b"c", "", 0.0), b'c="v"; HttpOnly'),
        (HashPolicy(HashKind.COOKIE, b"c", "", 0.9), b'c="v"; HttpOnly'),
        (HashPolicy(HashKind.COOKIE, b"c", "/", 1.9), b'c="v"; Max-Age=1; Path=/; HttpOnly'),
        (
            HashPolicy(HashKind.COOKIE, b"c", "", 0.0, (("SameSite", "Lax"), ("Secure", ""))),
            b'c="v"; SameSite=Lax; Secure; HttpOnly',
        ),
    ],
)
def test_a_cookie_is_written_as_envoy_writes_it(policy: HashPolicy, text: bytes) -> None:
    assert set_cookie(policy, b"v") == text


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=5))
def test_several_policies_turn_and_combine(values: list[bytes]) -> None:
    policies = [HashPolicy(HashKind.HEADER, b"x-%d" % number) for number in range(len(values))]
    request = head(headers=[(b"x-%d" % number, value) for number, value in enumerate(values)])

    found = hash_of(*policies, HashPolicy(HashKind.HEADER, b"x-none"), request=request)

    expected = xxh(values[0])
    for value in values[1:]:
        bits = f"{expected:064b}"
        expected = int(bits[1:] + bits[0], 2) ^ xxh(value)
    assert found == expected
