from __future__ import annotations

from collections.abc import Callable

from pyproxy.analysis.analyze import ANALYZERS, SUPPRESS

RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, annotations: {ANNOTATIONS}}
spec: {host: nobody}
---
"""
BROKEN = """\
apiVersion: networking.istio.io/v1
kind: KIND
metadata: {name: b}
spec: {nonsense: 1}
"""


def test_an_annotation_suppresses_codes_of_its_document(told: Callable[[str], list[str]]) -> None:
    assert told(RULE.replace("ANNOTATIONS", "")) == ["IST0174 spec.host"]
    assert told(RULE.replace("ANNOTATIONS", f"{SUPPRESS}: 'IST0001, IST0174'")) == []
    assert told(RULE.replace("ANNOTATIONS", f"{SUPPRESS}: '*'")) == []


def test_what_may_be_missing_because_of_an_error_is_not_missed(told: Callable[[str], list[str]]) -> None:
    rule = RULE.replace("ANNOTATIONS", "")
    assert told(rule + BROKEN.replace("KIND", "ServiceEntry")) == []
    assert told(rule + BROKEN.replace("KIND", "Gateway")) == ["IST0174 spec.host"]
    assert told(rule + "kind: [") == []


def test_no_analyzer_is_there_twice() -> None:
    assert len({analyzer for analyzer, _ in ANALYZERS}) == len(ANALYZERS)
