from __future__ import annotations

import pytest
from yaml import Node

from pyproxy.istio.yaml_text import Fault, compose


@pytest.mark.parametrize("text", ["a: @b", "a: `b`", "a: %b", "a: [b::]"])
def test_what_must_be_in_quotes_is_said_to(text: str) -> None:
    (fault,) = compose(text)
    assert isinstance(fault, Fault)
    assert "must be in quotes" in fault.message


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{a: " * 100_000, "- " * 20_000, "".join(" " * n + "a:\n" for n in range(200)), "? " * 200]
)
def test_what_is_nested_too_deeply_is_a_fault_and_not_a_crash(text: str) -> None:
    (fault,) = compose(text)
    assert isinstance(fault, Fault)
    assert "nested more than 100 levels deep" in fault.message


def test_many_brackets_side_by_side_are_not_deep() -> None:
    (root,) = compose("a: [" + "[], {}, " * 500 + "]")
    assert isinstance(root, Node)


def test_reading_goes_on_after_a_syntax_error() -> None:
    documents = list(compose("a: 1\n---\nb: [1\n---\nc: 3\n---\n\td: 4\n---\ne: 5\n"))
    faults = [document for document in documents if isinstance(document, Fault)]
    assert [fault.line for fault in faults] == [4, 7]
    assert "tab" in faults[1].message
    assert [document.start_mark.line for document in documents if isinstance(document, Node)] == [0, 4, 8]


@pytest.mark.parametrize(
    "text", ["[", "{a", "a: 'b", "--- - -\n---\n---\n[", "a: *b", "%YAML 9", "? ? ?\n- x", "a: b: c"]
)
def test_no_text_makes_it_hang_or_raise(text: str) -> None:
    assert any(isinstance(document, Fault) for document in compose(text))


def test_a_control_character_is_named_and_placed() -> None:
    assert list(compose("ä: 1\nb: \x07")) == [Fault(2, 4, "the character U+0007 is not allowed in YAML")]
