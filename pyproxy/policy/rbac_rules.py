"""Many rules at once: which is the first that matches a request.

What a rule asks is divided by the facts that it reads. Of facts of which there are few (who calls, by which method, to
which port) each is looked up: the answer is the set of rules that it leaves. Only those are then asked about the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pyproxy.policy.rbac_matchers import Fact, Facts, Predicate, compile_term, facts_read
from pyproxy.policy.rbac_terms import AllOf, AnyOf, Not, Rule, Term

MOST_REMEMBERED: Final = 1024
"""Answers about one group of facts."""
LARGEST_REMEMBERED: Final = 1024
"""Bytes of the facts that an answer is remembered by: nobody fills our memory with long paths."""
_FEW: Final = frozenset(
    [
        "Authenticated",
        "DirectIp",
        "RemoteIp",
        "DestinationIp",
        "DestinationPort",
        "ServerName",
        "header :method",
        "header :authority",
    ]
)
"""Facts that requests have in common with many others."""


class Rules:
    """Rules of one kind, in the order in which Envoy tries them: that of their ids."""

    __slots__ = ("_all", "_few", "_rest", "rules")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: rule.identifier.encode()))
        self._all = (1 << len(self.rules)) - 1
        grouped: dict[tuple[str, ...], dict[int, list[Term]]] = {}
        rest: list[Predicate | None] = []
        for number, rule in enumerate(self.rules):
            left: list[Term] = []
            for clause in [*_clauses(rule.permission), *_clauses(rule.principal)]:
                names = tuple(sorted(facts_read(clause)))
                if _FEW.issuperset(names):
                    grouped.setdefault(names, {}).setdefault(number, []).append(clause)
                else:
                    left.append(clause)
            rest.append(compile_term(AllOf(tuple(left))) if left else None)
        self._few = tuple(_Group(self._all, clauses) for clauses in grouped.values())
        self._rest = tuple(rest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rules) and self.rules == other.rules

    def __hash__(self) -> int:
        return hash(self.rules)

    def __repr__(self) -> str:
        return f"Rules({[rule.identifier for rule in self.rules]})"

    def matched(self, facts: Facts) -> str | None:
        """The id of the first rule that matches."""
        left = self._all
        for group in self._few:
            left &= group.without_objection(facts)
        while left:
            bit = left & -left
            number = bit.bit_length() - 1
            rest = self._rest[number]
            if rest is None or rest(facts):
                return self.rules[number].identifier
            left ^= bit
        return None


class _Group:
    """What all rules ask of the same facts. Sets of rules are numbers: bit 0 is the first rule."""

    __slots__ = ("_all", "_facts", "_known", "_tests")

    def __init__(self, everyone: int, clauses: dict[int, list[Term]]) -> None:
        self._all = everyone
        self._tests: tuple[tuple[int, Predicate], ...] = tuple(
            (1 << number, compile_term(AllOf(tuple(terms)))) for number, terms in clauses.items()
        )
        read: dict[str, Fact] = {}
        for terms in clauses.values():
            for term in terms:
                read |= facts_read(term)
        self._facts = tuple(read.values())
        self._known: dict[tuple[object, ...], int] = {}

    def without_objection(self, facts: Facts) -> int:
        """The rules that have nothing against these facts."""
        key = tuple([fact(facts) for fact in self._facts])
        found = self._known.get(key)
        if found is None:
            found = self._all
            for bit, holds in self._tests:
                if not holds(facts):
                    found ^= bit
            if size_of(key) <= LARGEST_REMEMBERED:
                if len(self._known) >= MOST_REMEMBERED:
                    self._known.clear()
                self._known[key] = found
        return found


def _clauses(term: Term) -> Iterator[Term]:
    """What must all hold, each by itself as far as that can be."""
    if isinstance(term, AnyOf) and len(term.terms) == 1:
        yield from _clauses(term.terms[0])
    elif isinstance(term, AllOf):
        for each in term.terms:
            yield from _clauses(each)
    elif isinstance(term, Not) and isinstance(term.term, AnyOf):  # none of them
        for each in term.term.terms:
            yield Not(each)
    else:
        yield term


def size_of(key: tuple[object, ...]) -> int:
    """Bytes in what a client may choose."""
    size = 0
    for fact in key:
        if isinstance(fact, bytes | str):
            size += len(fact)
        elif isinstance(fact, tuple):
            size += size_of(fact)
    return size
