"""A CEL text as a tree, by recursive descent. Source: cel-spec doc/langdef.md, section "Syntax"."""

from __future__ import annotations

from pyproxy.cel.errors import SyntaxProblem, UnsupportedProblem
from pyproxy.cel.lexer import Kind, Token, tokens
from pyproxy.cel.tree import Both, Call, Choice, Field, Index, Items, Literal, Name, Node

MAX_DEPTH = 32
"""Brackets inside each other (cel-cpp: 250)."""
_RELATIONS = frozenset(("==", "!=", "<", "<=", ">", ">=", "in"))
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_RESERVED_WORDS = "as break const continue else for function if import let loop namespace package return var void while"
_RESERVED = frozenset(_RESERVED_WORDS.split())
_MACROS = frozenset(("all", "exists", "exists_one", "map", "filter"))
_LARGEST = 2**63 - 1


def parse(text: str) -> Node:
    """The tree of an expression. Raises SyntaxProblem; UnsupportedProblem for CEL that this part leaves out."""
    parser = _Parser(tokens(text))
    node = parser.expression()
    parser.expect_end()
    return node


class _Parser:
    """Reads one token after the other."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._next = 0
        self._depth = 0

    # Levels, the loosest first

    def expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise SyntaxProblem(f"more than {MAX_DEPTH} brackets inside each other", self._peek.position)
        condition = self._or()
        sign = self._take("?")
        if sign is not None:
            yes = self._or()
            self._expect(":")
            condition = Choice(condition, yes, self.expression(), sign.position)
        self._depth -= 1
        return condition

    def _or(self) -> Node:
        left = self._and()
        while (sign := self._take("||")) is not None:
            left = Both(left, self._and(), True, sign.position)
        return left

    def _and(self) -> Node:
        left = self._relation()
        while (sign := self._take("&&")) is not None:
            left = Both(left, self._relation(), False, sign.position)
        return left

    def _relation(self) -> Node:
        left = self._sum()
        while self._peek.kind in (Kind.SIGN, Kind.NAME) and self._peek.text in _RELATIONS:
            sign = self._advance()
            left = Call(sign.text, (left, self._sum()), sign.position)
        return left

    def _sum(self) -> Node:
        left = self._product()
        while (sign := self._take("+", "-")) is not None:
            left = Call(sign.text, (left, self._product()), sign.position)
        return left

    def _product(self) -> Node:
        left = self._unary()
        while (sign := self._take("*", "/", "%")) is not None:
            left = Call(sign.text, (left, self._unary()), sign.position)
        return left

    def _unary(self) -> Node:
        signs: list[Token] = []
        while (sign := self._take("!", "-")) is not None:
            signs.append(sign)
            if sign.text != signs[0].text:
                raise SyntaxProblem("! and - cannot follow each other", sign.position)
        node = self._member()
        for sign in reversed(signs):
            if sign.text == "-" and isinstance(node, Literal) and _is_number(node.value):
                node = Literal(-node.value, sign.position)  # type: ignore[operator]  # a number
            else:
                node = Call("!" if sign.text == "!" else "-_", (node,), sign.position)
        return node

    def _member(self) -> Node:
        node = self._primary()
        while True:
            sign = self._take(".", "[")
            if sign is None:
                return node
            if sign.text == "[":
                node = Index(node, self.expression(), sign.position)
                self._expect("]")
                continue
            name = self._name()
            if self._take("(") is None:
                node = Field(node, name.text, name.position)
            elif name.text in _MACROS:
                raise UnsupportedProblem(f"the macro {name.text} is not supported", name.position)
            else:
                node = Call("." + name.text, (node, *self._list(")")), name.position)

    def _primary(self) -> Node:
        token = self._advance()
        if token.kind is Kind.TEXT:
            return Literal(token.text, token.position)
        if token.kind is Kind.INT:
            return Literal(_integer(token), token.position)
        if token.kind is Kind.FLOAT:
            return Literal(float(token.text), token.position)
        if token.kind is Kind.NAME:
            return self._named(token)
        if token.text == "(":
            node = self.expression()
            self._expect(")")
            return node
        if token.text == "[":
            return Items(self._list("]"), token.position)
        if token.text == "{":
            raise UnsupportedProblem("a map written in braces is not supported", token.position)
        raise SyntaxProblem(f"a value is missing before {_shown(token)}", token.position)

    def _named(self, token: Token) -> Node:
        if token.text in _WORDS:
            return Literal(_WORDS[token.text], token.position)
        if token.text in _RESERVED or token.text == "in":
            raise SyntaxProblem(f"{token.text} is a word of the language's own", token.position)
        following = self._peek
        if token.text in ("b", "B", "br", "rb") and following.kind is Kind.TEXT:
            raise UnsupportedProblem("bytes are not supported", token.position)
        if self._take("(") is None:
            return Name(token.text, token.position)
        arguments = self._list(")")
        if token.text != "has":
            return Call(token.text, arguments, token.position)
        if len(arguments) != 1 or not isinstance(arguments[0], Field) or arguments[0].tested:
            raise SyntaxProblem("has() takes one field, as in has(request.headers.name)", token.position)
        return Field(arguments[0].of, arguments[0].name, token.position, tested=True)

    # Tokens

    @property
    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _advance(self) -> Token:
        token = self._tokens[self._next]
        if token.kind is not Kind.END:
            self._next += 1
        return token

    def _take(self, *signs: str) -> Token | None:
        token = self._peek
        return self._advance() if token.kind is Kind.SIGN and token.text in signs else None

    def _expect(self, sign: str) -> None:
        if self._take(sign) is None:
            raise SyntaxProblem(f"{sign} is missing before {_shown(self._peek)}", self._peek.position)

    def _name(self) -> Token:
        token = self._advance()
        if token.kind is not Kind.NAME:
            raise SyntaxProblem(f"a name is missing before {_shown(token)}", token.position)
        return token

    def _list(self, closing: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while self._take(closing) is None:
            if items:
                self._expect(",")
                if closing == "]" and self._take("]") is not None:
                    break
            items.append(self.expression())
        return tuple(items)

    def expect_end(self) -> None:
        """Nothing may follow."""
        if self._peek.kind is not Kind.END:
            raise SyntaxProblem(f"nothing may follow here, but {_shown(self._peek)} does", self._peek.position)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _integer(token: Token) -> int:
    digits = token.text.rstrip("uU")
    value = int(digits, 16) if digits.startswith("0x") else int(digits)
    if value > (_LARGEST if digits == token.text else 2 * _LARGEST + 1):
        raise SyntaxProblem(f"{token.text} is too large", token.position)
    return value


def _shown(token: Token) -> str:
    return "the end" if token.kind is Kind.END else repr(token.text)
