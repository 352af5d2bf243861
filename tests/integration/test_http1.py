"""HTTP/1.1 through a real process: framing both ways, order, early ends on either side, what is sent on and back."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from tests.integration.conftest import Mesh, start_mesh, stop_mesh
from tests.peers import (
    Gone,
    Headers,
    Request,
    UpstreamConnection,
    answer_and_close,
    answer_with,
    until,
)

pytestmark = pytest.mark.integration

HOST = b"host: app.test"
OK_HEAD = b"HTTP/1.1 200 OK\r\n"


def head(line: bytes, *lines: bytes, host: bytes = HOST) -> bytes:
    return b"\r\n".join([line, host, *lines]) + b"\r\n\r\n"


def get(*lines: bytes, target: bytes = b"/", host: bytes = HOST) -> bytes:
    return head(b"GET %b HTTP/1.1" % target, *lines, host=host)


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/") -> bytes:
    return head(b"POST %b HTTP/1.1" % target, *lines) + body


# Order and reuse


def test_one_connection_serves_many_requests_over_one_upstream_connection(mesh: Mesh) -> None:
    client = mesh.client()
    for number in range(50):
        assert client.ask(get(target=b"/%d" % number)).body == b"ok"
    assert [request.target for request in mesh.upstream.requests] == [b"/%d" % number for number in range(50)]
    assert len({request.connection for request in mesh.upstream.requests}) == 1


def test_pipelined_requests_are_answered_in_order(mesh: Mesh) -> None:
    def echo_target(connection: UpstreamConnection, request: Request) -> None:
        body = request.target + b" " + connection.read_body(request)
        connection.send(OK_HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body))

    mesh.upstream.answer = echo_target
    client = mesh.client()
    kinds = (
        lambda n: get(target=b"/%d" % n),
        lambda n: post(b"content-length: 5", body=b"%05d" % n, target=b"/%d" % n),
        lambda n: post(b"transfer-encoding: chunked", body=b"5\r\n%05d\r\n0\r\n\r\n" % n, target=b"/%d" % n),
    )
    client.send(b"".join(kinds[number % 3](number) for number in range(60)))
    for number in range(60):
        assert client.read().body == b"/%d %b" % (number, b"%05d" % number if number % 3 else b"")


@pytest.mark.parametrize("closes", ["client", "upstream", "HTTP/1.0 upstream"])
def test_who_says_close_is_closed(closes: str, mesh: Mesh) -> None:
    if closes == "upstream":
        mesh.upstream.answer = answer_with(OK_HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\nok")
    if closes == "HTTP/1.0 upstream":
        mesh.upstream.answer = answer_with(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok")
    client = mesh.client()
    response = client.ask(get(*([b"connection: close"] if closes == "client" else [])))

    assert (response.body, response.closes) == (b"ok", closes == "client")
    if closes == "client":
        assert client.ended()
    mesh.upstream.answer = answer_with(OK_HEAD + b"content-length: 2\r\n\r\nok")
    assert mesh.get().status == 200
    first, second = mesh.upstream.requests
    assert (first.connection == second.connection) is (closes == "client")


@pytest.mark.timeout(180)
def test_a_server_that_closes_kept_connections_costs_no_client_an_error(mesh: Mesh) -> None:
    """It closes right after each response, without saying so: the close races with the next request."""
    mesh.upstream.answer = answer_and_close(OK_HEAD + b"content-length: 2\r\n\r\nok")
    statuses: list[int] = []

    def work() -> None:
        client = mesh.client()
        statuses.extend(client.ask(get()).status for _ in range(500))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 2000


def test_a_post_is_not_sent_twice_on_its_own(mesh: Mesh) -> None:
    """Not idempotent: when a kept connection ends under it, nobody knows whether it was done."""
    client = mesh.client()
    assert client.ask(get()).status == 200

    mesh.upstream.answer = lambda connection, request: connection.close()
    response = client.ask(post(b"content-length: 2", body=b"hi"))
    assert response.status == 503
    assert response.body.endswith(b"reset reason: connection termination")
    assert sum(request.method == b"POST" for request in mesh.upstream.requests) == 1


# Bodies


BODY = os.urandom(3_000_000)


def as_chunks(body: bytes, sizes: Iterator[int]) -> bytes:
    pieces = []
    start = 0
    while start < len(body):
        piece = body[start : start + next(sizes)]
        pieces.append(b"%x\r\n%b\r\n" % (len(piece), piece))
        start += len(piece)
    return b"".join(pieces) + b"0\r\n\r\n"


def odd_sizes() -> Iterator[int]:
    while True:
        yield from (1, 2, 65_535, 65_536, 65_537, 300_000, 7)


@pytest.mark.parametrize("sent", ["sized", "chunked"])
@pytest.mark.parametrize("answered", ["sized", "chunked", "until close"])
def test_bodies_arrive_whole_in_every_framing(sent: str, answered: str, mesh: Mesh) -> None:
    def echo(connection: UpstreamConnection, request: Request) -> None:
        body = connection.read_body(request)
        if answered == "sized":
            connection.send(OK_HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        elif answered == "chunked":
            connection.send(OK_HEAD + b"transfer-encoding: chunked\r\n\r\n" + as_chunks(body, odd_sizes()))
        else:
            connection.send(OK_HEAD + b"\r\n" + body)
            connection.close()

    mesh.upstream.answer = echo
    client = mesh.client()
    for _ in range(2):
        if sent == "sized":
            data = post(b"content-length: %d" % len(BODY), body=BODY)
        else:
            data = post(b"transfer-encoding: chunked", body=as_chunks(BODY, odd_sizes()))
        threading.Thread(target=client.send, args=(data,)).start()
        response = client.read()
        assert (response.whole, response.body == BODY) == (True, True)
        assert (response.get(b"content-length") is not None) is (answered == "sized")
    assert [request.body == BODY for request in mesh.upstream.requests] == [True, True]


@pytest.mark.parametrize(
    ("line", "lines", "method"),
    [
        (b"204 No Content", b"", b"GET"),
        (b"304 Not Modified", b"etag: x\r\n", b"GET"),
        (b"304 Not Modified", b"content-length: 10\r\n", b"GET"),
        (b"200 OK", b"content-length: 10\r\n", b"HEAD"),
        (b"200 OK", b"transfer-encoding: chunked\r\n", b"HEAD"),
        (b"404 Not Found", b"content-length: 0\r\n", b"GET"),
    ],
)
def test_a_response_without_a_body_ends_with_its_head(line: bytes, lines: bytes, method: bytes, mesh: Mesh) -> None:
    mesh.upstream.answer = answer_with(b"HTTP/1.1 " + line + b"\r\n" + lines + b"\r\n")
    client = mesh.client()
    for _ in range(3):
        response = client.ask(head(method + b" / HTTP/1.1"))
        assert response.status_line == b"HTTP/1.1 " + line
        for name, value in (pair.split(b": ") for pair in lines.split(b"\r\n") if pair):
            assert response.get(name) == value
    assert len({request.connection for request in mesh.upstream.requests}) == 1


def test_trailers_are_dropped_both_ways(mesh: Mesh) -> None:
    mesh.upstream.answer = answer_with(
        OK_HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-trailer: 1\r\n\r\n"
    )
    client = mesh.client()
    client.send(post(b"transfer-encoding: chunked", b"trailer: x-t", body=b"2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n"))
    client.read_head()
    assert client.until(b"0\r\n\r\n") == b"2\r\nok\r\n0\r\n\r\n"
    assert mesh.upstream.requests[0].body == b"hi"
    assert client.ask(get()).status == 200


# Interim responses


def test_expect_100_continue_is_the_upstreams_to_answer(mesh: Mesh) -> None:
    def wait_for_body(connection: UpstreamConnection, request: Request) -> None:
        seen.append(connection.buffer)
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.read_body(request)
        connection.send(OK_HEAD + b"content-length: 2\r\n\r\nok")

    seen: list[bytes] = []
    mesh.upstream.answer = wait_for_body
    client = mesh.client()
    client.send(post(b"expect: 100-continue", b"content-length: 5"))
    assert client.read_head().status == 100
    client.send(b"hello")
    assert client.read().body == b"ok"
    assert (seen, mesh.upstream.requests[0].body) == ([b""], b"hello")


def test_a_refused_expectation_needs_no_body(mesh: Mesh) -> None:
    def refuse(connection: UpstreamConnection, request: Request) -> None:
        connection.send(b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\n\r\nno")

    mesh.upstream.answer = refuse
    client = mesh.client()
    response = client.ask(post(b"expect: 100-continue", b"content-length: 5"))
    assert (response.status, response.body, response.closes) == (417, b"no", True)
    assert client.ended()


def test_early_hints_are_passed_on_once(mesh: Mesh) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    mesh.upstream.answer = answer_with(hints + OK_HEAD + b"content-length: 2\r\n\r\nok")
    client = mesh.client()
    client.send(get())
    first, second = client.read_head(), client.read_head()
    assert (first.status, first.get(b"link"), second.status) == (103, b"</a>", 200)


# Early ends


def test_a_client_that_leaves_ends_the_upstream_request(mesh: Mesh) -> None:
    def wait_for_end(connection: UpstreamConnection, request: Request) -> None:
        try:
            connection.fill()
        except Gone:
            ended.set()

    ended = threading.Event()
    mesh.upstream.answer = wait_for_end
    client = mesh.client()
    client.send(get())
    until(lambda: bool(mesh.upstream.requests))
    client.close()
    assert ended.wait(10)


def test_a_client_that_leaves_in_its_body_ends_the_upstream_request(mesh: Mesh) -> None:
    def read_all(connection: UpstreamConnection, request: Request) -> None:
        try:
            connection.read_body(request)
        except Gone:
            ended.set()

    ended = threading.Event()
    mesh.upstream.answer = read_all
    client = mesh.client()
    client.send(post(b"transfer-encoding: chunked", body=b"5\r\nhello\r\n"))
    until(lambda: bool(mesh.upstream.requests))
    client.reset()
    assert ended.wait(10)
    assert not mesh.upstream.requests[0].whole


def test_a_client_that_leaves_in_the_response_ends_it(mesh: Mesh) -> None:
    def send_for_ever(connection: UpstreamConnection, request: Request) -> None:
        connection.send(OK_HEAD + b"transfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                connection.send(b"4\r\nmore\r\n")
                time.sleep(0.001)
        except OSError:
            ended.set()

    ended = threading.Event()
    mesh.upstream.answer = send_for_ever
    client = mesh.client()
    client.send(get())
    client.until(b"more")
    client.close()
    assert ended.wait(10)


def test_a_response_before_the_request_is_whole_goes_out_at_once(mesh: Mesh) -> None:
    def refuse(connection: UpstreamConnection, request: Request) -> None:
        connection.send(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 2\r\n\r\nno")

    mesh.upstream.answer = refuse
    client = mesh.client()
    response = client.ask(post(b"content-length: 1000000", body=b"x" * 1000))
    assert (response.status, response.body, response.closes) == (413, b"no", True)
    assert response.get(b"x-envoy-upstream-service-time") is None
    assert client.ended()


def test_a_big_upload_that_is_refused_early_still_reads_the_answer(mesh: Mesh) -> None:
    """Nobody resets the connection under a client that is still sending."""

    def refuse(connection: UpstreamConnection, request: Request) -> None:
        connection.exactly(100_000)
        connection.send(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 2\r\n\r\nno")
        connection.rest()

    mesh.upstream.answer = refuse
    client = mesh.client()
    client.send(post(b"content-length: 3000000", body=BODY[:400_000]))
    assert client.read().status == 413


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_upstream_that_closes_without_an_answer_is_a_termination(sent: bytes, mesh: Mesh) -> None:
    mesh.upstream.answer = answer_and_close(sent)
    client = mesh.client()
    response = client.ask(get())
    assert (response.status_line, response.closes) == (b"HTTP/1.1 503 Service Unavailable", False)
    assert response.body == (
        b"upstream connect error or disconnect/reset before headers. reset reason: connection termination"
    )
    assert response.get(b"content-type") == b"text/plain"


# What is sent on


SENT_ON: dict[str, tuple[list[bytes], Headers]] = {
    "as it came": (
        [b"Accept: */*", b"X-Custom: a b", b"via: 1.1 me", b"date: now", b"server: mine", b"x_under: 1"],
        [
            (b"accept", b"*/*"),
            (b"x-custom", b"a b"),
            (b"via", b"1.1 me"),
            (b"date", b"now"),
            (b"server", b"mine"),
            (b"x_under", b"1"),
        ],
    ),
    "repeated": (
        [b"x-a: 1", b"x-a: 2", b"cookie: a", b"cookie: b"],
        [(b"x-a", b"1"), (b"x-a", b"2"), (b"cookie", b"a"), (b"cookie", b"b")],
    ),
    "white space": ([b"x-a:\t 1 \t", b"x-b:"], [(b"x-a", b"1"), (b"x-b", b"")]),
    "hop by hop": (
        [b"connection: keep-alive, x-a", b"keep-alive: 5", b"proxy-connection: keep-alive", b"x-a: 1", b"te: gzip"],
        [],
    ),
    "te: trailers": ([b"te: gzip, trailers"], [(b"te", b"trailers")]),
    "upgrade to h2c": ([b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: AA"], []),
    "x-forwarded-for": ([b"x-forwarded-for: 1.2.3.4"], [(b"x-forwarded-for", b"1.2.3.4")]),
    "x-forwarded-for twice": (
        [b"x-forwarded-for: 1.2.3.4", b"x-forwarded-for: 5.6.7.8"],
        [(b"x-forwarded-for", b"1.2.3.4,5.6.7.8")],
    ),
    "x-forwarded-proto": ([b"x-forwarded-proto: https"], [(b"x-forwarded-proto", b"https")]),
    "x-forwarded-host": ([b"x-forwarded-host: h"], [(b"x-forwarded-host", b"h")]),
    "x-forwarded-client-cert": ([b"x-forwarded-client-cert: By=me"], []),
    "x-request-id": ([b"x-request-id: mine"], [(b"x-request-id", b"mine")]),
    "steering": ([b"x-envoy-max-retries: 9", b"x-envoy-upstream-rq-timeout-ms: 1", b"x-envoy-internal: true"], []),
    "x-envoy-attempt-count": ([b"x-envoy-attempt-count: 9"], [(b"x-envoy-attempt-count", b"1")]),
    "x-envoy-* of others": (
        [b"x-envoy-original-path: /a", b"x-envoy-x: b"],
        [(b"x-envoy-original-path", b"/a"), (b"x-envoy-x", b"b")],
    ),
    "referer": ([b"referer: http://a/b"], [(b"referer", b"http://a/b")]),
    "referer that is none": ([b"referer: http://"], []),
    "b3": (
        [b"x-b3-traceid: 463ac35c9f6413ad48485a3953bb6124", b"x-b3-spanid: 0020000000000001", b"x-b3-sampled: 0"],
        [
            (b"x-b3-traceid", b"463ac35c9f6413ad48485a3953bb6124"),
            (b"x-b3-parentspanid", b"0020000000000001"),
            (b"x-b3-sampled", b"0"),
        ],
    ),
}
MADE_BY_US = {b"host", b"x-forwarded-proto", b"x-request-id", b"x-envoy-attempt-count", b"x-envoy-decorator-operation"}
MADE_BY_US |= {b"x-b3-traceid", b"x-b3-spanid", b"x-b3-sampled"}


@pytest.mark.parametrize("name", SENT_ON)
def test_headers_go_upstream_as_envoy_sends_them(name: str, mesh: Mesh) -> None:
    lines, expected = SENT_ON[name]
    assert mesh.client().ask(get(*lines)).status == 200

    seen = mesh.upstream.requests[0].headers
    assert {key for key, _ in seen} >= MADE_BY_US
    asked = {key for key, _ in expected}
    assert sorted(line for line in seen if line[0] in asked or line[0] not in MADE_BY_US) == sorted(expected)


def test_headers_come_back_as_envoy_sends_them(mesh: Mesh) -> None:
    mesh.upstream.answer = answer_with(
        OK_HEAD + b"Server: theirs\r\nDate: then\r\nX-A: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nKeep-Alive: 5\r\n"
        b"Connection: x-b\r\nX-B: 2\r\nUpgrade: h2c\r\nX-Envoy-Upstream-Service-Time: 9\r\ncontent-length: 0\r\n\r\n"
    )
    response = mesh.client().ask(get())
    kept = [line for line in response.headers if line[0] not in (b"x-envoy-upstream-service-time", b"content-length")]
    assert sorted(kept) == [
        (b"date", b"then"),
        (b"server", b"envoy"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"x-a", b"1"),
        (b"x-b", b"2"),
    ]
    assert int(response.get(b"x-envoy-upstream-service-time") or b"") < 5000


def test_a_date_is_made_where_none_came(mesh: Mesh) -> None:
    date = mesh.client().ask(get()).get(b"date") or b""
    assert abs(time.mktime(time.strptime(date.decode(), "%a, %d %b %Y %H:%M:%S GMT")) - time.mktime(time.gmtime())) < 5


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/a/../b/./c?x=/../y", b"/b/c?x=/../y"),
        (b"/%41%2e%2e/%2F", b"/A../%2F"),
        (b"/../..//x", b"//x"),
        (b"/a\\b", b"/a/b"),
        (b"/a/..;/b", b"/b"),
        (b'/"', b"/%22"),
        (b"/?", b"/?"),
        (b"http://app.test/x?y", b"/x?y"),
        (b"http://app.test", b"/"),
    ],
)
def test_targets_are_normalised(target: bytes, expected: bytes, mesh: Mesh) -> None:
    assert mesh.client().ask(get(target=target)).status == 200
    assert mesh.upstream.requests[0].target == expected


# HTTP/1.0


def test_http_10_is_asked_to_upgrade(mesh: Mesh) -> None:
    client = mesh.client()
    response = client.ask(head(b"GET / HTTP/1.0"))
    assert (response.status_line, response.body) == (b"HTTP/1.1 426 Upgrade Required", b"Upgrade Required")
    assert client.ended()
    assert mesh.upstream.requests == []


SERVES_HTTP_10 = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh}
spec: {meshConfig: {defaultConfig: {proxyMetadata: {ISTIO_META_HTTP10: "1"}}}}
"""


