"""YAML text to plain values, strictly: what the text may mean in two ways is refused, and every value can be located.

YAML 1.1 as kubectl reads it. Duplicate keys, unknown tags and self-references are faults; so are unquoted `012`, `1:30`
and dates anywhere, and unquoted `on`, `yes` or `y` as a key, because kubectl would turn them into something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from yaml import CSafeLoader, MappingNode, Node, ScalarNode, SequenceNode

from pyproxy.istio.problems import FieldPath

_TAG = "tag:yaml.org,2002:"
_TRUE = frozenset(("true", "yes", "on", "y"))
_CANONICAL_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_HEXADECIMAL = re.compile(r"[-+]?0x[0-9a-fA-F]+")
_CANONICAL_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_MAX_NODES = 2_000_000  # what aliases may expand a document to; a whole mesh is some thousands


@dataclass(frozen=True, slots=True)
class Fault:
    """Text that cannot be read as a document. Counts from 1."""

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class Unquoted:
    """A scalar that YAML 1.1 reads as something its writer did not mean; no field accepts it."""

    text: str
    meaning: str


def compose(text: str) -> Iterator[Node | Fault]:
    """The documents of a text in order. After a syntax error reading goes on at the next `---`."""
    lines = text.split("\n")
    start = 0
    while True:
        try:
            # Blank lines stand for what was read before, so that marks count from the top of the file.
            rest = text if start == 0 else "\n" * start + "\n".join(lines[start:])
            for node in yaml.compose_all(rest, CSafeLoader):
                if node is not None:
                    yield node
            return
        except yaml.reader.ReaderError as error:
            before = text.encode()[: error.position].decode(errors="ignore")
            line = before.count("\n") + 1
            column = len(before) - before.rfind("\n")
            yield Fault(line, column, f"the character U+{ord(chr(error.character)):04X} is not allowed in YAML")
            return
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line if mark is not None else start
            column = mark.column if mark is not None else 0
            there = lines[line][column : column + 1] if line < len(lines) else ""
            yield Fault(line + 1, column + 1, _syntax_message(error, there))
            following = (i for i in range(max(line, start + 1), len(lines)) if _is_separator(lines[i]))
            start = next(following, -1)
            if start < 0:
                return


def _is_separator(line: str) -> bool:
    return line.startswith("---") and line[3:4] in ("", " ", "\t", "\r")


def _syntax_message(error: yaml.MarkedYAMLError, there: str) -> str:
    """What is wrong, given the character at the place of the error."""
    problem = error.problem or "the text is not YAML"
    if there == "\t":
        return "a tab cannot indent YAML: use spaces"
    if there and there in "@`%" and "cannot start any token" in problem:
        return f"text that begins with {there} must be in quotes"
    if problem == "found unexpected ':'":
        return "text that ends in a colon must be in quotes here"
    if "found undefined alias" in problem:
        return f"{problem}: an alias needs an anchor (&name) earlier in its document"
    if "mapping values are not allowed" in problem:
        return 'mapping values are not allowed here: check the indentation, and put text that holds ": " in quotes'
    return f"{problem} ({error.context})" if error.context else problem


class Reading:
    """Turns one document's nodes into plain values and collects the faults found on the way."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._open: set[int] = set()
        self._done: dict[int, tuple[object, int]] = {}
        self._count = 0

    def value(self, node: Node) -> object:
        """dict, list, str, int, float, bool, None, or Unquoted where the text is ambiguous."""
        self._count += 1
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if self._count > _MAX_NODES:
            if self._count < 2 * _MAX_NODES:
                self._count = 2 * _MAX_NODES
                self._fault(node, "aliases make this document too large")
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
        self._done[id(node)] = (value, self._count - before)
        return value

    def _sequence(self, node: Node) -> object:
        if node.tag != _TAG + "seq":
            self._fault(node, f"the tag {_short_tag(node)} is not known: leave it out")
        return [self.value(item) for item in node.value]

    def _mapping(self, node: MappingNode) -> object:
        if node.tag != _TAG + "map":
            self._fault(node, f"the tag {_short_tag(node)} is not known: leave it out")
        merged: dict[str, object] = {}
        own: dict[str, object] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                for source in _merge_sources(value_node):
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
        if node.tag == _TAG + "str" and not (plain and text in ("y", "Y", "n", "N")):
            return text
        if node.tag == _TAG + "null":
            self._fault(node, 'a key must be text: put it in quotes, as in "null"' if text else "a key is missing")
        elif str(self._scalar(node)).lower() != text and plain:
            self._fault(node, f'the key {text} is not text in YAML: put it in quotes, as in "{text}"')
        return text

    def _scalar(self, node: ScalarNode) -> object:
        text: str = node.value
        if node.tag == _TAG + "str":
            if not node.style and text in ("y", "Y", "n", "N"):
                return text in ("y", "Y")
            return text
        match node.tag.removeprefix(_TAG):
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
    return tag.replace(_TAG, "!!")


def _merge_sources(node: Node) -> list[Node]:
    return list(node.value) if isinstance(node, SequenceNode) else [node]


# Finding a value again


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
        if isinstance(key, ScalarNode) and key.value == step and key.tag != _TAG + "merge":
            return key, value
    for key, value in node.value:
        if key.tag == _TAG + "merge":
            for source in _merge_sources(value):
                pair = _entry(source, step)
                if pair is not None:
                    return pair
    return None
