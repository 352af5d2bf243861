"""An expression made runnable, and what is wrong with one that cannot be.

Evaluation is a tree of closures over what `attributes` read from their subject. Source: cel-spec doc/langdef.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from pyproxy.cel.attributes import ATTRIBUTES, NOT_SUPPORTED, ROOTS
from pyproxy.cel.errors import EvaluationError, SyntaxProblem, UnsupportedProblem
from pyproxy.cel.functions import FUNCTIONS
from pyproxy.cel.parser import parse
from pyproxy.cel.tree import Both, Call, Choice, Field, Index, Items, Literal, Name, Node
from pyproxy.core.regex import RegexError, compile_regex

MISSING: Final = object()
"""What an attribute gives when there is nothing: using it is an error, `has()` of it is false."""
Getter: TypeAlias = Callable[[Any], object]
Expression: TypeAlias = Callable[[Any], object]
"""Subject → value. Raises EvaluationError."""


def problem_with(text: str) -> SyntaxProblem | None:
    """What is wrong with an expression; an UnsupportedProblem when it is CEL all the same."""
    try:
        compile_expression(text, dict.fromkeys(ATTRIBUTES, lambda _subject: MISSING))
    except SyntaxProblem as problem:
        return problem
    return None


def compile_expression(text: str, attributes: Mapping[str, Getter]) -> Expression:
    """An expression over `attributes`, by full name (`request.headers`). Raises SyntaxProblem."""
    return _compiled(parse(text), attributes)


def _compiled(node: Node, attributes: Mapping[str, Getter]) -> Expression:
    match node:
        case Literal():
            value = node.value
            return lambda _subject: value
        case Name() | Field() | Index():
            return _access(node, attributes)
        case Both():
            return _both(_compiled(node.left, attributes), _compiled(node.right, attributes), decides=node.either)
        case Choice():
            return _choice(*(_compiled(each, attributes) for each in (node.condition, node.yes, node.no)))
        case Items():
            items = [_compiled(each, attributes) for each in node.items]
            return lambda subject: [item(subject) for item in items]
        case Call():
            return _call(node, [_compiled(each, attributes) for each in node.arguments])


def _call(node: Call, arguments: list[Expression]) -> Expression:
    function = FUNCTIONS.get((node.function, len(arguments)))
    if function is None:
        raise UnsupportedProblem(f"{node.function.lstrip('.')}() is not supported", node.position)
    if node.function.endswith("matches"):
        _check_pattern(node.arguments[1])
    if len(arguments) == 1:
        only = arguments[0]
        return lambda subject: function(only(subject))
    first, second = arguments
    return lambda subject: function(first(subject), second(subject))


def _check_pattern(node: Node) -> None:
    if isinstance(node, Literal) and isinstance(node.value, str):
        try:
            compile_regex(node.value)
        except RegexError as error:
            raise UnsupportedProblem(f"RE2 does not take {node.value!r}: {error}", node.position) from error


def _both(left: Expression, right: Expression, *, decides: bool) -> Expression:
    """`&&` (False decides) or `||` (True does). An error on one side does not matter if the other decides."""

    def both(subject: Any) -> object:
        error: EvaluationError | None = None
        for side in (left, right):
            try:
                value = side(subject)
            except EvaluationError as found:
                error = error or found
                continue
            if value is decides:
                return value
            if not isinstance(value, bool):
                error = error or EvaluationError("&& and || take bool")
        if error is not None:
            raise error
        return not decides

    return both


def _choice(condition: Expression, yes: Expression, no: Expression) -> Expression:
    def choice(subject: Any) -> object:
        found = condition(subject)
        if not isinstance(found, bool):
            raise EvaluationError("what stands before ? must be bool")
        return yes(subject) if found else no(subject)

    return choice


# Attributes and keys


def _access(node: Name | Field | Index, attributes: Mapping[str, Getter]) -> Expression:
    """An attribute, as far as its name goes, then keys into its value."""
    root, keys = _path(node)
    tested = isinstance(node, Field) and node.tested
    if not isinstance(root, Name):
        return _look_up(_compiled(root, attributes), keys, attributes, tested=tested)
    name = root.name
    taken = 0
    while name not in attributes and taken < len(keys) and (key := _word(keys[taken])) is not None:
        name = f"{name}.{key}"
        taken += 1
    getter = attributes.get(name)
    if getter is None:
        raise _unknown(name, root)
    if tested and taken == len(keys):
        return lambda subject: getter(subject) is not MISSING

    def attribute(subject: Any) -> object:
        value = getter(subject)
        if value is MISSING:
            raise EvaluationError(f"there is no {name}")
        return value

    return _look_up(attribute, keys[taken:], attributes, tested=tested) if taken < len(keys) else attribute


def _path(node: Node) -> tuple[Node, list[Node]]:
    """Where a chain of fields and indexes begins, and its keys in order."""
    keys: list[Node] = []
    while isinstance(node, Field | Index):
        keys.append(Literal(node.name, node.position) if isinstance(node, Field) else node.key)
        node = node.of
        if isinstance(node, Field) and node.tested:
            break
    return node, keys[::-1]


def _word(node: Node) -> str | None:
    return node.value if isinstance(node, Literal) and isinstance(node.value, str) else None


def _unknown(name: str, root: Name) -> UnsupportedProblem:
    first = root.name
    if first in NOT_SUPPORTED or (first in ROOTS and name != first):
        return UnsupportedProblem(f"{name} is not known here", root.position)
    if first in ROOTS:
        return UnsupportedProblem(f"{first} alone is no value: one of its fields must follow", root.position)
    return UnsupportedProblem(f"there is no attribute {first}: {', '.join(sorted(ROOTS))} are", root.position)


def _look_up(
    value: Expression, keys: list[Node], attributes: Mapping[str, Getter], *, tested: bool = False
) -> Expression:
    for number, key in enumerate(keys):
        last = number == len(keys) - 1
        step = _has_key if tested and last else _value_at
        value = _step(value, _compiled(key, attributes), step)
    return value


def _step(value: Expression, key: Expression, step: Callable[[object, object], object]) -> Expression:
    return lambda subject: step(value(subject), key(subject))


def _value_at(value: object, key: object) -> object:
    if isinstance(value, Mapping):
        found = value.get(key, MISSING) if isinstance(key, str) else MISSING
        if found is not MISSING:
            return found
        raise EvaluationError(f"there is no key {key}")
    if isinstance(value, list | tuple):
        if isinstance(key, int) and not isinstance(key, bool) and 0 <= key < len(value):
            item: object = value[key]
            return item
        raise EvaluationError(f"there is no item {key}")
    raise EvaluationError("only maps and lists have keys")


def _has_key(value: object, key: object) -> bool:
    if isinstance(value, Mapping):
        return key in value
    raise EvaluationError("has() looks into maps")
