from __future__ import annotations

import pytest

from pyproxy.policy.token_rules import KeySource, bare_audience


@pytest.mark.parametrize(
    ("audience", "bare"),
    [
        ("", ""),
        ("a", "a"),
        ("http://a", "a"),
        ("https://a/", "a"),
        ("a/b/", "a/b"),
        ("http://", ""),
        ("HTTP://a", "HTTP://a"),
        ("http://https://a", "https://a"),
    ],
)
def test_what_is_left_of_an_audience(audience: str, bare: str) -> None:
    assert bare_audience(audience) == bare


def test_inline_keys_are_not_shown() -> None:
    assert "secret" not in repr(KeySource(inline="secret"))
