from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pyproxy.analysis.route_tests import Rules, Tried, read_tests
from pyproxy.istio.loader import load

RULES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: wide}
spec: {hosts: ["*.example.com"], gateways: [edge], http: [{name: wide, route: [{destination: {host: wide}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com]
  gateways: [edge]
  http:
  - match: [{uri: {prefix: /old}}]
    redirect: {uri: /new}
  - match: [{headers: {end-user: {exact: jason}}, queryParams: {q: {exact: "1"}}}]
    timeout: 2s
    rewrite: {uri: /v2}
    route: [{destination: {host: shop, subset: v2}}]
  - match: [{uri: {prefix: /team}}]
    headers: {request: {set: {x-team: a}}}
    delegate: {name: team}
  - match: [{uri: {regex: /late.*}}]
    delegate: {name: late}
  - name: rest
    route: [{destination: {host: shop, port: {number: 80}}, weight: 90}, {destination: {host: new}, weight: 10}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: team}
spec: {http: [{match: [{uri: {prefix: /team/a}}], route: [{destination: {host: team-a}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: late}
spec: {http: [{match: [{uri: {regex: /late/x}}], route: [{destination: {host: late}}]}]}
"""
REQUEST = "{authority: [shop.example.com], method: [GET], uri: [URI]}"


def run(tmp_path: Path, test: str) -> list[Tried]:
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "test.yaml").write_text(f"testCases:\n- {test}\n")
    [placed], problems = read_tests([tmp_path / "test.yaml"])
    assert problems == []
    return list(Rules(load([tmp_path / "rules.yaml"]).documents).run(placed.test))


@pytest.mark.parametrize(
    ("uri", "part", "rule"),
    [
        ("/old/x", "redirect: {uri: /new}", "VirtualService/default/shop http[0]"),
        (
            "/",
            "route: [{destination: {host: shop, port: {number: 80}}, weight: 90}, "
            "{destination: {host: new}, weight: 10}]",
            "VirtualService/default/shop http[4] (rest)",
        ),
        ("/team/a/b", "route: [{destination: {host: team-a}}]", "VirtualService/default/shop http[2]"),
        ("/team/a/b", "delegate: {name: team}", "VirtualService/default/shop http[2]"),
        ("/team/a/b", "headers: {request: {set: {x-team: a}}}", "VirtualService/default/shop http[2]"),
    ],
)
def test_the_parts_that_a_test_names_are_compared(tmp_path: Path, uri: str, part: str, rule: str) -> None:
    [tried] = run(tmp_path, f"{{wantMatch: true, request: {REQUEST.replace('URI', uri)}, {part}}}")
    assert (tried.passed, tried.rule) == (True, rule)
    [tried] = run(tmp_path, f"{{request: {REQUEST.replace('URI', uri)}, {part}}}")
    assert not tried.passed


def test_every_combination_is_a_request(tmp_path: Path) -> None:
    request = "{authority: [a.example.com, 'b.example.com:80'], method: [GET, PUT], uri: [/a, /b]}"
    tried = run(tmp_path, f"{{wantMatch: true, request: {request}, route: [{{destination: {{host: wide}}}}]}}")
    assert len(tried) == 8
    assert all(each.passed for each in tried)


def test_headers_and_query_parameters_count(tmp_path: Path) -> None:
    request = "{authority: [shop.example.com], method: [GET], uri: [/?q=1], headers: {End-User: jason}}"
    [tried] = run(tmp_path, f"{{wantMatch: true, request: {request}, rewrite: {{uri: /v2}}}}")
    assert tried.passed


def test_a_difference_shows_both_and_what_changes(tmp_path: Path) -> None:
    [tried] = run(
        tmp_path, f"{{wantMatch: true, request: {REQUEST.replace('URI', '/old')}, redirect: {{uri: /other}}}}"
    )
    [difference] = tried.differences
    assert (difference.part, difference.wanted, difference.found) == (
        "redirect",
        "redirect:\n  uri: /other",
        "redirect:\n  uri: /new",
    )
    assert difference.diff.splitlines()[-2:] == ["-  uri: /other", "+  uri: /new"]


def test_a_rule_that_istio_drops_from_a_delegate_is_dropped(tmp_path: Path) -> None:
    [tried] = run(
        tmp_path,
        f"{{wantMatch: true, request: {REQUEST.replace('URI', '/late/x')}, route: [{{destination: {{host: late}}}}]}}",
    )
    assert tried.rule.endswith("http[3], and no rule of its delegate that fits within it")
    assert not tried.passed


def test_a_host_that_nobody_has_meets_no_rule(tmp_path: Path) -> None:
    request = "{authority: [elsewhere.org], method: [GET], uri: [/]}"
    [tried] = run(tmp_path, f"{{request: {request}, route: [{{destination: {{host: wide}}}}]}}")
    assert (tried.rule, tried.passed) == ("", True)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("{request: {authority: [], method: [GET], uri: [/]}}", (2, "testCases[0].request.authority")),
        ("{request: {authority: [a], method: [GET], uri: [/]}, rout: []}", (2, "testCases[0].rout")),
        ("{description: x}", (2, "testCases[0].request")),
    ],
)
def test_a_test_that_cannot_be_run_says_where(tmp_path: Path, test: str, expected: tuple[int, str]) -> None:
    (tmp_path / "test.yaml").write_text(f"testCases:\n- {test}\n")
    problems: Sequence[object] = [(each.line, each.path) for each in read_tests([tmp_path / "test.yaml"])[1]]
    assert problems == [expected]
