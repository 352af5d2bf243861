"""Who may do what: rules of all actions → one verdict per request, as Envoy's RBAC filters in Istio's order give it.

A verdict is remembered by the facts that the rules read, and by no others, so that it is exact; a request that agrees
in them costs one look-up however many rules there are.
Source: Envoy source/extensions/filters/common/rbac/engine_impl.cc, filters/http/rbac/rbac_filter.cc.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pyproxy.policy.rbac_matchers import Fact, Facts, facts_read
from pyproxy.policy.rbac_rules import LARGEST_REMEMBERED, size_of
from pyproxy.policy.rbac_rules import Rules as Rules

Action = Literal["ALLOW", "DENY", "AUDIT"]
MOST_REMEMBERED: Final = 4096
"""Verdicts of one set of rules."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What Istio makes one RBAC filter of: an action, its rules, and those that are only tried out."""

    action: Action
    rules: Rules | None
    """None: nothing is enforced."""
    shadow: Rules | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What rules under `istio.io/dry-run` would have decided."""

    action: Action
    allowed: bool
    policy: str
    """The rule that matched; empty when none did."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of all stages."""

    denied_by: str | None
    """The rule that denied, `none` when no rule allowed; None: allowed."""
    allowed: int = 0
    """Stages that let it pass: each counts."""
    trials: tuple[Trial, ...] = ()
    audited_by: str | None = None


class Authorizer:
    """The stages that every request (or connection) passes, AUDIT, DENY, ALLOW. Not shared by threads."""

    __slots__ = ("_facts", "_known", "stages")

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self.stages = stages
        read: dict[str, Fact] = {}
        for stage in stages:
            for rules in (stage.rules, stage.shadow):
                for rule in rules.rules if rules is not None else ():
                    read |= facts_read(rule.permission) | facts_read(rule.principal)
        self._facts: tuple[Fact, ...] = tuple(dict.fromkeys(read.values()))
        self._known: dict[tuple[object, ...], Verdict] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Authorizer) and self.stages == other.stages

    def __hash__(self) -> int:
        return hash(self.stages)

    def judge(self, facts: Facts) -> Verdict:
        """The verdict on one request."""
        key = tuple([fact(facts) for fact in self._facts])
        known = self._known
        verdict = known.get(key)
        if verdict is None:
            verdict = self.decide(facts)
            if size_of(key) <= LARGEST_REMEMBERED:
                if len(known) >= MOST_REMEMBERED:
                    known.clear()
                known[key] = verdict
        return verdict

    def decide(self, facts: Facts) -> Verdict:
        """The same without memory."""
        allowed = 0
        audited: str | None = None
        trials: list[Trial] = []
        for stage in self.stages:
            action = stage.action
            if stage.shadow is not None:
                matched = stage.shadow.matched(facts)
                trials.append(Trial(action, (matched is not None) == (action == "ALLOW"), matched or ""))
            if stage.rules is None:
                continue
            matched = stage.rules.matched(facts)
            if action == "AUDIT":
                audited = matched
            elif (matched is not None) != (action == "ALLOW"):
                return Verdict(matched or "none", allowed, tuple(trials), audited)
            allowed += 1
        return Verdict(None, allowed, tuple(trials), audited)


def denial_details(policy: str) -> str:
    """Envoy's response code details. White space in a policy's name becomes `_`."""
    return f"rbac_access_denied_matched_policy[{'_'.join(policy.split())}]"


@dataclass(frozen=True, slots=True)
class CustomRules:
    """Action CUSTOM: what matches is put before an external authorizer; nothing else is."""

    provider: str
    """Its name in MeshConfig."""
    rules: Rules


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Everything that holds for one protocol, in the order of Istio's filters: custom or misdirected, then the rest."""

    authorizer: Authorizer
    custom: CustomRules | None = None
    misdirected: Authorizer | None = None
    """CUSTOM rules whose authorizer is unknown, or not the only one: what they match is denied."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """All AuthorizationPolicy documents that hold for a proxy."""

    http: RuleSet
    tcp: RuleSet
