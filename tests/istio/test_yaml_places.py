from __future__ import annotations

from yaml import Node

from pyproxy.istio.yaml_places import find, position
from pyproxy.istio.yaml_text import compose


def test_values_and_keys_are_found_by_path() -> None:
    (root,) = compose("a:\n  - b: 1\n  - <<: {c: 2}\n    d: 3\n")
    assert isinstance(root, Node)
    assert position(root, ("a", 0, "b")) == (2, 8)
    assert position(root, ("a", 0, "b"), of_key=True) == (2, 5)
    assert position(root, ("a", 1, "c")) == (3, 13)
    assert position(root, ("a", 1, "missing")) == (3, 5)
    assert position(root, ("a", 7)) == (2, 3)
    assert find(root, ("a", 1, "d")).value == "3"  # type: ignore[union-attr]
    assert find(root, ("a", "b")) is None
