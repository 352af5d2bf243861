from collections.abc import Callable

import pytest

from pyproxy.istio.problems import Problem

ROUTE = "route: [{destination: {host: a}}]"


def in_rule(text: str) -> str:
    return f"hosts: [a]\nhttp:\n- {text}"


@pytest.mark.parametrize(
    ("rule", "path", "part"),
    [
        ("timeout: 1s", "", "says nothing to do"),
        (f"redirect: {{uri: /b}}\n  {ROUTE}", ".route", "redirect excludes it"),
        ("redirect: {uri: /b}\n  fault: {abort: {httpStatus: 500}}", ".fault", "redirect excludes it"),
        ("redirect: {uri: /b}\n  rewrite: {uri: /c}", ".rewrite", "redirect excludes it"),
        ("redirect: {uri: /b}\n  directResponse: {status: 200}", ".directResponse", "redirect excludes it"),
        (f"directResponse: {{status: 200}}\n  {ROUTE}", ".route", "directResponse excludes it"),
        ("directResponse: {status: 200}\n  rewrite: {uri: /c}", ".rewrite", "directResponse excludes it"),
        (f"delegate: {{name: b}}\n  {ROUTE}", ".route", "delegate excludes it"),
        ("delegate: {name: b}\n  redirect: {uri: /b}", ".redirect", "delegate excludes it"),
        (
            f"{ROUTE}\n  mirror: {{host: b}}\n  mirrors: [{{destination: {{host: c}}}}]",
            ".mirrors",
            "mirror excludes it",
        ),
        (f"{ROUTE}\n  mirrorPercentage: {{value: 101}}", ".mirrorPercentage.value", "from 0 to 100"),
        (
            f"{ROUTE}\n  mirrors: [{{destination: {{host: c}}, percentage: {{value: -1}}}}]",
            ".mirrors[0].percentage.value",
            "from 0 to 100",
        ),
        ("route: [{destination: {host: a}, weight: -1}]", ".route[0].weight", "may not be negative"),
        ("route: [{destination: {host: a}}, {destination: {host: b}}]", ".route", "needs a weight above 0"),
        ("route: [{destination: {host: '*'}}]", ".route[0].destination.host", "* is not accepted"),
        ("route: [{destination: {host: ''}}]", ".route[0].destination.host", "may not be empty"),
        ("route: [{destination: {host: a, subset: v.1}}]", ".route[0].destination.subset", "letters, digits"),
        ("route: [{destination: {host: a, port: {number: 0}}}]", ".route[0].destination.port.number", "1 to 65535"),
        ("route: [{destination: {host: a, port: {}}}]", ".route[0].destination.port.number", "1 to 65535"),
        ("redirect: {}", ".redirect", "changes nothing"),
        ("redirect: {uri: /a, prefixRewrite: /b}", ".redirect", "exclude each other"),
        ("match: [{uri: {exact: /a}}]\n  redirect: {prefixRewrite: /b}", ".redirect.prefixRewrite", "must be a prefix"),
        ("redirect: {uri: /a, redirectCode: 200}", ".redirect.redirectCode", "300 to 399"),
        ("redirect: {scheme: ftp}", ".redirect.scheme", "http or https"),
        ("redirect: {port: 70000}", ".redirect.port", "1 to 65535"),
        ("directResponse: {status: 199}", ".directResponse.status", "200 to 599"),
        (f"rewrite: {{}}\n  {ROUTE}", ".rewrite", "changes nothing"),
        (
            f"rewrite: {{uri: /a, uriRegexRewrite: {{match: a, rewrite: b}}}}\n  {ROUTE}",
            ".rewrite",
            "exclude each other",
        ),
        (f"rewrite: {{uriRegexRewrite: {{match: a}}}}\n  {ROUTE}", ".rewrite.uriRegexRewrite", "both required"),
        (
            f"rewrite: {{uriRegexRewrite: {{match: '(', rewrite: b}}}}\n  {ROUTE}",
            ".rewrite.uriRegexRewrite.match",
            "not a regular expression of RE2",
        ),
        (
            f"rewrite: {{authority: b}}\n  headers: {{request: {{set: {{Host: c}}}}}}\n  {ROUTE}",
            "",
            "all write the host",
        ),
        (f"match: [{{uri: {{regex: ''}}}}]\n  {ROUTE}", ".match[0].uri.regex", "may not be empty"),
        (f"match: [{{method: {{prefix: ''}}}}]\n  {ROUTE}", ".match[0].method.prefix", "may not be empty"),
        (f"match: [{{headers: {{'x y': {{}}}}}}]\n  {ROUTE}", '.match[0].headers["x y"]', "not a header name"),
        (f"match: [{{headers: {{x: {{regex: '*'}}}}}}]\n  {ROUTE}", ".match[0].headers.x.regex", "RE2"),
        (f"match: [{{queryParams: {{x: {{prefix: ''}}}}}}]\n  {ROUTE}", ".match[0].queryParams.x.prefix", "empty"),
        (f"match: [{{port: 65536}}]\n  {ROUTE}", ".match[0].port", "1 to 65535"),
        (f"match: [{{sourceLabels: {{a: 'b c'}}}}]\n  {ROUTE}", ".match[0].sourceLabels.a", "label value"),
        (f"match: [{{sourceNamespace: a.b}}]\n  {ROUTE}", ".match[0].sourceNamespace", "letters, digits"),
        (f"match: [{{gateways: [a//b]}}]\n  {ROUTE}", ".match[0].gateways[0]", '"/b" must be'),
        (
            f"headers: {{request: {{set: {{':path': /x}}}}}}\n  {ROUTE}",
            '.headers.request.set[":path"]',
            "cannot be changed",
        ),
        (f"headers: {{request: {{remove: [host]}}}}\n  {ROUTE}", ".headers.request.remove[0]", "cannot be changed"),
        (f"headers: {{response: {{add: {{host: a}}}}}}\n  {ROUTE}", ".headers.response.add.host", "cannot be changed"),
        (
            f"headers: {{request: {{add: {{x: 100%}}}}}}\n  {ROUTE}",
            ".headers.request.add.x",
            "write %% for a percent sign",
        ),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], rule: str, path: str, part: str) -> None:
    expect("VirtualService", in_rule(rule), f"http[0]{path}", part)


