from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.http import Headers, RequestHead
from pyproxy.policy.token_places import DEFAULT_PLACES, TokenPlaces, find_tokens, take_away


def head(target: bytes = b"/", *headers: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead(b"GET", target, b"here", list(headers))


def bearer(value: bytes) -> tuple[bytes, bytes]:
    return b"authorization", value


def found(places: TokenPlaces, target: bytes, *headers: tuple[bytes, bytes]) -> list[bytes]:
    return find_tokens(places, head(target, *headers))


def test_without_places_the_usual_two_are_looked_at() -> None:
    assert found(DEFAULT_PLACES, b"/") == []
    assert found(DEFAULT_PLACES, b"/?access_token=b", bearer(b"Bearer a.b.c")) == [b"a.b.c", b"b"]
    assert found(DEFAULT_PLACES, b"/", bearer(b"Basic eDp5")) == []
    assert found(DEFAULT_PLACES, b"/", bearer(b"bearer a")) == []
    assert found(DEFAULT_PLACES, b"/access_token=b") == []


def test_a_prefix_counts_wherever_it_stands() -> None:
    assert found(DEFAULT_PLACES, b"/", bearer(b"x Bearer   a.b.c more")) == [b"a.b.c more"]
    assert found(DEFAULT_PLACES, b"/", bearer(b"Bearer <a>")) == [b"a>"]
    assert found(DEFAULT_PLACES, b"/", bearer(b"Bearer <>")) == [b"Bearer <>"]


def test_two_lines_of_authorization_are_one_that_is_broken() -> None:
    assert found(DEFAULT_PLACES, b"/", bearer(b"Bearer a"), bearer(b"Bearer b")) == [b"a,Bearer b"]


def test_other_headers_are_looked_at_line_by_line() -> None:
    places = TokenPlaces(headers=((b"x-token", b""), (b"x-token", b"p ")))
    assert found(places, b"/", (b"x-token", b"a"), (b"x-token", b"p b")) == [b"a", b"p b", b"b"]


def test_of_parameters_the_first_counts_and_without_percent_signs() -> None:
    places = TokenPlaces(params=(b"t", b"u v"))
    assert found(places, b"/?t=a%2Eb&t=c&u%20v=d&u=e&t") == [b"a.b", b"d"]
    assert found(places, b"/?t") == [b""]
    assert found(places, b"/?x=t=a") == []


def test_cookies() -> None:
    places = TokenPlaces(cookies=(b"a", b"b"))
    lines = ((b"cookie", b'x=1;  b="two"; a=1; a=3'), (b"cookie", b"bad; b=late"))
    assert found(places, b"/", *lines) == [b"1", b"two"]
    assert found(places, b"/", *reversed(lines)) == [b"1", b"late"]
    assert found(places, b"/", (b"cookie", b"ab=1")) == []


def test_what_is_taken_away_and_what_stays() -> None:
    request = head(
        b"/p?x=%31&access_token=t&y&access%5Ftoken=u",
        bearer(b"Bearer t"),
        (b"cookie", b"access_token=t"),
        (b"x-authorization", b"Bearer t"),
    )
    take_away(DEFAULT_PLACES, request)
    assert request.target == b"/p?x=%31&y"
    assert request.headers == [(b"cookie", b"access_token=t"), (b"x-authorization", b"Bearer t")]


def test_a_query_of_tokens_alone_goes_with_its_mark() -> None:
    request = head(b"/p?access_token=t")
    take_away(DEFAULT_PLACES, request)
    assert request.target == b"/p"


def test_a_header_that_has_no_token_stays() -> None:
    request = head(b"/?access_token=t", bearer(b"Basic eDp5"))
    take_away(DEFAULT_PLACES, request)
    assert request.headers == [bearer(b"Basic eDp5")]


NAMES = st.sampled_from([b"access_token", b"t", b"T", b"other", b"", b"a b"])
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=("Cc",)), max_size=12).map(str.encode)
PLACES = TokenPlaces(headers=((b"t", b""), (b"authorization", b"Bearer ")), params=(b"T", b"access_token"))


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.lists(st.tuples(st.sampled_from([b"authorization", b"t", b"other"]), VALUES), max_size=4),
)
def test_what_was_found_is_gone_when_it_was_taken_away(query: list[tuple[bytes, bytes]], headers: Headers) -> None:
    encoded = b"&".join(quote(name).encode() + b"=" + quote(value).encode() for name, value in query)
    request = head(b"/?" + encoded, *headers)
    tokens = find_tokens(PLACES, request)
    first = dict(reversed(query))
    expected = [first[name] for name in (b"T", b"access_token") if name in first]
    assert tokens[len(tokens) - len(expected) :] == expected
    take_away(PLACES, request)
    assert find_tokens(PLACES, request) == []
    kept = [part for part, (name, _) in zip(encoded.split(b"&"), query, strict=False) if name not in PLACES.params]
    if query:
        assert request.target == (b"/?" + b"&".join(kept) if kept else b"/")
