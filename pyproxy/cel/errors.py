"""What can be wrong with an expression: its text, or what it comes to for one request."""

from __future__ import annotations


class SyntaxProblem(ValueError):
    """A text that is no CEL."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"at position {position}: {message}")
        self.position = position
        """Characters before the place."""


class UnsupportedProblem(SyntaxProblem):
    """CEL that Envoy may know, and pyproxy does not: its value is always an error."""


class EvaluationError(Exception):
    """An expression has no value: an attribute or a key is missing, or types do not fit."""
