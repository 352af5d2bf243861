"""YAML text to documents: a syntax error in one does not hide the others, and no text can crash the reader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from yaml import CSafeLoader, Node

_MAX_DEPTH = 100  # Istio's deepest message is 15 levels down


@dataclass(frozen=True, slots=True)
class Fault:
    """Text that cannot be read as a document. Counts from 1."""

    line: int
    column: int
    message: str


def compose(text: str) -> Iterator[Node | Fault]:
    """The documents of a text in order. After a syntax error reading goes on at the next `---`."""
    lines = text.split("\n")
    if (fault := _depth_fault(text, lines)) is not None:
        yield fault
        return
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


def _depth_fault(text: str, lines: list[str]) -> Fault | None:
    """Text nested so deeply that libyaml's composer, which recurses in C, would overrun the stack."""
    if not _may_be_deep(lines):
        return None
    depth = 0
    try:
        for event in yaml.parse(text, CSafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            mark = event.start_mark
            if depth > _MAX_DEPTH and mark is not None:
                return Fault(mark.line + 1, mark.column + 1, f"is nested more than {_MAX_DEPTH} levels deep")
    except yaml.YAMLError:
        pass  # to be told by the composer
    return None


def _may_be_deep(lines: list[str]) -> bool:
    """A quick look that errs on the side of yes: by brackets that stay open, by indentation and by dashes."""
    balance = 0
    for line in lines:
        opened = line.count("[") + line.count("{")
        indents = len(line) - len(line.lstrip()) + line.count("- ") + line.count("? ")
        if balance + opened > _MAX_DEPTH or indents > _MAX_DEPTH:
            return True
        balance = max(0, balance + opened - line.count("]") - line.count("}"))
    return False


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
