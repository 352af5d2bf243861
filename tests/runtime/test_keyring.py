from __future__ import annotations

import pytest

from pyproxy.policy.jwks import NOBODYS_KEYS, KeySetError
from pyproxy.policy.token_rules import KeySource
from pyproxy.runtime.keyring import KeyRing
from tests.tokens import key_set, signing_key

WHERE = KeySource(uri="https://a/keys")
FIRST, SECOND = (key_set(signing_key("ES256", name)).encode() for name in ("first", "second"))


def test_keys_that_never_came_verify_nothing() -> None:
    assert KeyRing().key_set(WHERE) is NOBODYS_KEYS


def test_new_keys_take_the_place_of_old_ones() -> None:
    ring = KeyRing()
    assert ring.put(WHERE, FIRST)
    before = ring.key_set(WHERE)
    assert ring.put(WHERE, SECOND)
    assert [key.key_id for key in ring.key_set(WHERE).keys] == ["second"]
    assert ring.key_set(WHERE) is not before


def test_the_same_keys_again_change_nothing() -> None:
    ring = KeyRing()
    ring.put(WHERE, FIRST)
    before = ring.key_set(WHERE)
    assert not ring.put(WHERE, FIRST)
    assert ring.key_set(WHERE) is before


def test_what_is_no_key_set_leaves_the_last_good_keys() -> None:
    ring = KeyRing()
    ring.put(WHERE, FIRST)
    before = ring.key_set(WHERE)
    with pytest.raises(KeySetError):
        ring.put(WHERE, b"<html>")
    assert ring.key_set(WHERE) is before
    assert dict(ring.items()) == {WHERE: FIRST}


def test_inline_keys_are_read_once() -> None:
    source = KeySource(inline=FIRST.decode())
    assert KeyRing().key_set(source) is KeyRing().key_set(source)
    assert KeyRing().key_set(KeySource(inline="nothing")).keys == ()


def test_keys_that_nobody_names_are_forgotten() -> None:
    ring = KeyRing()
    other = KeySource(issuer="https://b")
    ring.put(WHERE, FIRST)
    ring.put(other, FIRST)
    ring.keep_only([other])
    assert dict(ring.items()) == {other: FIRST}
    assert ring.key_set(WHERE) is NOBODYS_KEYS


def test_somebody_else_hears_of_new_keys() -> None:
    ring = KeyRing()
    told: list[tuple[KeySource, bytes]] = []
    ring.on_change(lambda source, text: told.append((source, text)))
    ring.put(WHERE, FIRST)
    ring.put(WHERE, FIRST)
    assert told == [(WHERE, FIRST)]
