from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("rule", "path", "part"),
    [
        ("{}", "", "issuer or jwksUri is required"),
        ("{issuer: '', jwksUri: 'https://a'}", ".issuer", "may not be empty"),
        ("{issuer: a, jwksUri: 'ftp://a'}", ".jwksUri", "http:// or https://"),
        ("{issuer: a, jwksUri: 'https://a:99999/'}", ".jwksUri", "http:// or https://"),
        ("{issuer: a, jwksUri: 'file://host/keys.json'}", ".jwksUri", "file:///path"),
        ("{issuer: a, jwksUri: 'file:///'}", ".jwksUri", "file:///path"),
        ("{issuer: a, jwksUri: 'keys.json?x'}", ".jwksUri", "file:///path"),
        ("{issuer: a, jwksUri: 'https://a', jwks: '{\"keys\": []}'}", "", "exclude each other"),
        ("{issuer: a, jwks: 'nothing'}", ".jwks", "not a JSON web key set"),
        ('{issuer: a, jwks: \'{"keys": [{"kty": "X"}]}\'}', ".jwks", "not a JSON web key set"),
        ("{issuer: a, audiences: ['']}", ".audiences[0]", "may not be empty"),
        ("{issuer: a, fromHeaders: [{name: ''}]}", ".fromHeaders[0].name", "is required"),
        ("{issuer: a, fromParams: ['']}", ".fromParams[0]", "may not be empty"),
        ("{issuer: a, fromCookies: ['']}", ".fromCookies[0]", "may not be empty"),
        (
            "{issuer: a, outputClaimToHeaders: [{header: 'x:y', claim: a}]}",
            ".outputClaimToHeaders[0].header",
            "letters",
        ),
        (
            "{issuer: a, outputClaimToHeaders: [{header: x, claim: ''}]}",
            ".outputClaimToHeaders[0].claim",
            "is required",
        ),
        ("{issuer: a, timeout: 0s}", ".timeout", "1ms"),
        ("{issuer: a, presence: SOMETIMES}", ".presence", "OPTIONAL, REQUIRED"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], rule: str, path: str, part: str) -> None:
    expect("RequestAuthentication", f"jwtRules: [{rule}]", f"jwtRules[0]{path}", part)


def test_a_private_key_is_warned_about(expect: Callable[..., None]) -> None:
    rule = '{issuer: a, jwks: \'{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB"}]}\'}'
    expect("RequestAuthentication", f"jwtRules: [{rule}]", "jwtRules[0].jwks", "private part", "warning")


def test_one_key_is_taken_and_is_no_set(expect: Callable[..., None]) -> None:
    rule = '{issuer: a, jwks: \'{"kty": "RSA", "n": "AQAB", "e": "AQAB"}\'}'
    expect("RequestAuthentication", f"jwtRules: [{rule}]", "jwtRules[0].jwks", "single key", "warning")


@pytest.mark.parametrize("uri", ["file:///keys.json", "/keys.json", "keys.json", "../keys/a b.json"])
def test_keys_may_be_in_a_file(judge: Callable[..., list[object]], uri: str) -> None:
    assert judge("RequestAuthentication", f"jwtRules: [{{issuer: a, jwksUri: '{uri}'}}]") == []


def test_the_older_name_of_jwks_uri_is_known(judge: Callable[..., list[object]]) -> None:
    assert judge("RequestAuthentication", "jwtRules: [{issuer: a, jwks_uri: 'https://a/keys'}]") == []
