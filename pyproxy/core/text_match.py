"""How a text must look, in the operator's own words: kept beside the predicate that was compiled from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class TextMatch:
    """One condition on one text. Nothing asks it whether it holds: predicates do; this is for saying it elsewhere."""

    how: Literal["exact", "prefix", "regex", "present"]
    """`regex` is RE2 over the whole text; `present`: any text will do, as long as there is one."""
    text: str = ""
