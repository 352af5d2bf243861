"""One engine: what an exchange does is the same in all four combinations of HTTP/1.1 and HTTP/2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.fakes import World
from tests.versions import UPGRADE, Answer, Talk

Begin = Callable[..., Talk]


def routes(http: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: app}}
spec:
  hosts: [app.test]
  http: [{http}]
"""


TO_APP = "route: [{destination: {host: app.test}}]"


@pytest.fixture(params=[(1, 1), (1, 2), (2, 1), (2, 2)], ids=lambda pair: f"{pair[0]}to{pair[1]}")
def begin(request: pytest.FixtureRequest) -> Iterator[Begin]:
    """Begin to talk through a proxy with these documents."""
    with ExitStack() as stack:

        def talk(*documents: str) -> Talk:
            client, upstream = request.param
            more = (UPGRADE,) if upstream == 2 else ()
            return Talk(stack.enter_context(World(*more, *documents)), client, upstream)

        yield talk


def test_a_request_and_its_response(begin: Begin) -> None:
    talk = begin()
    talk.answers = [Answer(201, ((b"x-there", b"2"),), b"made")]
    got = talk.ask(b"POST", b"/p?q=1", (b"x-here", b"1"), body=b"hello")
    (seen,) = talk.requests
    assert (seen.method, seen.target, seen.authority, seen.body) == (b"POST", b"/p?q=1", b"app.test", b"hello")
    assert (seen.get(b"x-here"), seen.get(b"x-forwarded-proto"), seen.get(b"x-envoy-attempt-count")) == (
        b"1",
        b"http",
        b"1",
    )
    assert seen.get(b"x-request-id") and seen.get(b"x-b3-traceid")
    assert (got.status, got.body, got.whole, got.get(b"x-there")) == (201, b"made", True, b"2")
    assert (got.get(b"server"), got.get(b"x-envoy-upstream-service-time")) == (b"envoy", b"0")
    assert got.get(b"date") and got.get(b"content-length") == b"4"
    assert got.get(b"transfer-encoding") is None
    for name in (b"connection", b"keep-alive", b"upgrade"):
        assert seen.get(name) is None and got.get(name) is None


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_responses_without_a_body(begin: Begin, method: bytes, status: int) -> None:
    talk = begin()
    talk.answers = [Answer(status, body=b"four")]
    got = talk.ask(method)
    assert (got.status, got.body, got.whole) == (status, b"", True)
    assert got.get(b"content-length") == (None if status == 204 else b"4")
    assert talk.ask().body == b"ok"


def test_large_bodies_both_ways(begin: Begin) -> None:
    talk = begin()
    large = bytes(range(256)) * 200  # within what h2 lets be sent at once
    talk.answers = [Answer(body=large)]
    got = talk.ask(b"POST", body=large)
    assert talk.requests[0].body == large
    assert got.body == large and got.whole


def test_a_path_is_normalised_and_rewritten(begin: Begin) -> None:
    talk = begin(routes(f"{{match: [{{uri: {{prefix: /a/}}}}], rewrite: {{uri: /b/}}, {TO_APP}}}"))
    talk.ask(path=b"/x/../a/%41?q")
    (seen,) = talk.requests
    assert (seen.target, seen.get(b"x-envoy-original-path")) == (b"/b/A?q", b"/a/A?q")


def test_headers_are_operated_on(begin: Begin) -> None:
    operations = "headers: {request: {set: {x-a: '1'}, remove: [x-b]}, response: {add: {x-c: '2'}, remove: [x-d]}}"
    talk = begin(routes(f"{{{operations}, {TO_APP}}}"))
    talk.answers = [Answer(headers=((b"x-d", b"9"),))]
    got = talk.ask(b"GET", b"/", (b"x-b", b"9"))
    (seen,) = talk.requests
    assert (seen.get(b"x-a"), seen.get(b"x-b"), got.get(b"x-c"), got.get(b"x-d")) == (b"1", None, b"2", None)


