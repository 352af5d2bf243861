from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.policy.jws import EXPIRED, NOT_A_TOKEN, NOT_YET, TokenError, parse_token
from tests.tokens import encoded, signing_key, token

KEY = signing_key("ES256")


def refusal(text: str | bytes) -> str:
    with pytest.raises(TokenError) as caught:
        parse_token(text.encode() if isinstance(text, str) else text)
    return str(caught.value)


def test_a_token_is_taken_apart() -> None:
    claims = {"iss": "me", "sub": "you", "aud": ["a", "b"], "exp": 10, "nbf": 5.9, "more": {"deep": [1]}}
    text = token(claims, KEY)
    found = parse_token(text.encode())
    assert (found.algorithm, found.key_id, found.issuer, found.subject) == ("ES256", "first", "me", "you")
    assert (found.audiences, found.expires, found.not_before) == (("a", "b"), 10, 5)
    assert found.claims == claims
    assert found.payload.decode() == text.split(".")[1]
    assert found.signed.decode() == text.rpartition(".")[0]
    assert len(found.signature) == 64


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a", "a.b", "a.b.c.d", "Bearer x", f"{encoded({'alg': 'none'})}.{encoded({})}."]
)
def test_three_sections_make_a_token(text: str) -> None:
    assert refusal(text) == NOT_A_TOKEN


HEADERS = {
    "an array": ([1], "Jwt header is an invalid JSON"),
    "no JSON": ("{", "Jwt header is an invalid JSON"),
    "no text": (b"\xff\xfe", "Jwt header is an invalid JSON"),
    "no algorithm": ({}, "Jwt header [alg] field is required and must be a string"),
    "a number as algorithm": ({"alg": 1}, "Jwt header [alg] field is required and must be a string"),
    "none": ({"alg": "none"}, "Jwt header [alg] is not supported"),
    "None": ({"alg": "None"}, "Jwt header [alg] is not supported"),
    "an algorithm nobody knows": ({"alg": "RS255"}, "Jwt header [alg] is not supported"),
    "ES256K": ({"alg": "ES256K"}, "Jwt header [alg] is not supported"),
    "a number as key id": ({"alg": "RS256", "kid": 1}, "Jwt header [kid] field is not a string"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_is_wrong_is_named(name: str) -> None:
    header, said = HEADERS[name]
    assert refusal(f"{encoded(header)}.{encoded({})}.AAAA") == said  # type: ignore[arg-type]


PAYLOADS = {
    "an array": ([1], "Jwt payload is an invalid JSON"),
    "no JSON": ("{'a': 1}", "Jwt payload is an invalid JSON"),
    "NaN": ('{"a": NaN}', "Jwt payload is an invalid JSON"),
    "half a surrogate pair": ('{"a": "\\ud800"}', "Jwt payload is an invalid JSON"),
    "endless brackets": ("[" * 100_000, "Jwt payload is an invalid JSON"),
    "a whole number that no double holds": ('{"a": ' + "9" * 400 + "}", "Jwt payload is an invalid JSON"),
    "a fraction that no double holds": ('{"a": -1e999}', "Jwt payload is an invalid JSON"),
    "an endless number": ('{"a": ' + "1" * 5000 + "}", "Jwt payload is an invalid JSON"),
    "a name twice": ('{"iss": "a", "iss": "b"}', "Jwt payload is an invalid JSON"),
    "a name twice inside": ('{"a": [{"b": 1, "b": 1}]}', "Jwt payload is an invalid JSON"),
    "issuer": ({"iss": 1}, "Jwt payload [iss] field is not a string"),
    "subject": ({"sub": ["a"]}, "Jwt payload [sub] field is not a string"),
    "identifier": ({"jti": {}}, "Jwt payload [jti] field is not a string"),
    "audience": ({"aud": 1}, "Jwt payload [aud] field is not a string or string list"),
    "audiences": ({"aud": ["a", 1]}, "Jwt payload [aud] field is not a string or string list"),
    "issued as text": ({"iat": "1"}, "Jwt payload [iat] field is not an integer"),
    "issued below zero": ({"iat": -1}, "Jwt payload [iat] field is not a positive 64 bit integer"),
    "not before as text": ({"nbf": "1"}, "Jwt payload [nbf] field is not an integer"),
    "not before beyond 64 bits": ({"nbf": 2**64}, "Jwt payload [nbf] field is not a positive 64 bit integer"),
    "expiry as text": ({"exp": "1"}, "Jwt payload [exp] field is not an integer"),
    "expiry as truth": ({"exp": True}, "Jwt payload [exp] field is not an integer"),
    "expiry null": ({"exp": None}, "Jwt payload [exp] field is not an integer"),
    "expiry below zero": ({"exp": -1}, "Jwt payload [exp] field is not a positive 64 bit integer"),
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_that_is_wrong_is_named(name: str) -> None:
    payload, said = PAYLOADS[name]
    assert refusal(f"{encoded({'alg': 'RS256'})}.{encoded(payload)}.AAAA") == said  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (("!", "AA", "AA"), "Jwt header is an invalid Base64url encoded"),
        (("a+b/", "AA", "AA"), "Jwt header is an invalid Base64url encoded"),
        (("{h}", "A", "AA"), "Jwt payload is an invalid Base64url encoded"),
        (("{h}", "AA=", "AA"), "Jwt payload is an invalid Base64url encoded"),
        (("{h}", "{p}", "A"), "Jwt signature is an invalid Base64url encoded"),
        (("{h}", "{p}", "AA===="), "Jwt signature is an invalid Base64url encoded"),
        (("{h}", "{p}", "A%41"), "Jwt signature is an invalid Base64url encoded"),
    ],
)
def test_a_section_that_is_no_base64url_is_named(sections: tuple[str, str, str], said: str) -> None:
    known = {"h": encoded({"alg": "RS256"}), "p": encoded({})}
    assert refusal(".".join(section.format(**known) for section in sections)) == said


def test_padding_is_let_pass() -> None:
    parse_token(f"{encoded({'alg': 'RS256'})}.{encoded({'a': 1})}=.AA==".replace("=.", ".").encode())


@pytest.mark.parametrize(
    ("claims", "now", "said"),
    [
        ({}, 0, ""),
        ({"exp": 0}, 1e9, ""),
        ({"exp": 1000}, 1060.9, ""),
        ({"exp": 1000}, 1061, EXPIRED),
        ({"nbf": 1000}, 940, ""),
        ({"nbf": 1000}, 939.9, NOT_YET),
        ({"nbf": 1000, "exp": 500}, 900, NOT_YET),
    ],
)
def test_clocks_may_differ_by_a_minute(claims: dict[str, int], now: float, said: str) -> None:
    found = parse_token(token(claims, KEY).encode())
    if not said:
        found.check_time(now)
        return
    with pytest.raises(TokenError, match=said):
        found.check_time(now)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_stumble(text: bytes) -> None:
    try:
        parse_token(text)
    except TokenError as error:
        assert str(error).startswith("Jwt ")


@given(st.lists(st.binary(max_size=60), min_size=3, max_size=3))
def test_no_sections_make_it_stumble(sections: list[bytes]) -> None:
    try:
        parse_token(".".join(encoded(section) for section in sections).encode())
    except TokenError as error:
        assert str(error).startswith("Jwt ")
