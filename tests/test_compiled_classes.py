"""What mypyc cannot compile rightly, and no tool tells."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def classes() -> Iterator[ast.ClassDef]:
    """Those of all modules that setup.py compiles."""
    for path in re.findall(r'^    "(pyproxy/.*\.py)",$', (ROOT / "setup.py").read_text(), re.MULTILINE):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.ClassDef):
                yield node


def declared(node: ast.ClassDef) -> set[str]:
    """The attributes that a class gives a type: in its body, or as `self.name: type`."""
    found = set()
    for each in ast.walk(node):
        if isinstance(each, ast.AnnAssign):
            target = each.target
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                found.add(target.attr)
            elif isinstance(target, ast.Name) and each in node.body:
                found.add(target.id)
    return found


def test_no_attribute_is_declared_again_below() -> None:
    """mypyc would show the collector such a reference twice, and it would clear what others still hold."""
    known = {node.name: node for node in classes()}
    assert "Http1Client" in known
    twice = [
        f"{node.name}.{name}"
        for node in known.values()
        for base in node.bases
        if isinstance(base, ast.Name) and base.id in known
        for name in declared(node) & declared(known[base.id])
    ]
    assert twice == []
