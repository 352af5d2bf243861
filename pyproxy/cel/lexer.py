"""A CEL text as tokens. Source: cel-spec doc/langdef.md, section "Syntax"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from pyproxy.cel.errors import SyntaxProblem, UnsupportedProblem

MAX_TOKENS = 500
"""Of an expression: more would go deeper than Python likes to."""


class Kind(Enum):
    """What a token is."""

    NAME = "a name"
    INT = "a number"
    FLOAT = "a decimal number"
    TEXT = "a text"
    SIGN = "a sign"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """One word of an expression."""

    kind: Kind
    text: str
    """A name or sign; the value of a text; the digits of a number."""
    position: int


_SPACE = re.compile(r"(?:\s+|//[^\n]*)*")
_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_FLOAT = re.compile(r"[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+")
_INT = re.compile(r"0x[0-9a-fA-F]+u?|[0-9]+[uU]?")
_SIGN = re.compile(r"&&|\|\||==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}]")
_QUOTED = re.compile(r"""([rR]?)('{3}|"{3}|'|")""")
_ESCAPE = re.compile(r"\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)
_ONE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SELF = frozenset("\\?\"'`")


def tokens(text: str) -> list[Token]:
    """All tokens, the end last. Raises SyntaxProblem."""
    found: list[Token] = []
    position = _after(_SPACE, text, 0)
    while position < len(text):
        token, position = _token(text, position)
        found.append(token)
        if len(found) > MAX_TOKENS:
            raise UnsupportedProblem(f"longer than {MAX_TOKENS} words and signs", token.position)
        position = _after(_SPACE, text, position)
    found.append(Token(Kind.END, "", position))
    return found


def _after(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match is not None else position


def _token(text: str, position: int) -> tuple[Token, int]:
    quoted = _QUOTED.match(text, position)
    if quoted is not None:
        value, end = _quoted(text, position, quoted)
        return Token(Kind.TEXT, value, position), end
    for kind, pattern in ((Kind.NAME, _NAME), (Kind.FLOAT, _FLOAT), (Kind.INT, _INT), (Kind.SIGN, _SIGN)):
        match = pattern.match(text, position)
        if match is not None:
            return Token(kind, match[0], position), match.end()
    raise SyntaxProblem(f"{text[position]!r} has no meaning here", position)


def _quoted(text: str, position: int, opening: re.Match[str]) -> tuple[str, int]:
    raw, quote = opening.groups()
    place = opening.end()
    while True:
        end = text.find(quote, place)
        newline = text.find("\n", place, end if end >= 0 else len(text)) if len(quote) == 1 else -1
        if end < 0 or newline >= 0:
            raise SyntaxProblem("a text without its closing quote", position)
        backslashes = 0
        while text[end - 1 - backslashes] == "\\" and end - 1 - backslashes >= opening.end():
            backslashes += 1
        if raw or backslashes % 2 == 0:
            break
        place = end + 1
    content = text[opening.end() : end]
    return (content if raw else _unescaped(content, opening.end())), end + len(quote)


def _unescaped(content: str, start: int) -> str:
    def plain(found: re.Match[str]) -> str:
        for digits, base in ((found[1], 16), (found[2], 16), (found[3], 16), (found[4], 8)):
            if digits is not None:
                code = int(digits, base)
                if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                    raise SyntaxProblem(f"{found[0]} is no character", start + found.start())
                return chr(code)
        if found[5] in _ONE:
            return _ONE[found[5]]
        if found[5] in _SELF:
            return found[5]
        raise SyntaxProblem(f"{found[0]} is no escape", start + found.start())

    return _ESCAPE.sub(plain, content)
