"""What an authorizer is told, and what its answer means."""

from __future__ import annotations

import pytest

from pyproxy.core.context import RequestContext
from pyproxy.core.http import Headers, RequestHead
from pyproxy.policy.ext_authz import (
    ExtAuthz,
    HeaderNames,
    apply_permission,
    check_head,
    denial_headers,
    permission,
)

LEAST = ExtAuthz("p", "c")


def request(*lines: tuple[bytes, bytes], method: bytes = b"GET") -> RequestHead:
    return RequestHead(method, b"/a?q=1", b"h:80", list(lines), notable=dict(lines))


def check(settings: ExtAuthz, head: RequestHead, body: bytes = b"", *, cut: bool = False) -> RequestHead:
    return check_head(settings, head, RequestContext(head, 0.0, 0.0), body, cut=cut)


@pytest.mark.parametrize(
    ("pattern", "matched", "unmatched"),
    [("X-A", b"x-a", b"x-ab"), ("x-*", b"x-a", b"ax-"), ("*-ID", b"my-id", b"my-ids")],
)
def test_names_by_pattern(pattern: str, matched: bytes, unmatched: bytes) -> None:
    names = HeaderNames.of([pattern])
    assert names and matched in names and unmatched not in names
    assert not HeaderNames.of([]) and matched not in HeaderNames.of([])


def test_the_least_that_is_told() -> None:
    found = check(LEAST, request((b"authorization", b"t"), (b"cookie", b"c"), (b"content-length", b"9"), method=b"PUT"))
    assert (found.method, found.target, found.authority) == (b"PUT", b"/a?q=1", b"h:80")
    assert found.headers == [
        (b"content-length", b"0"),
        (b"authorization", b"t"),
        (b"x-envoy-internal", b"true"),
        (b"x-envoy-expected-rq-timeout-ms", b"600000"),
    ]


def test_who_may_take_for_ever_is_told_of_no_time() -> None:
    assert check(ExtAuthz("p", "c", timeout=0.0), request()).headers[1:] == [(b"x-envoy-internal", b"true")]


def test_more_may_be_told_and_added() -> None:
    settings = ExtAuthz(
        "p",
        "c",
        timeout=0.25,
        path_prefix=b"/check",
        told=HeaderNames.of(["x-*", "content-length", "host"]),
        additional=((b"x-b", lambda ctx: ctx.request.method), (b"x-none", lambda ctx: b"")),
    )
    found = check(settings, request((b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3")), b"body", cut=True)
    assert found.target == b"/check/a?q=1"
    assert found.headers == [
        (b"content-length", b"4"),
        (b"x-a", b"1,3"),
        (b"x-envoy-auth-partial-body", b"true"),
        (b"x-b", b"GET"),
        (b"x-envoy-internal", b"true"),
        (b"x-envoy-expected-rq-timeout-ms", b"250"),
    ]


def test_who_allows_may_change_the_request_and_the_response() -> None:
    settings = ExtAuthz(
        "p", "c", upstream_on_allow=HeaderNames.of(["x-*", "*-length"]), client_on_allow=HeaderNames.of(["set-cookie"])
    )
    answer: Headers = [
        (b"x-a", b"1"),
        (b"x-a", b"2"),
        (b"other", b"o"),
        (b"content-length", b"0"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"x-envoy-auth-headers-to-remove", b"Cookie, :path, host,"),
        (b"x-envoy-auth-headers-to-remove", b"content-length,x-gone"),
    ]
    given = permission(settings, answer)
    assert given.set == [(b"x-a", b"2")]
    assert given.remove == {b"cookie", b"x-gone"}
    assert given.to_client == [(b"set-cookie", b"a"), (b"set-cookie", b"b")]

    head = request((b"x-a", b"0"), (b"cookie", b"c"), (b"content-length", b"9"), (b"x-gone", b"g"))
    apply_permission(head, given)
    assert head.headers == [(b"content-length", b"9"), (b"x-a", b"2")]
    assert head.notable == {b"content-length": b"9", b"x-a": b"2"}


def test_what_is_set_and_removed_is_removed() -> None:
    settings = ExtAuthz("p", "c", upstream_on_allow=HeaderNames.of(["x-a"]))
    head = request((b"x-a", b"0"))
    apply_permission(head, permission(settings, [(b"x-a", b"1"), (b"x-envoy-auth-headers-to-remove", b"x-a")]))
    assert (head.headers, head.notable) == ([], {})


def test_who_says_nothing_changes_nothing() -> None:
    head = request((b"x-a", b"0"))
    headers = head.headers
    apply_permission(head, permission(LEAST, [(b"x-a", b"1")]))
    assert head.headers is headers


def test_a_denial_shows_all_or_what_is_listed() -> None:
    answer: Headers = [
        (b"x-a", b"1"),
        (b"x-b", b"2"),
        (b"www-authenticate", b"Basic"),
        (b"location", b"/l"),
        (b"content-length", b"9"),
        (b"x-envoy-auth-headers-to-remove", b"a"),
    ]
    assert denial_headers(LEAST, answer) == answer[:4]
    listed = ExtAuthz("p", "c", client_on_deny=HeaderNames.of(["x-a"]))
    assert denial_headers(listed, answer) == [answer[0], *answer[2:4]]
