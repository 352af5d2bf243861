"""Many rules at once. That they give what each alone would: tests/policy/test_rbac.py."""

from __future__ import annotations

import pytest

from pyproxy.core.http import RequestHead
from pyproxy.policy import rbac_rules
from pyproxy.policy.rbac_matchers import Facts
from pyproxy.policy.rbac_rules import Rules
from pyproxy.policy.rbac_terms import AllOf, AnyOf, Authenticated, DestinationPort, Header, Not, Path, Rule, Term, Text

GET = AnyOf((Header(":method", Text("exact", "GET")),))


def facts(path: str = "/", method: str = "GET", *, port: int = 80, names: tuple[str, ...] | None = None) -> Facts:
    found = Facts(names=names, destination_port=port)
    found.head = RequestHead(method.encode(), path.encode(), b"x", [])
    return found


def rule(number: int, *permissions: Term, principal: Term = AllOf()) -> Rule:
    return Rule(f"rule[{number}]", AnyOf((AllOf(permissions),)), principal)


def at(path: str) -> Term:
    return AnyOf((Path(Text("exact", path)),))


def test_the_first_of_those_that_match_is_named() -> None:
    rules = Rules([rule(2, at("/b")), rule(1, GET, at("/b")), rule(0, GET, at("/a"))])
    assert rules.matched(facts("/a")) == "rule[0]"
    assert rules.matched(facts("/b")) == "rule[1]"
    assert rules.matched(facts("/b", "PUT")) == "rule[2]"
    assert rules.matched(facts("/c")) is None


def test_no_rules_match_nothing_and_a_rule_without_conditions_everything() -> None:
    assert Rules([]).matched(facts()) is None
    assert Rules([rule(0)]).matched(facts()) == "rule[0]"


def test_what_excludes_many_excludes_each() -> None:
    rules = Rules([rule(0, Not(AnyOf((DestinationPort(80), Path(Text("exact", "/a"))))))])
    assert rules.matched(facts("/b", port=81)) == "rule[0]"
    assert rules.matched(facts("/a", port=81)) is None
    assert rules.matched(facts("/b", port=80)) is None
    assert Rules([rule(0, Not(AllOf()))]).matched(facts()) is None
    assert Rules([rule(0, Not(AnyOf()))]).matched(facts()) == "rule[0]"


def test_alternatives_that_read_different_facts_stay_together() -> None:
    either = AnyOf((DestinationPort(80), Path(Text("exact", "/a"))))
    rules = Rules([rule(0, either)])
    assert rules.matched(facts("/a", port=81)) == "rule[0]"
    assert rules.matched(facts("/b", port=80)) == "rule[0]"
    assert rules.matched(facts("/b", port=81)) is None


def test_only_rules_that_the_caller_leaves_are_asked_about_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    compiled = rbac_rules.compile_term

    def noting(term: Term) -> object:
        holds = compiled(term)
        paths = "Path" in repr(term)

        def test(found: Facts) -> bool:
            if paths:
                asked.append(repr(term))
            return holds(found)

        return test

    monkeypatch.setattr(rbac_rules, "compile_term", noting)
    rules = Rules(
        [
            rule(number, at(f"/{number}"), principal=Authenticated(Text("exact", f"name-{number}")))
            for number in range(50)
        ]
    )
    for path in ("/7", "/8"):
        rules.matched(facts(path, names=("name-7",)))
    assert len(asked) == 2


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rbac_rules, "MOST_REMEMBERED", 3)
    rules = Rules([rule(0, principal=Authenticated(Text("exact", "x")))])
    for number in range(10):
        rules.matched(facts(names=(f"name-{number}",)))
    (group,) = rules._few
    assert len(group._known) <= 3
    group._known.clear()
    rules.matched(facts(names=("x" * rbac_rules.LARGEST_REMEMBERED, "")))
    assert len(group._known) == 1
    rules.matched(facts(names=("x" * rbac_rules.LARGEST_REMEMBERED, "y")))
    assert len(group._known) == 1


def test_rules_are_equal_when_they_say_the_same() -> None:
    assert Rules([rule(0, GET)]) == Rules([rule(0, GET)])
    assert Rules([rule(0, GET)]) != Rules([rule(0)])
    assert hash(Rules([rule(0)])) == hash(Rules([rule(0)]))
    assert repr(Rules([rule(0)])) == "Rules(['rule[0]'])"
