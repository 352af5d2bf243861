"""How the tests of the rules say what they expect."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pyproxy.istio.problems import Problem


@pytest.fixture
def expect(judge: Callable[..., list[Problem]]) -> Callable[..., None]:
    """Check that a spec has exactly one problem: its severity, its path below `spec.` and a part of what is said."""

    def expect_one(kind: str, spec: str, path: str, part: str, severity: str = "error", metadata: str = "") -> None:
        problems = judge(kind, spec, metadata)
        assert [(one.severity, one.path.removeprefix("spec.")) for one in problems] == [(severity, path)], problems
        assert part in problems[0].message

    return expect_one
