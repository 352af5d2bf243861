"""YAML that every reader reads the same: PyYAML here, yaml-cpp in tests/differential/test_export.py."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.cli.yaml_writer import as_yaml

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS | st.sampled_from(("true", "Null", "abc", "a: b", "/x#y"))
DOCUMENTS = st.dictionaries(
    TEXTS,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
    ),
)


@given(DOCUMENTS)
def test_what_is_written_is_read(document: dict[str, Any]) -> None:
    assert yaml.safe_load(as_yaml(document)) == document


@pytest.mark.parametrize(
    "text", ["08", "1e3", "y", "n", "0s", "on", "12:30", "", " x", "#a", "a: b", "~", "é", "a\nb", "true", "Null"]
)
def test_a_text_that_could_be_something_else_is_quoted(text: str) -> None:
    assert as_yaml({"name": text}).startswith('name: "')


@pytest.mark.parametrize("member", [1, "text", [], [1, {"a": 2}], {}, {"a": [{"b": 1}], "c": 2}])
@pytest.mark.parametrize("key", ["x" * 1024, "x" * 1025, "\x80" * 170, "\x80" * 171])
def test_a_key_may_have_any_length(key: str, member: object) -> None:
    document = {"first": 1, key: member, "list": [{key: member, "last": 1}, {"a": {key: member}}]}
    assert yaml.safe_load(as_yaml(document)) == document


def test_what_nobody_can_mistake_stands_plain_and_lists_stand_under_their_key() -> None:
    document = {"here": "virtualOutbound", "list": [{"a-b-c": [1, [2]], "none": None}, "some.word", {}, []], "on": 1.5}
    assert as_yaml(document) == (
        'here: virtualOutbound\nlist:\n- a-b-c:\n  - 1\n  - - 2\n  none: null\n- some.word\n- {}\n- []\n"on": 1.5\n'
    )
