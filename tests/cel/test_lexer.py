from __future__ import annotations

import pytest

from pyproxy.cel.errors import SyntaxProblem, UnsupportedProblem
from pyproxy.cel.lexer import MAX_TOKENS, Kind, tokens


def words(text: str) -> list[tuple[Kind, str]]:
    return [(token.kind, token.text) for token in tokens(text)[:-1]]


def test_every_kind_of_token() -> None:
    assert words("a.b >= 0x1F && 'x' != 1.5e3 // the rest") == [
        (Kind.NAME, "a"),
        (Kind.SIGN, "."),
        (Kind.NAME, "b"),
        (Kind.SIGN, ">="),
        (Kind.INT, "0x1F"),
        (Kind.SIGN, "&&"),
        (Kind.TEXT, "x"),
        (Kind.SIGN, "!="),
        (Kind.FLOAT, "1.5e3"),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"'it\'s'", "it's"),
        (r'"a\n\t\\"', "a\n\t\\"),
        (r"'\x41é\U0001F600\101'", "Aé😀A"),
        (r"r'a\n'", r"a\n"),
        ("'''two\nlines'''", "two\nlines"),
        ('""" "quoted" """', ' "quoted" '),
        (r"'\\'", "\\"),
    ],
)
def test_texts(text: str, value: str) -> None:
    assert words(text) == [(Kind.TEXT, value)]


@pytest.mark.parametrize(
    ("text", "position"),
    [("a & b", 2), ("'abc", 0), ("'a\nb'", 0), (r"'\q'", 1), (r"'\U00110000'", 1), (r"'\ud800'", 1), ("a # b", 2)],
)
def test_what_is_no_token_is_shown(text: str, position: int) -> None:
    with pytest.raises(SyntaxProblem) as found:
        tokens(text)
    assert found.value.position == position


def test_a_text_without_end_is_too_long() -> None:
    with pytest.raises(UnsupportedProblem, match="longer than"):
        tokens("1+" * MAX_TOKENS)
