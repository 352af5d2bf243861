from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.cel.errors import SyntaxProblem, UnsupportedProblem
from pyproxy.cel.parser import MAX_DEPTH, parse
from pyproxy.cel.tree import Both, Call, Choice, Field, Index, Items, Literal, Name, Node


def shown(node: Node) -> str:
    """A tree with all its brackets."""
    match node:
        case Literal():
            return repr(node.value)
        case Name():
            return node.name
        case Field():
            inner = f"{shown(node.of)}.{node.name}"
            return f"has({inner})" if node.tested else inner
        case Index():
            return f"{shown(node.of)}[{shown(node.key)}]"
        case Both():
            return f"({shown(node.left)} {'||' if node.either else '&&'} {shown(node.right)})"
        case Choice():
            return f"({shown(node.condition)} ? {shown(node.yes)} : {shown(node.no)})"
        case Items():
            return f"[{', '.join(map(shown, node.items))}]"
        case Call():
            return f"{node.function}({', '.join(map(shown, node.arguments))})"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a || b && c", "(a || (b && c))"),
        ("a && b || c", "((a && b) || c)"),
        ("a == b && c in d", "(==(a, b) && in(c, d))"),
        ("1 + 2 * 3 - -4", "-(+(1, *(2, 3)), -4)"),
        ("!a.b", "!(a.b)"),
        ("!!a", "!(!(a))"),
        ("- a", "-_(a)"),
        ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
        ("(a || b) && c", "((a || b) && c)"),
        ("a.b['c'].d(1, x)", ".d(a.b['c'], 1, x)"),
        ("has(a.b.c) && size([1, 2,]) > 1.5", "(has(a.b.c) && >(size([1, 2]), 1.5))"),
        ("true == null", "==(True, None)"),
        ("0xff == 255u", "==(255, 255)"),
    ],
)
def test_what_belongs_together(text: str, tree: str) -> None:
    assert shown(parse(text)) == tree


@pytest.mark.parametrize(
    ("text", "position", "part"),
    [
        ("", 0, "a value is missing before the end"),
        ("a b", 2, "nothing may follow"),
        ("a ==", 4, "a value is missing"),
        ("(a", 2, ") is missing"),
        ("a ? b", 5, ": is missing"),
        ("f(a b)", 4, ", is missing"),
        ("a.1", 1, "nothing may follow"),
        ("!-a", 1, "cannot follow each other"),
        ("has(a)", 0, "has() takes one field"),
        ("has(a['b'])", 0, "has() takes one field"),
        ("for", 0, "word of the language"),
        ("9223372036854775808", 0, "too large"),
        ("(" * (MAX_DEPTH + 1), MAX_DEPTH, "inside each other"),
    ],
)
def test_what_is_no_expression_is_shown(text: str, position: int, part: str) -> None:
    with pytest.raises(SyntaxProblem) as found:
        parse(text)
    assert (found.value.position, part in str(found.value)) == (position, True), found.value
    assert not isinstance(found.value, UnsupportedProblem)


@pytest.mark.parametrize("text", ["{'a': 1}", "b'bytes'", "a.all(x, x)", "a.map(x, x)"])
def test_what_others_understand_is_told_apart(text: str) -> None:
    with pytest.raises(UnsupportedProblem):
        parse(text)


@given(st.text(alphabet="ab1.0 ()[]'\"=!<>&|?:+-*/%,\\\n", max_size=60))
def test_any_text_is_an_expression_or_a_syntax_problem(text: str) -> None:
    try:
        tree = parse(text)
    except SyntaxProblem as problem:
        assert 0 <= problem.position <= len(text)
    else:
        assert shown(tree)
