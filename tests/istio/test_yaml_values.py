from __future__ import annotations

import pytest
from yaml import Node

from pyproxy.istio.yaml_text import Fault, compose
from pyproxy.istio.yaml_values import Reading, Unquoted


def read(text: str) -> tuple[object, list[Fault]]:
    (root,) = compose(text)
    assert isinstance(root, Node), root
    reading = Reading()
    return reading.value(root), reading.faults


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", "a"),
        ('"5"', "5"),
        ("5", 5),
        ("-5", -5),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("true", True),
        ("Yes", True),
        ("off", False),
        ("y", True),
        ("'y'", "y"),
        ("~", None),
        ("=", "="),
        ("!!str 5", "5"),
        ("012", Unquoted("012", "a number in base 8 or 2")),
        ("0b1", Unquoted("0b1", "a number in base 8 or 2")),
        ("1:30", Unquoted("1:30", "a number in base 60")),
        ("1_000", Unquoted("1_000", "a number with underscores")),
        ("2026-01-02", Unquoted("2026-01-02", "a date")),
    ],
)
def test_scalars(text: str, value: object) -> None:
    result, faults = read(f"key: {text}")
    assert result == {"key": value}
    assert type(result["key"]) is type(value)  # type: ignore[index]
    assert faults == []


@pytest.mark.parametrize("key", ["a", "8080", "1.5", "true", '"on"', "'012'", "x-y", '"null"'])
def test_keys_that_are_text(key: str) -> None:
    value, faults = read(f"{key}: 1")
    assert value == {key.strip("\"'"): 1}
    assert faults == []


@pytest.mark.parametrize("key", ["on", "NO", "y", "012", "1:30", "2026-01-02", "null", "~", "1.50", "0x10"])
def test_keys_that_yaml_does_not_take_for_text(key: str) -> None:
    assert [fault.message for fault in read(f"a: b\n{key}: 1")[1]] != []


def test_a_key_that_is_there_twice_is_a_fault_where_it_is_the_second_time() -> None:
    assert read("a: 1\nb: {c: 1, c: 2}")[1] == [Fault(2, 11, "c is there twice")]


@pytest.mark.parametrize("text", ["!foo 1", "!!python/object:os.system {}", "!!set {a}", "!!binary aGk=", "!Ref [a]"])
def test_unknown_tags_are_faults(text: str) -> None:
    (fault,) = read(f"a: {text}")[1]
    assert "is not known" in fault.message


def test_aliases_and_merge_keys() -> None:
    text = "base: &base {a: 1, b: 2}\none: {<<: *base, b: 3}\ntwo: {<<: [*base, {c: 4}]}\nsame: *base"
    value, faults = read(text)
    assert faults == []
    assert value == {
        "base": {"a": 1, "b": 2},
        "one": {"a": 1, "b": 3},
        "two": {"a": 1, "b": 2, "c": 4},
        "same": {"a": 1, "b": 2},
    }


def test_a_merge_key_takes_mappings_only() -> None:
    assert [fault.message for fault in read("a: {<<: [1]}")[1]] == ["<< takes a mapping, or a list of mappings"]


def test_what_refers_to_itself_is_a_fault() -> None:
    assert [fault.message for fault in read("a: &a [*a]")[1]] == ["an alias refers to what it is a part of"]


def test_aliases_that_blow_a_document_up_are_a_fault() -> None:
    levels = "\n".join(f"l{n + 1}: &l{n + 1} [{', '.join([f'*l{n}'] * 10)}]" for n in range(8))
    assert [fault.message for fault in read(f"l0: &l0 [a]\n{levels}")[1]] == ["aliases make this document too large"]


def test_aliases_that_nest_too_deeply_are_a_fault() -> None:
    levels = "\n".join(f"l{n + 1}: &l{n + 1} [*l{n}]" for n in range(150))
    messages = [fault.message for fault in read(f"l0: &l0 [a]\n{levels}")[1]]
    assert messages == ["aliases nest this document more than 100 levels deep"]


def test_json_with_tabs_is_yaml() -> None:
    assert read('{\n\t"a": [1, "b\\/c"],\n\t"d": null\n}')[0] == {"a": [1, "b/c"], "d": None}