@pytest.fixture(scope="module")
def old_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """One that serves HTTP/1.0."""
    mesh = start_mesh(tmp_path_factory.mktemp("old"), SERVES_HTTP_10)
    yield mesh
    mesh.hang_up()
    stop_mesh(mesh)


def test_http_10_is_served_where_the_mesh_says_so(old_mesh: Mesh) -> None:
    client = old_mesh.client()
    for _ in range(2):
        response = client.ask(head(b"GET / HTTP/1.0", b"connection: keep-alive"))
        assert (response.status_line, response.body) == (b"HTTP/1.0 200 OK", b"ok")
        assert response.get(b"connection") == b"keep-alive"
    response = client.ask(head(b"GET / HTTP/1.0"))
    assert (response.body, response.closes) == (b"ok", True)
    assert client.ended()
    assert old_mesh.client().ask(get()).status_line == b"HTTP/1.1 200 OK"


def test_http_10_gets_a_body_until_close(old_mesh: Mesh) -> None:
    old_mesh.upstream.answer = answer_with(OK_HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    client = old_mesh.client()
    client.send(head(b"GET / HTTP/1.0", b"connection: keep-alive"))
    response = client.read_head()
    assert response.get(b"transfer-encoding") is None
    assert (response.closes, client.rest()) == (True, b"hello")


def test_http_10_sees_a_body_that_breaks_off(old_mesh: Mesh) -> None:
    """Its only sign that a body is whole is an orderly end: this one is a reset."""
    old_mesh.upstream.answer = answer_and_close(OK_HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    client = old_mesh.client()
    client.send(head(b"GET / HTTP/1.0"))
    with pytest.raises(ConnectionResetError):
        while client.socket.recv(1000):
            pass
