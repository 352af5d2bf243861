"""Where a value stands in the text it came from: node, line and column by path."""

from __future__ import annotations

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from pyproxy.istio.problems import FieldPath

TAG = "tag:yaml.org,2002:"
"""What the tags of YAML's own types begin with."""


def find(root: Node, path: FieldPath) -> Node | None:
    """The node at a path below `root`, or None when the text has none there."""
    node: Node | None = root
    for step in path:
        if node is None:
            return None
        pair = _entry(node, step)
        node = pair[1] if pair is not None else None
    return node


def position(root: Node, path: FieldPath, *, of_key: bool = False) -> tuple[int, int]:
    """Line and column, from 1, of the value at a path, of its key, or of what comes nearest to it in the text."""
    node = root
    key: Node | None = None
    for step in path:
        pair = _entry(node, step)
        if pair is None:
            key = None
            break
        key, node = pair
    mark = (key if of_key and key is not None else node).start_mark
    return mark.line + 1, mark.column + 1


def _entry(node: Node, step: str | int) -> tuple[Node, Node] | None:
    """The key and value nodes of one entry. A list's items stand for their own keys."""
    if isinstance(node, SequenceNode):
        if isinstance(step, int) and step < len(node.value):
            return node.value[step], node.value[step]
        return None
    if not isinstance(node, MappingNode):
        return None
    for key, value in node.value:
        if isinstance(key, ScalarNode) and key.value == step and key.tag != TAG + "merge":
            return key, value
    for key, value in node.value:
        if key.tag == TAG + "merge":
            for source in merge_sources(value):
                pair = _entry(source, step)
                if pair is not None:
                    return pair
    return None


def merge_sources(node: Node) -> list[Node]:
    """The mappings that the value of a `<<` key names."""
    return list(node.value) if isinstance(node, SequenceNode) else [node]