@pytest.mark.parametrize(
    ("http", "status", "body"),
    [
        ("directResponse: {status: 418, body: {string: tea}}", 418, b"tea"),
        (f"fault: {{abort: {{httpStatus: 500, percentage: {{value: 100}}}}}}, {TO_APP}", 500, b"fault filter abort"),
        ("redirect: {uri: /there}", 301, b""),
        ("route: [{destination: {host: nobody.test}}]", 503, b""),
    ],
)
def test_what_is_answered_here(begin: Begin, http: str, status: int, body: bytes) -> None:
    talk = begin(routes(f"{{{http}}}"))
    for _ in range(2):
        got = talk.ask()
        assert (got.status, got.body, got.whole) == (status, body, True)
    assert talk.requests == []


def test_a_call_is_answered_in_grpc(begin: Begin) -> None:
    talk = begin(routes("{route: [{destination: {host: nobody.test}}]}"))
    got = talk.ask(b"POST", b"/", (b"content-type", b"application/grpc"), (b"te", b"trailers"), body=b"x")
    assert (got.status, got.get(b"grpc-status"), got.get(b"content-type"), got.body) == (
        200,
        b"14",
        b"application/grpc",
        b"",
    )


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (b"application/grpc+proto", 200),
        (b"application/grpc;charset=utf-8", 503),
        (b"application/grpc-web", 503),
        (b"application/grpcx", 503),
    ],
)
def test_what_is_a_call(begin: Begin, kind: bytes, status: int) -> None:
    talk = begin(routes("{route: [{destination: {host: nobody.test}}]}"))
    assert talk.ask(b"POST", b"/", (b"content-type", kind), body=b"x").status == status


def test_a_failure_is_tried_again_with_the_body(begin: Begin) -> None:
    talk = begin(routes(f"{{retries: {{attempts: 2, retryOn: 5xx}}, {TO_APP}}}"))
    talk.answers = [Answer(503), Answer(503)]
    talk.send(b"POST", body=b"again")
    talk.world.advance(1)
    assert (talk.got.status, talk.got.body) == (200, b"ok")
    assert [seen.body for seen in talk.requests] == [b"again"] * 3
    assert [seen.get(b"x-envoy-attempt-count") for seen in talk.requests] == [b"1", b"2", b"3"]


def test_the_route_s_timeout_gives_up_and_answers(begin: Begin) -> None:
    talk = begin(routes(f"{{timeout: 2s, {TO_APP}}}"))
    talk.answers = [Answer(silent=True)]
    talk.send()
    assert talk.requests[0].get(b"x-envoy-expected-rq-timeout-ms") == b"2000"
    talk.world.advance(2.1)
    assert (talk.got.status, talk.got.body) == (504, b"upstream request timeout")
    assert talk.given_up


def test_a_client_that_leaves_ends_the_attempt(begin: Begin) -> None:
    talk = begin()
    talk.answers = [Answer(silent=True)]
    talk.send()
    talk.leave()
    talk.world.call(lambda: None)
    assert talk.given_up
    state = talk.world.cluster()
    assert (state.stats.upstream_rq_active, talk.world.stats.downstream_rq_active) == (0, 0)


def test_a_response_that_breaks_off_is_seen_to(begin: Begin) -> None:
    talk = begin()
    talk.answers = [Answer(cut=True)]
    got = talk.ask()
    assert (got.status, got.whole) == (200, False)


def test_cors(begin: Begin) -> None:
    talk = begin(routes(f"{{corsPolicy: {{allowOrigins: [{{exact: 'http://a'}}], allowMethods: [PUT]}}, {TO_APP}}}"))
    got = talk.ask(b"OPTIONS", b"/", (b"origin", b"http://a"), (b"access-control-request-method", b"PUT"))
    assert (got.status, got.get(b"access-control-allow-methods")) == (200, b"PUT")
    assert talk.ask(b"GET", b"/", (b"origin", b"http://a")).get(b"access-control-allow-origin") == b"http://a"
