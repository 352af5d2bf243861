from collections.abc import Callable

import pytest

from pyproxy.istio.problems import Problem

Judge = Callable[..., list[Problem]]


def rules(*matches: str) -> str:
    route = "route: [{destination: {host: a}}]"
    return "hosts: [a]\nhttp:\n" + "\n".join(
        f"- {{match: [{match}], {route}}}" if match else f"- {{{route}}}" for match in matches
    )


def told(judge: Judge, *matches: str) -> list[tuple[str, str, str]]:
    return [(one.code, one.severity, one.path) for one in judge("VirtualService", rules(*matches))]


def test_a_rule_after_one_without_a_match_is_never_used(judge: Judge) -> None:
    assert told(judge, "", "{uri: {exact: /a}}", "") == [
        ("IST0130", "warning", "spec.http[1]"),
        ("IST0130", "warning", "spec.http[2]"),
    ]


def test_a_repeated_match_is_told_and_so_is_a_rule_that_has_no_other(judge: Judge) -> None:
    again = "{name: other, uri: {exact: /a}}"
    assert told(judge, "{uri: {exact: /a}}", f"{again}, {{uri: {{exact: /b}}}}", again) == [
        ("IST0131", "info", "spec.http[1].match[0]"),
        ("IST0130", "warning", "spec.http[2]"),
        ("IST0131", "info", "spec.http[2].match[0]"),
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{uri: {prefix: /a}}", "{uri: {prefix: /ab}}"),
        ("{uri: {prefix: /a}}", "{uri: {prefix: /a}, method: {exact: GET}}"),
        ("{uri: {prefix: /a}, headers: {x: {exact: one}}}", "{uri: {prefix: /ab}, headers: {x: {exact: one}, z: {}}}"),
        ("{uri: {prefix: /a}, ignoreUriCase: true}", "{uri: {prefix: /ab}}"),
    ],
)
def test_a_longer_prefix_after_a_shorter_one_is_never_used(judge: Judge, first: str, second: str) -> None:
    assert told(judge, first, second) == [("IST0131", "info", "spec.http[1].match[0]")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{uri: {prefix: /ab}}", "{uri: {prefix: /a}}"),
        ("{uri: {prefix: /a}, method: {exact: GET}}", "{uri: {prefix: /ab}}"),
        ("{uri: {prefix: /a}, port: 80}", "{uri: {prefix: /ab}, port: 81}"),
        ("{uri: {prefix: /a}, headers: {x: {exact: one}}}", "{uri: {prefix: /ab}, headers: {x: {exact: two}}}"),
        ("{uri: {prefix: /a}}", "{uri: {prefix: /ab}, ignoreUriCase: true}"),
        ("{uri: {exact: /a}}", "{uri: {prefix: /a}}"),
    ],
)
def test_what_the_first_leaves_over_is_not_told(judge: Judge, first: str, second: str) -> None:
    assert told(judge, first, second) == []
