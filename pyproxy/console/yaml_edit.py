"""Changes one route's weights or faults in a text and leaves every other character, comments too, as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from pyproxy.console.routes import roots, route_node
from pyproxy.istio.yaml_places import find

_IN_BRACES = "a route in braces is changed by hand: write it in block style to use the sliders"


class NotEditable(Exception):
    """The text is written in a way that is not changed by machine; the message says which."""


def set_weights(text: str, document: int, route: int, weights: Sequence[int]) -> str:
    """Give the destinations of one route these weights. Raises NotEditable."""
    node = _route(text, document, route)
    destinations = find(node, ("route",))
    if not isinstance(destinations, SequenceNode) or len(destinations.value) != len(weights):
        raise NotEditable("the route has other destinations by now: load it again")
    for destination, weight in reversed(list(zip(destinations.value, weights, strict=True))):
        found = find(destination, ("weight",))
        if isinstance(found, ScalarNode):
            text = _put(text, found, str(weight))
        else:
            text = _append(text, destination, "weight", str(weight))
    return text


def set_faults(
    text: str, document: int, route: int, abort: Mapping[str, float] | None, delay: Mapping[str, float] | None
) -> str:
    """Give one route these faults, in place of all that it has; None: no such fault. Raises NotEditable.

    `abort` has percent and status, `delay` percent and seconds.
    """
    node = _route(text, document, route)
    text = _without(text, node, "fault")
    lines = []
    if delay is not None:
        value = ["percentage:", f"  value: {_plain(delay['percent'])}", f"fixedDelay: {_plain(delay['seconds'])}s"]
        lines += ["delay:", *(f"  {line}" for line in value)]
    if abort is not None:
        value = ["percentage:", f"  value: {_plain(abort['percent'])}", f"httpStatus: {_plain(abort['status'])}"]
        lines += ["abort:", *(f"  {line}" for line in value)]
    if not lines:
        return text
    return _insert(text, _route(text, document, route), "fault", ["", *(f"  {line}" for line in lines)])


def _route(text: str, document: int, route: int) -> MappingNode:
    documents = roots(text)
    node = route_node(documents[document], route) if document < len(documents) else None
    if not isinstance(node, MappingNode):
        raise NotEditable("there is no such route any more: load it again")
    return node


def _put(text: str, node: Node, value: str) -> str:
    """Another text in the place of a scalar."""
    lines = text.split("\n")
    start, end = node.start_mark, node.end_mark
    if start.line != end.line:
        raise NotEditable("a value that goes over several lines is changed by hand")
    line = lines[start.line]
    lines[start.line] = line[: start.column] + value + line[end.column :]
    return "\n".join(lines)


def _append(text: str, mapping: Node, key: str, value: str) -> str:
    """A key behind the last of a mapping; in braces, before the first."""
    lines = text.split("\n")
    line, column = _first(mapping)
    if isinstance(mapping, MappingNode) and mapping.flow_style:
        lines[line] = f"{lines[line][:column]}{key}: {value}, {lines[line][column:]}"
    else:
        lines.insert(_last_line(mapping) + 1, f"{' ' * column}{key}: {value}")
    return "\n".join(lines)


def _insert(text: str, mapping: MappingNode, key: str, value: Sequence[str]) -> str:
    """A key before `route`, or else before the first: `key: value[0]`, and the other lines of the value below it."""
    if mapping.flow_style:
        raise NotEditable(_IN_BRACES)
    lines = text.split("\n")
    line, column = next(
        ((name.start_mark.line, name.start_mark.column) for name, _ in mapping.value if name.value == "route"),
        _first(mapping),
    )
    indent = " " * column
    before, rest = lines[line][:column], lines[line][column:]
    new = [f"{key}: {value[0]}".rstrip(), *value[1:]]
    lines[line : line + 1] = [before + new[0], *(indent + each for each in new[1:]), indent + rest]
    return "\n".join(lines)


def _first(mapping: Node) -> tuple[int, int]:
    """Line and column of the first key."""
    if not isinstance(mapping, MappingNode) or not mapping.value:
        raise NotEditable("an empty mapping is filled by hand")
    mark = mapping.value[0][0].start_mark
    return mark.line, mark.column


def _without(text: str, mapping: MappingNode, key: str) -> str:
    """The text without one key of a mapping, and without what stands below it."""
    pairs = mapping.value
    number = next((index for index, (name, _) in enumerate(pairs) if name.value == key), None)
    if number is None:
        return text
    if mapping.flow_style:
        raise NotEditable(_IN_BRACES)
    lines = text.split("\n")
    start = pairs[number][0].start_mark
    last = _last_line(pairs[number][1])
    following = lines[last + 1 :]
    if lines[start.line][: start.column].strip():  # `- fault:` begins the item: the next key takes its place
        if number + 1 == len(pairs):
            raise NotEditable("a route that is nothing but a fault is changed by hand")
        next_line = pairs[number + 1][0].start_mark.line
        head = lines[start.line][: start.column] + lines[next_line][start.column :]
        return "\n".join([*lines[: start.line], head, *lines[next_line + 1 :]])
    return "\n".join([*lines[: start.line], *following])


def _last_line(node: Node) -> int:
    """Where the text of a value ends; the mark of a block is behind the blank lines and comments that follow it."""
    if isinstance(node, MappingNode) and not node.flow_style and node.value:
        return _last_line(node.value[-1][1])
    if isinstance(node, SequenceNode) and not node.flow_style and node.value:
        return _last_line(node.value[-1])
    end = node.end_mark
    return end.line if end.column or end.line == node.start_mark.line else end.line - 1


def _plain(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:g}"
