"""A tree of lines for people: drawn by rich on a terminal, indented by two spaces anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Branch:
    """One line and what belongs to it."""

    text: str
    style: str = ""
    """A style of rich's; empty: none."""
    children: list[Branch] = field(default_factory=list)

    def add(self, text: str, style: str = "") -> Branch:
        """A new line below this one."""
        child = Branch(text, style)
        self.children.append(child)
        return child

    def add_values(self, values: Mapping[str, object]) -> None:
        """One line for each name; nested values below it."""
        for name, value in values.items():
            if isinstance(value, Mapping):
                if all(isinstance(each, str | int | float) for each in value.values()):
                    self.add(f"{name}: {', '.join(f'{key} {each}' for key, each in value.items())}")
                else:
                    self.add(name).add_values(value)
            elif isinstance(value, Sequence) and not isinstance(value, str):
                self.add(f"{name}: {', '.join(map(str, value))}")
            else:
                self.add(f"{name}: {value}")


def show(root: Branch) -> None:
    """Print a tree on standard output."""
    if not sys.stdout.isatty():
        print("\n".join(plain(root)))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.tree import Tree

    def grown(branch: Branch) -> Tree:
        text = escape(branch.text)
        tree = Tree(f"[{branch.style}]{text}[/]" if branch.style else text)
        tree.children = [grown(child) for child in branch.children]
        return tree

    Console(highlight=False).print(grown(root))


def plain(branch: Branch, indent: str = "", step: str = "  ") -> Iterator[str]:
    """The lines without any drawing; each level stands one step further in."""
    yield indent + branch.text
    for child in branch.children:
        yield from plain(child, indent + step, step)