@pytest.mark.parametrize(
    "rule",
    [
        "route: [{destination: {host: a}, weight: 0}]",
        "route: [{destination: {host: a}, weight: 1}, {destination: {host: b}, weight: 0}]",
        f"match: [{{uri: {{prefix: ''}}}}]\n  {ROUTE}",
        f"match: [{{withoutHeaders: {{x: {{regex: '*'}}, ':method': {{}}}}}}]\n  {ROUTE}",
        f"headers: {{request: {{set: {{':authority': b}}}}}}\n  {ROUTE}",
        "redirect: {derivePort: FROM_PROTOCOL_DEFAULT}",
        "redirect: {uri: /x, redirectCode: 0}",
        "directResponse: {status: 600}",
        "delegate: {name: b}\n  directResponse: {status: 200}",
    ],
)
def test_what_is_unusual_but_right_passes(judge: Callable[..., list[object]], rule: str) -> None:
    assert judge("VirtualService", in_rule(rule)) == []


def test_a_delegate_cannot_delegate(expect: Callable[..., None]) -> None:
    expect("VirtualService", "http: [{delegate: {name: b}}]", "http[0].delegate", "cannot delegate again")


@pytest.mark.parametrize(("size", "severity"), [(101 * 1024, "warning"), (1024 * 1024 + 1, "error")])
def test_a_large_body_is_warned_about_and_a_larger_one_refused(
    expect: Callable[..., None], size: int, severity: str
) -> None:
    rule = f"directResponse: {{status: 200, body: {{string: {'x' * size}}}}}"
    expect("VirtualService", in_rule(rule), "http[0].directResponse.body", "bytes", severity)


def test_a_redirect_code_that_envoy_has_not_is_warned_about(expect: Callable[..., None]) -> None:
    rule = "redirect: {uri: /a, redirectCode: 304}"
    expect("VirtualService", in_rule(rule), "http[0].redirect.redirectCode", "does not work", "warning")


@pytest.mark.parametrize(("each", "warned"), [("5s", True), ("1s", True), ("999ms", False)])
def test_a_try_no_shorter_than_the_whole_is_warned_about(
    judge: Callable[..., list[Problem]], each: str, warned: bool
) -> None:
    rule = f"{{timeout: 1s, retries: {{attempts: 2, perTryTimeout: {each}}}, {ROUTE}}}"
    problems = judge("VirtualService", in_rule(rule))
    path = "spec.http[0].retries.perTryTimeout"
    assert [(one.severity, one.code, one.path) for one in problems] == [("warning", "PYP0006", path)] * warned
