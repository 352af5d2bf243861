from collections.abc import Callable

import pytest


def in_rule(text: str) -> str:
    return f"hosts: [a]\nhttp: [{{route: [{{destination: {{host: a}}}}], {text}}}]"


@pytest.mark.parametrize(
    ("rule", "path", "part"),
    [
        ("fault: {}", "fault", "injects nothing"),
        ("fault: {delay: {exponentialDelay: 1s}}", "fault.delay.exponentialDelay", "use fixedDelay"),
        (
            "fault: {delay: {fixedDelay: 1s, percentage: {value: 0.00001}}}",
            "fault.delay.percentage.value",
            "0.0001 to 100",
        ),
        ("fault: {abort: {httpStatus: 100}}", "fault.abort.httpStatus", "200 to 599"),
        ("fault: {abort: {grpcStatus: unavailable}}", "fault.abort.grpcStatus", "accepted are OK"),
        ("fault: {abort: {http2Error: X}}", "fault.abort.http2Error", "use httpStatus"),
        ("corsPolicy: {allowOrigins: [{}]}", "corsPolicy.allowOrigins[0]", "needs a text"),
        ("corsPolicy: {allowOrigins: [{regex: '['}]}", "corsPolicy.allowOrigins[0].regex", "RE2"),
        ("corsPolicy: {allowMethods: [get]}", "corsPolicy.allowMethods[0]", "accepted are GET"),
        ("corsPolicy: {allowHeaders: ['a b']}", "corsPolicy.allowHeaders[0]", "not a header name"),
        ("corsPolicy: {exposeHeaders: ['']}", "corsPolicy.exposeHeaders[0]", "may not be empty"),
        ("corsPolicy: {maxAge: 1500ms}", "corsPolicy.maxAge", "whole number of seconds"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], rule: str, path: str, part: str) -> None:
    expect("VirtualService", in_rule(rule), f"http[0].{path}", part)


def test_an_abort_of_nothing_is_warned_about(expect: Callable[..., None]) -> None:
    expect(
        "VirtualService",
        in_rule("fault: {abort: {percentage: {value: 1}}}"),
        "http[0].fault.abort",
        "aborts nothing",
        "warning",
    )


def test_a_fault_may_hit_nobody(judge: Callable[..., list[object]]) -> None:
    assert judge("VirtualService", in_rule("fault: {abort: {httpStatus: 600, percentage: {value: 0}}}")) == []
