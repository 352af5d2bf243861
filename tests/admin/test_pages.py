from __future__ import annotations

import json

import pytest

from pyproxy.admin.pages import as_json


def written(value: object) -> str:
    return "".join(str(piece) for piece in as_json(value).pieces)


@pytest.mark.parametrize(
    "plain",
    [{}, {"a": []}, {"a": [1, {"b": None}]}, {"a": {"b": ["ü", "x\ny"]}}, {"": {"x": [[], {}]}}],
)
def test_plain_values_are_laid_out_with_an_indent_of_one(plain: object) -> None:
    assert written(plain) == json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def test_an_iterator_is_written_as_the_list_that_it_makes() -> None:
    def rows(count: int) -> list[object]:
        return [{"row": number, "members": [number]} for number in range(count)]

    plain = {"some": rows(3), "none": [], "nested": {"deep": {"one": rows(1)}}, "after": 1}
    lazy = {"some": iter(rows(3)), "none": iter([]), "nested": {"deep": {"one": iter(rows(1))}}, "after": 1}
    assert written(lazy) == json.dumps(plain, indent=1) + "\n"


def test_iterators_inside_the_items_of_an_iterator() -> None:
    lazy = {"tables": iter([{"hosts": iter(["a", "b"])}, {"hosts": iter([])}])}
    plain = {"tables": [{"hosts": ["a", "b"]}, {"hosts": []}]}
    assert written(lazy) == json.dumps(plain, indent=1) + "\n"


def test_a_long_list_comes_in_many_pieces() -> None:
    assert sum(1 for _ in as_json({"rows": iter(range(100))}).pieces) > 100
