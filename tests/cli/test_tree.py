from __future__ import annotations

import pytest

from pyproxy.cli.tree import Branch, plain, show


def test_values_become_lines(capsys: pytest.CaptureFixture[str]) -> None:
    root = Branch("root", "bold")
    root.add_values({"a": 1, "b": ["x", "y"], "c": {"d": 2, "e": "f"}, "g": {"h": {"i": 1}}})
    assert list(plain(root)) == ["root", "  a: 1", "  b: x, y", "  c: d 2, e f", "  g", "    h: i 1"]
    show(root)
    assert capsys.readouterr().out.splitlines()[0] == "root"


def test_on_a_terminal_rich_draws_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    root = Branch("root", "bold")
    root.add("[red]as it is")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    show(root)
    assert "└── [red]as it is" in capsys.readouterr().out
