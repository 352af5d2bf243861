"""Patterns that operators write."""

import pytest

from pyproxy.core.regex import RegexError, compile_regex


def test_a_pattern_matches_bytes() -> None:
    assert compile_regex("/v[0-9]+/.*").fullmatch(b"/v12/x")
    assert not compile_regex("/v[0-9]+").fullmatch(b"/v12/x")


def test_groups_are_kept_where_they_are_wanted() -> None:
    assert compile_regex("/(a|b)", captures=True).fullmatch(b"/b").group(1) == b"b"


@pytest.mark.parametrize("pattern", ["(", "a{2,1}", "(?=x)", r"\1"])
def test_what_re2_refuses_says_why(pattern: str) -> None:
    with pytest.raises(RegexError, match=r"."):
        compile_regex(pattern)
