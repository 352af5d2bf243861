from __future__ import annotations

import json
from typing import Any

import pytest

from pyproxy.policy.jwks import (
    MAX_KEYS,
    NO_KEY_FITS,
    NO_VALID_KEYS,
    NOBODYS_KEYS,
    NOT_SIGNED,
    WRONG_LENGTH,
    KeySet,
    KeySetError,
    parse_key_set,
)
from pyproxy.policy.jws import ALGORITHMS, TokenError, parse_token
from tests.tokens import SigningKey, encoded, key_set, signing_key, token

CLAIMS = {"iss": "me"}


def verdict(keys: KeySet, text: str) -> str:
    """Empty: some key made it."""
    try:
        keys.verify(parse_token(text.encode()))
    except TokenError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_key_verifies_what_it_signed(algorithm: str) -> None:
    key, other = signing_key(algorithm), signing_key(algorithm, "other", key_id="first")
    keys = parse_key_set(key_set(key))
    assert verdict(keys, token(CLAIMS, key)) == ""
    assert verdict(parse_key_set(key_set(key.jwk(alg=algorithm))), token(CLAIMS, key)) == ""
    if not algorithm.startswith("HS"):  # of which there is one
        assert verdict(keys, token(CLAIMS, other)) == NOT_SIGNED


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_changed_token_is_refused(algorithm: str) -> None:
    key = signing_key(algorithm)
    header, _, signature = token(CLAIMS, key).split(".")
    assert verdict(parse_key_set(key_set(key)), f"{header}.{encoded({'iss': 'you'})}.{signature}") == NOT_SIGNED


def test_a_public_key_is_no_secret() -> None:
    """Who knows the public key of an issuer must not be able to sign with it."""
    rsa = signing_key("RS256")
    secrets = [
        json.dumps(rsa.jwk()).encode(),
        rsa.jwk()["n"].encode(),
        rsa.private.public_key().public_numbers().n.to_bytes(256, "big"),
    ]
    keys = parse_key_set(key_set(rsa))
    for secret in secrets:
        assert verdict(keys, token(CLAIMS, SigningKey(secret, "HS256", "first"))) == NOT_SIGNED


@pytest.mark.parametrize(
    ("signed", "kept"),
    [("RS256", "ES256"), ("ES256", "RS256"), ("EdDSA", "RS256"), ("HS256", "ES256"), ("ES256", "ES384")],
)
def test_keys_of_another_kind_verify_nothing(signed: str, kept: str) -> None:
    assert verdict(parse_key_set(key_set(signing_key(kept))), token(CLAIMS, signing_key(signed))) == NOT_SIGNED


def test_an_algorithm_that_the_key_names_is_its_only_one() -> None:
    key = signing_key("RS256")
    keys = parse_key_set(key_set(key.jwk(alg="RS512")))
    assert verdict(keys, token(CLAIMS, key)) == NO_KEY_FITS
    assert verdict(keys, token(CLAIMS, key, algorithm="RS512")) == ""


def test_key_ids_choose_among_keys() -> None:
    first, second = signing_key("ES256"), signing_key("ES256", "second")
    nameless = signing_key("ES256", "nameless", key_id="")
    keys = parse_key_set(key_set(first, second))
    assert verdict(keys, token(CLAIMS, second)) == ""
    assert verdict(keys, token(CLAIMS, second, header={"kid": "first"})) == NOT_SIGNED
    assert verdict(keys, token(CLAIMS, second, header={"kid": "third"})) == NO_KEY_FITS
    assert verdict(keys, token(CLAIMS, second, header={"kid": None})) == ""
    assert verdict(parse_key_set(key_set(nameless)), token(CLAIMS, nameless, header={"kid": "any"})) == ""


def test_a_short_signature_of_an_edwards_curve_is_named() -> None:
    key = signing_key("EdDSA")
    header, payload, _ = token(CLAIMS, key).split(".")
    assert verdict(parse_key_set(key_set(key)), f"{header}.{payload}.AAAA") == WRONG_LENGTH


@pytest.mark.parametrize("signature", ["", "A" * 20, "A" * 86, "A" * 2000])
def test_signatures_of_odd_lengths_do_not_stumble(signature: str) -> None:
    for algorithm in ("ES256", "RS256", "PS256", "HS256"):
        key = signing_key(algorithm)
        header, payload, _ = token(CLAIMS, key).split(".")
        signature = signature or "AA"
        assert verdict(parse_key_set(key_set(key)), f"{header}.{payload}.{signature}") == NOT_SIGNED


RSA = signing_key("RS256").jwk()
EC = signing_key("ES256").jwk()
OKP = signing_key("EdDSA").jwk()
BROKEN: dict[str, Any] = {
    "no kind": {"n": RSA["n"], "e": RSA["e"]},
    "an unknown kind": {**RSA, "kty": "XYZ"},
    "a kind that is no text": {**RSA, "kty": 1},
    "no modulus": {"kty": "RSA", "e": "AQAB"},
    "a modulus that is no text": {**RSA, "n": 5},
    "a modulus that is no base64": {**RSA, "n": "!!"},
    "an odd exponent": {**RSA, "e": "Aw4"},
    "an algorithm of another kind": {**RSA, "alg": "ES256"},
    "no curve that we know": {**EC, "crv": "P-999"},
    "Bitcoin's curve": {**EC, "crv": "secp256k1"},
    "a curve that is no text": {**EC, "crv": 1},
    "another algorithm than the curve's": {**EC, "alg": "ES384"},
    "a point that is on no curve": {**EC, "x": EC["y"]},
    "no point": {"kty": "EC", "crv": "P-256"},
    "a key of another length": {**OKP, "x": "AAAA"},
    "Ed448": {**OKP, "crv": "Ed448"},
    "no Edwards curve": {"kty": "OKP", "x": OKP["x"]},
    "an empty secret": {"kty": "oct", "k": ""},
    "no secret": {"kty": "oct"},
    "no object": 5,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_key_is_left_out_and_the_others_count(name: str) -> None:
    broken = BROKEN[name]
    key = signing_key("ES256", "good")
    assert parse_key_set(json.dumps({"keys": [broken]})).keys == ()
    found = parse_key_set(json.dumps({"keys": [broken, key.jwk()]}))
    assert verdict(found, token(CLAIMS, key)) == ""


def test_private_parts_are_not_read() -> None:
    key = signing_key("RS256")
    found = parse_key_set(json.dumps({"keys": [{**key.jwk(), "d": "nonsense", "p": 1}]}))
    assert verdict(found, token(CLAIMS, key)) == ""


def test_a_curve_may_be_told_by_its_algorithm() -> None:
    key = signing_key("ES384")
    jwk = key.jwk(alg="ES384")
    del jwk["crv"]
    assert verdict(parse_key_set(json.dumps({"keys": [jwk]})), token(CLAIMS, key)) == ""


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"kty": "RSA"}', '{"keys": {}}', "[" * 100_000])
def test_what_is_no_key_set_says_so(text: str) -> None:
    with pytest.raises(KeySetError) as caught:
        parse_key_set(text)
    assert not text or text not in str(caught.value)


def test_without_a_key_nothing_is_verified() -> None:
    assert verdict(parse_key_set('{"keys": []}'), token(CLAIMS)) == NO_VALID_KEYS
    assert verdict(NOBODYS_KEYS, token(CLAIMS)) == NOT_SIGNED


def test_a_huge_set_is_read_in_part() -> None:
    secret = signing_key("HS256").jwk()
    assert len(parse_key_set(json.dumps({"keys": [secret] * (MAX_KEYS + 1)})).keys) == MAX_KEYS
