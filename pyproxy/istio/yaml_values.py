"""YAML nodes to plain values, strictly: what the text may mean in two ways is refused.

YAML 1.1 as kubectl reads it. Duplicate keys, unknown tags and self-references are faults; so are unquoted `012`, `1:30`
and dates anywhere, and unquoted `on`, `yes` or `y` as a key, because kubectl would turn them into something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from yaml import MappingNode, Node, ScalarNode

from pyproxy.istio.yaml_places import TAG, merge_sources
from pyproxy.istio.yaml_text import Fault

_TRUE = frozenset(("true", "yes", "on", "y"))
_CANONICAL_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_HEXADECIMAL = re.compile(r"[-+]?0x[0-9a-fA-F]+")
_CANONICAL_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_MAX_NODES = 2_000_000  # what aliases may expand a document to; a whole mesh is some thousands
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Unquoted:
    """A scalar that YAML 1.1 reads as something its writer did not mean; no field accepts it."""

    text: str
    meaning: str


class Reading:
    """Turns one document's nodes into plain values and collects the faults found on the way."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._open: set[int] = set()
        self._done: dict[int, tuple[object, int, int]] = {}
        """By node: its value, how many nodes that is, and how deep."""
        self._count = 0
        self._given_up = False

    def value(self, node: Node) -> object:
        """dict, list, str, int, float, bool, None, or Unquoted where the text is ambiguous."""
        self._count += 1
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if self._count > _MAX_NODES:
            self._give_up(node, "aliases make this document too large")
        if self._given_up:
            return None
        known = self._done.get(id(node))
        if known is not None:
            self._count += known[1]
            return known[0]
        if id(node) in self._open:
            self._fault(node, "an alias refers to what it is a part of")
            return None
        before = self._count
        self._open.add(id(node))
        value = self._mapping(node) if isinstance(node, MappingNode) else self._sequence(node)
        self._open.remove(id(node))
        depth = 1 + max((self._depth(child) for child in _children(node)), default=0)
        if depth > _MAX_DEPTH:
            self._give_up(node, f"aliases nest this document more than {_MAX_DEPTH} levels deep")
            return None
        self._done[id(node)] = (value, self._count - before, depth)
        return value

    def _give_up(self, node: Node, message: str) -> None:
        if not self._given_up:
            self._fault(node, message)
        self._given_up = True

    def _depth(self, node: Node) -> int:
        known = self._done.get(id(node))
        return known[2] if known is not None else 0

    def _sequence(self, node: Node) -> object:
        if node.tag != TAG + "seq":
            self._fault(node, f"the tag {_short_tag(node)} is not known: leave it out")
        return [self.value(item) for item in node.value]

    def _mapping(self, node: MappingNode) -> object:
        if node.tag != TAG + "map":
            self._fault(node, f"the tag {_short_tag(node)} is not known: leave it out")
        merged: dict[str, object] = {}
        own: dict[str, object] = {}
        for key_node, value_node in node.value:
            if key_node.tag == TAG + "merge":
                for source in merge_sources(value_node):
                    content = self.value(source)
                    if isinstance(content, dict):
                        merged = content | merged
                    else:
                        self._fault(source, "<< takes a mapping, or a list of mappings")
                continue
            key = self._key(key_node)
            if key in own:
                self._fault(key_node, f"{key} is there twice")
            own[key] = self.value(value_node)
        return merged | own if merged else own

    def _key(self, node: Node) -> str:
        if not isinstance(node, ScalarNode):
            self._fault(node, "a key must be text; is this a template {{...}} that is not filled in?")
            return ""
        text: str = node.value
        plain = not node.style
        if node.tag == TAG + "str" and not (plain and text in ("y", "Y", "n", "N")):
            return text
        if node.tag == TAG + "null":
            self._fault(node, 'a key must be text: put it in quotes, as in "null"' if text else "a key is missing")
        elif str(self._scalar(node)).lower() != text and plain:
            self._fault(node, f'the key {text} is not text in YAML: put it in quotes, as in "{text}"')
        return text

    def _scalar(self, node: ScalarNode) -> object:
        text: str = node.value
        if node.tag == TAG + "str":
            if not node.style and text in ("y", "Y", "n", "N"):
                return text in ("y", "Y")
            return text
        match node.tag.removeprefix(TAG):
            case "null":
                return None
            case "bool":
                return text.lower() in _TRUE
            case "int":
                return _integer(text)
            case "float":
                return _number(text)
            case "timestamp":
                return Unquoted(text, "a date")
            case "value" | "merge":
                return text
        self._fault(node, f"the tag {_short_tag(node)} is not known: leave it out")
        return None

    def _fault(self, node: Node, message: str) -> None:
        self.faults.append(Fault(node.start_mark.line + 1, node.start_mark.column + 1, message))


def _children(node: Node) -> list[Node]:
    return [value for _, value in node.value] if isinstance(node, MappingNode) else node.value


def _integer(text: str) -> object:
    if _CANONICAL_INT.fullmatch(text):
        return int(text)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if ":" in text:
        return Unquoted(text, "a number in base 60")
    return Unquoted(text, "a number with underscores" if "_" in text else "a number in base 8 or 2")


def _number(text: str) -> object:
    if _CANONICAL_FLOAT.fullmatch(text):
        return float(text)
    if text.lower().endswith((".inf", ".nan")):
        return float(text.lower().replace(".", ""))
    return Unquoted(text, "a number in base 60" if ":" in text else "a number with underscores")


def _short_tag(node: Node) -> str:
    tag: str = node.tag
    return tag.replace(TAG, "!!")
