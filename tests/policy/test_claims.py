from __future__ import annotations

import base64
from typing import Any

import pytest

from pyproxy.policy.claims import ALWAYS_LISTS, claim_at, claim_texts, header_value, with_lists


def test_words_of_some_claims_become_lists() -> None:
    claims = {"scope": "read  write ", "permission": "", "role": "a b", "groups": ["x y"], "sub": "a b"}
    assert with_lists(claims, ALWAYS_LISTS | {"role"}) == {
        "scope": ["read", "write"],
        "permission": "",
        "role": ["a", "b"],
        "groups": ["x y"],
        "sub": "a b",
    }
    assert claims["scope"] == "read  write "


def test_a_path_leads_into_a_claim() -> None:
    claims = {"a": {"b": {"c": 1}, "l": [1]}, "a.b": 2, "n": None}
    assert claim_at(claims, ("a", "b", "c")) == 1
    assert claim_at(claims, ("a.b",)) == 2
    for nowhere in (("x",), ("a", "x"), ("a", "l", "0"), ("n", "x"), ("a", "b", "c", "d")):
        assert claim_at(claims, nowhere) is None


@pytest.mark.parametrize(
    ("value", "texts"),
    [("a b", ["a b"]), (["a", 1, "b", None], ["a", "b"]), (1, []), (True, []), (None, []), ({"a": "b"}, [])],
)
def test_texts_are_what_can_be_matched(value: Any, texts: list[str]) -> None:
    assert claim_texts(value) == texts


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("text", b"text"),
        ("grün", "grün".encode()),
        ("", None),
        (True, b"true"),
        (False, b"false"),
        (0, b"0"),
        (7, b"7"),
        (7.0, b"7"),
        (1.5, b"1.500000"),
        (-3, b"-3.000000"),
        (2**63, b"9223372036854775808"),
        (1e30, b"1000000000000000019884624838656.000000"),
        (None, None),
    ],
)
def test_a_claim_in_a_header(value: Any, written: bytes | None) -> None:
    assert header_value(value) == written


@pytest.mark.parametrize("text", ["a\r\nx-admin: yes", "a\nb", "a\0b", "\r"])
def test_a_claim_that_would_end_its_line_is_not_written(text: str) -> None:
    assert header_value(text) is None


def test_lists_and_objects_are_json_in_base64() -> None:
    written = header_value({"a": [1, "<b>", "ü"], "c": {}})
    assert written is not None
    assert base64.b64decode(written).decode() == '{"a":[1,"\\u003cb\\u003e","ü"],"c":{}}'
    assert header_value([]) == b"W10="
