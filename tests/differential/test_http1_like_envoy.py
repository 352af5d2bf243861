"""The same bytes through a real Envoy, set up as Istio does it, and through pyproxy: all that can be seen is the same.

Status line, headers, bodies, what the upstream was sent, whether the connection stays open, and what is logged. What
differs on purpose stands in tables, each entry with the record in docs/decisions that says why.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyproxy.wire.paths import normalize
from tests.differential.envoy_process import Envoy
from tests.differential.http1_sides import RETRY, Case, Seen, envoy_route, run_all, start_envoy_side, start_our_side
from tests.peers import Request, UpstreamConnection, answer_and_close, answer_with

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

HOST = b"host: app.test"
NO_BODY = b"content-length: 0"


def raw(line: bytes, *headers: bytes, body: bytes = b"", host: bytes = HOST) -> bytes:
    """A request's bytes; each header line as given."""
    lines = [line, host, *headers] if host else [line, *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(*headers: bytes, target: bytes = b"/", host: bytes = HOST) -> bytes:
    return raw(b"GET %b HTTP/1.1" % target, *headers, host=host)


def post(*headers: bytes, body: bytes = b"") -> bytes:
    return raw(b"POST / HTTP/1.1", *headers, body=body)


def chunked(body: bytes, *headers: bytes) -> bytes:
    return post(b"transfer-encoding: chunked", *headers, body=body)


def response(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + line, *headers]) + b"\r\n\r\n" + body


def early(connection: UpstreamConnection, request: Request) -> None:
    """Answer before the body is there."""
    connection.send(response(b"413 Too Big", b"content-length: 2", body=b"no"))


def reset(connection: UpstreamConnection, request: Request) -> None:
    connection.read_body(request)
    connection.reset()


def continue_first(connection: UpstreamConnection, request: Request) -> None:
    connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    connection.read_body(request)
    connection.send(response(b"200 OK", b"content-length: 2", body=b"ok"))


def switch(connection: UpstreamConnection, request: Request) -> None:
    connection.send(response(b"101 Switching Protocols", b"upgrade: websocket", b"connection: Upgrade"))
    while True:
        connection.fill()
        connection.send(connection.exactly(len(connection.buffer)))


def silence(connection: UpstreamConnection, request: Request) -> None:
    connection.read_body(request)
    connection.fill()


def silence_in_body(connection: UpstreamConnection, request: Request) -> None:
    connection.send(response(b"200 OK", b"content-length: 5", body=b"he"))
    connection.fill()


def fail_first(connection: UpstreamConnection, request: Request) -> None:
    connection.read_body(request)
    first = request.get(b"x-envoy-attempt-count") == b"1"
    connection.send(response(b"503 Service Unavailable" if first else b"200 OK", NO_BODY))


WEBSOCKET = (b"connection: Upgrade", b"upgrade: websocket", b"sec-websocket-key: x", b"sec-websocket-version: 13")


def answered(line: bytes, *headers: bytes, body: bytes = b"", request: bytes = b"", **more: Any) -> Case:
    """A plain GET, and this response."""
    return Case(request or get(), answer_with(response(line, *headers, body=body)), **more)


def closed(line: bytes, *headers: bytes, body: bytes = b"", request: bytes = b"", **more: Any) -> Case:
    """A plain GET, and this response followed by a close."""
    return Case(request or get(), answer_and_close(response(line, *headers, body=body)), **more)


CASES: dict[str, Case] = {
    # Plain requests
    "GET": Case(get(target=b"/a?b=c")),
    "HEAD": Case(raw(b"HEAD / HTTP/1.1"), answer_with(response(b"200 OK", b"content-length: 5"))),
    "POST with a length": Case(post(b"content-length: 5", body=b"hello")),
    "POST without a body": Case(post()),
    "POST of length 0": Case(post(b"content-length: 0")),
    "length 00": Case(post(b"content-length: 00")),
    "PUT without a body": Case(raw(b"PUT / HTTP/1.1")),
    "DELETE without a body": Case(raw(b"DELETE / HTTP/1.1")),
    "OPTIONS without a body": Case(raw(b"OPTIONS / HTTP/1.1")),
    "PATCH chunked": Case(raw(b"PATCH / HTTP/1.1", b"transfer-encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n")),
    "GET with a body": Case(raw(b"GET / HTTP/1.1", b"content-length: 2", body=b"hi")),
    "chunked": Case(chunked(b"5\r\nhello\r\n3\r\n wo\r\n0\r\n\r\n")),
    "chunked, empty": Case(chunked(b"0\r\n\r\n")),
    "Chunked, in capitals": Case(post(b"Transfer-Encoding: CHUNKED", body=b"2\r\nhi\r\n0\r\n\r\n")),
    "chunk extension": Case(chunked(b'5;a=b;c="d"\r\nhello\r\n0\r\n\r\n')),
    "request trailers": Case(chunked(b"2\r\nhi\r\n0\r\nx-trailer: 1\r\n\r\n", b"trailer: x-trailer")),
    "pipelined": Case(get(target=b"/1") + get(target=b"/2") + get(target=b"/3"), responses=3),
    "pipelined with bodies": Case(post(b"content-length: 2", body=b"hi") + get(target=b"/2"), responses=2),
    "leading CRLFs": Case(b"\r\n\r\n" + get()),
    "headers in any case": Case(get(b"X-Custom-HEADER: Value", b"ACCEPT: */*")),
    "repeated headers": Case(get(b"x-a: 1", b"x-b: 2", b"x-a: 3", b"cookie: a=1", b"cookie: b=2")),
    "spaces around a value": Case(get(b"x-a:  1 \t", b"x-b:", b"x-c: ")),
    "obs-text in a value": Case(get(b"x-a: \xc3\xa4\xff")),
    "underscore in a name": Case(get(b"x_a: 1")),
    "odd token characters": Case(get(b"x!#$%&'*+.^`|~9: 1")),
    # Hop by hop
    "connection: close": Case(get(b"connection: close")),
    "connection: Close": Case(get(b"connection: Close")),
    "connection: keep-alive": Case(get(b"connection: keep-alive", b"keep-alive: timeout=5")),
    "proxy-connection": Case(get(b"proxy-connection: keep-alive")),
    "proxy-connection: close": Case(get(b"proxy-connection: close")),
    "nominated headers": Case(get(b"connection: x-a, x-b", b"x-a: 1", b"x-b: 2", b"x-c: 3")),
    "nominated te": Case(get(b"connection: te", b"te: trailers")),
    "nominated content-length": Case(post(b"connection: content-length", b"content-length: 2", body=b"hi")),
    "nominated transfer-encoding": Case(
        post(b"connection: transfer-encoding", b"transfer-encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n")
    ),
    "nominated host": Case(get(b"connection: host")),
    "nominated x-forwarded-for": Case(get(b"connection: x-forwarded-for", b"x-forwarded-for: 1.2.3.4")),
    "nominated pseudo header": Case(get(b"connection: :path")),
    "nine tokens": Case(get(b"connection: a,b,c,d,e,f,g,h,i")),
    "ten tokens": Case(get(b"connection: a,b,c,d,e,f,g,h,i,j")),
    "te: trailers": Case(get(b"te: trailers")),
    "te: gzip": Case(get(b"te: gzip")),
    "te: gzip, trailers": Case(get(b"te: gzip;q=0.5, trailers")),
    "via stays": Case(get(b"via: 1.1 me", b"date: yesterday", b"server: mine", b"accept-encoding: br")),
    # Forwarded and Envoy's own headers
    "x-forwarded-for": Case(get(b"x-forwarded-for: 1.2.3.4")),
    "x-forwarded-for twice": Case(get(b"x-forwarded-for: 1.2.3.4", b"x-forwarded-for: 5.6.7.8")),
    "x-forwarded-proto": Case(get(b"x-forwarded-proto: https")),
    "x-forwarded-proto, odd": Case(get(b"x-forwarded-proto: gopher")),
    "x-forwarded-host": Case(get(b"x-forwarded-host: other", b"x-forwarded-port: 1")),
    "x-forwarded-client-cert": Case(get(b"x-forwarded-client-cert: By=x")),
    "x-request-id": Case(get(b"x-request-id: mine")),
    "x-request-id, empty": Case(get(b"x-request-id:")),
    "x-request-id, a uuid": Case(get(b"x-request-id: 11111111-2222-4333-8444-555555555555")),
    "x-envoy-* of an application": Case(
        get(
            b"x-envoy-internal: true",
            b"x-envoy-retry-on: 5xx",
            b"x-envoy-retry-grpc-on: internal",
            b"x-envoy-max-retries: 5",
            b"x-envoy-retriable-status-codes: 500",
            b"x-envoy-retriable-header-names: x",
            b"x-envoy-hedge-on-per-try-timeout: true",
            b"x-envoy-upstream-rq-timeout-ms: 5",
            b"x-envoy-upstream-rq-per-try-timeout-ms: 5",
            b"x-envoy-upstream-rq-timeout-alt-response: 1",
            b"x-envoy-expected-rq-timeout-ms: 5",
            b"x-envoy-upstream-alt-stat-name: x",
            b"x-envoy-upstream-stream-duration-ms: 5",
            b"x-envoy-force-trace: 1",
            b"x-envoy-ip-tags: x",
            b"x-envoy-original-url: x",
            b"x-envoy-attempt-count: 9",
        )
    ),
    "x-envoy-* that stay": Case(
        get(
            b"x-envoy-downstream-service-cluster: a",
            b"x-envoy-downstream-service-node: b",
            b"x-envoy-original-path: /c",
            b"x-envoy-original-host: d",
            b"x-envoy-external-address: 1.2.3.4",
            b"x-envoy-fault-delay-request: 1",
            b"x-envoy-anything: e",
        )
    ),
    "referer": Case(get(b"referer: http://a/b?c")),
    "referer, not a URL": Case(get(b"referer: nonsense")),
    "referer twice": Case(get(b"referer: http://a/", b"referer: http://b/")),
    "expect, not 100-continue": Case(get(b"expect: something")),
    "b3 comes in": Case(get(b"x-b3-traceid: 463ac35c9f6413ad48485a3953bb6124", b"x-b3-spanid: 0020000000000001")),
    # Request targets
    "path: dot segments": Case(get(target=b"/a/../b/./c/..?x=/../y")),
    "path: above the root": Case(get(target=b"/../../x")),
    "path: encoded dots": Case(get(target=b"/a/%2e%2E/b")),
    "path: unreserved escapes": Case(get(target=b"/%41%7e%2d%5F?%41")),
    "path: other escapes": Case(get(target=b"/%2F%2f%5C%zz%0a%20%C3%A4")),
    "path: backslash": Case(get(target=b"/a\\b")),
    "path: slashes": Case(get(target=b"//a///b/")),
    "path: escaped NUL": Case(get(target=b"/a%00b")),
    "path: fragment": Case(get(target=b"/a#b")),
    "path: fragment in the query": Case(get(target=b"/a?b#c")),
    "path: characters no URL has": Case(get(target=b'/a"<>^`{|}')),
    "path: only a query": Case(get(target=b"/?")),
    "path: semicolon and dots": Case(get(target=b"/a/..;/b")),
    "path: dots at the end": Case(get(target=b"/a/b/..")),
    "OPTIONS *": Case(raw(b"OPTIONS * HTTP/1.1")),
    "GET *": Case(get(target=b"*")),
    "no leading slash": Case(get(target=b"foo")),
    "absolute form": Case(get(target=b"http://app.test/x?y", host=b"host: other")),
    "absolute form with port": Case(get(target=b"http://app.test:80/x")),
    "absolute form, no host": Case(get(target=b"http://app.test/x", host=b"")),
    "absolute form, no path": Case(get(target=b"http://app.test")),
    "absolute form, only a query": Case(get(target=b"http://app.test?a=b")),
    "absolute form, https": Case(get(target=b"https://app.test/x")),
    "absolute form, capitals": Case(get(target=b"HTTP://app.test/x")),
    "absolute form, ftp": Case(get(target=b"ftp://app.test/x")),
    "absolute form, userinfo": Case(get(target=b"http://me@app.test/x")),
    "absolute form, no authority": Case(get(target=b"http:///x")),
    "absolute form, two hosts": Case(get(b"host: c", target=b"http://app.test/x", host=b"host: b")),
    "a long target": Case(get(target=b"/" + b"a" * 8000)),
    # Host
    "host: none": Case(get(host=b"")),
    "host: empty": Case(get(host=b"host:")),
    "host: empty, inbound": Case(get(host=b"host:"), inbound=True),
    "host: capitals": Case(get(host=b"HOST: APP.test")),
    "host: with port": Case(get(host=b"host: app.test:80")),
    "host: with another port": Case(get(host=b"host: app.test:8080")),
    "host: unknown": Case(get(host=b"host: nobody.test")),
    "host: illegal character": Case(get(host=b"host: a b"), inbound=True),
    "host: slash": Case(get(host=b"host: a/b"), inbound=True),
    "host: question mark": Case(get(host=b"host: a?b"), inbound=True),
    "host: hash": Case(get(host=b"host: a#b"), inbound=True),
    "host: at sign": Case(get(host=b"host: a@b"), inbound=True),
    "host: angle": Case(get(host=b"host: a<b"), inbound=True),
    "host: quote": Case(get(host=b'host: a"b'), inbound=True),
    "host: backslash": Case(get(host=b"host: a\\b"), inbound=True),
    "host: caret": Case(get(host=b"host: a^b"), inbound=True),
    "host: braces": Case(get(host=b"host: {a|b}"), inbound=True),
    "host: percent": Case(get(host=b"host: a%20b"), inbound=True),
    "host: sub-delims": Case(get(host=b"host: a!$&'()*+,;=b~_"), inbound=True),
    "host: obs-text": Case(get(host=b"host: \xc3\xa4"), inbound=True),
    "host: IPv6": Case(get(host=b"host: [::1]:80"), inbound=True),
    "host: odd port": Case(get(host=b"host: a:b:c"), inbound=True),
    # Malformed
    "HTTP/1.0": Case(raw(b"GET / HTTP/1.0")),
    "HTTP/1.0, no host": Case(b"GET / HTTP/1.0\r\n\r\n"),
    "HTTP/0.9": Case(b"GET /\r\n\r\n"),
    "HTTP/2.0": Case(raw(b"GET / HTTP/2.0")),
    "HTTP/1.2": Case(raw(b"GET / HTTP/1.2")),
    "HTTP/1": Case(raw(b"GET / HTTP/1")),
    "http/1.1": Case(raw(b"GET / http/1.1")),
    "RTSP": Case(raw(b"DESCRIBE / RTSP/1.0")),
    "unknown method": Case(raw(b"FOO / HTTP/1.1")),
    "method in lower case": Case(raw(b"get / HTTP/1.1")),
    "QUERY": Case(raw(b"QUERY / HTTP/1.1")),
    "M-SEARCH": Case(raw(b"M-SEARCH / HTTP/1.1")),
    "PROPFIND": Case(raw(b"PROPFIND / HTTP/1.1")),
    "SOURCE": Case(raw(b"SOURCE / HTTP/1.1")),
    "TRACE": Case(raw(b"TRACE / HTTP/1.1")),
    "CONNECT": Case(raw(b"CONNECT app.test:80 HTTP/1.1", host=b"host: app.test:80")),
    "two spaces before the target": Case(raw(b"GET  / HTTP/1.1")),
    "two spaces after the target": Case(raw(b"GET /  HTTP/1.1")),
    "space at the end of the line": Case(raw(b"GET / HTTP/1.1 ")),
    "tab in the request line": Case(raw(b"GET\t/ HTTP/1.1")),
    "space in the target": Case(raw(b"GET /a b HTTP/1.1")),
    "space first": Case(b" " + get()),
    "byte 0x80 in the target": Case(get(target=b"/\x80")),
    "control in the target": Case(get(target=b"/\x01")),
    "no version": Case(raw(b"GET /")),
    "garbage": Case(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"),
    "space before the colon": Case(get(b"x-a : 1")),
    "empty name": Case(get(b": 1")),
    "no colon": Case(get(b"garbage")),
    "parenthesis in a name": Case(get(b"x(y): 1")),
    "obs-text in a name": Case(get(b"x\xc3: 1")),
    "NUL in a value": Case(get(b"x: a\0b")),
    "control in a value": Case(get(b"x: a\x01b")),
    "DEL in a value": Case(get(b"x: a\x7fb")),
    "tab in a value": Case(get(b"x: a\tb")),
    "bare CR in a value": Case(get(b"x: a\rb: c")),
    "first header line begins with space": Case(b"GET / HTTP/1.1\r\n host: app.test\r\n\r\n"),
    "bare LF": Case(b"GET / HTTP/1.1\nhost: app.test\n\n"),
    "one bare LF": Case(get(b"x: a\ny: b")),
    "obs-fold": Case(get(b"x: a\r\n b")),
    "two hosts": Case(get(b"host: other.test")),
    "the same host twice": Case(get(HOST)),
    "chunked, HTTP/1.0": Case(raw(b"POST / HTTP/1.0", b"transfer-encoding: chunked", body=b"0\r\n\r\n")),
    "length and chunked": Case(post(b"content-length: 5", b"transfer-encoding: chunked", body=b"0\r\n\r\n")),
    "chunked and length": Case(post(b"transfer-encoding: chunked", b"content-length: 5", body=b"0\r\n\r\n")),
    "two lengths": Case(post(b"content-length: 5", b"content-length: 6", body=b"hello!")),
    "the same length twice": Case(post(b"content-length: 5", b"content-length: 5", body=b"hello")),
    "two lengths in one line": Case(post(b"content-length: 5, 5", body=b"hello")),
    "length: negative": Case(post(b"content-length: -5", body=b"hello")),
    "length: plus": Case(post(b"content-length: +5", body=b"hello")),
    "length: hexadecimal": Case(post(b"content-length: 0x5", body=b"hello")),
    "length: empty": Case(post(b"content-length:", body=b"hello")),
    "length: a word": Case(post(b"content-length: five", body=b"hello")),
    "length: too large": Case(post(b"content-length: 99999999999999999999", body=b"hello")),
    "length: inner space": Case(post(b"content-length: 5 5", body=b"hello")),
    "coding: gzip, chunked": Case(post(b"transfer-encoding: gzip, chunked", body=b"0\r\n\r\n")),
    "coding: identity": Case(post(b"transfer-encoding: identity", body=b"0\r\n\r\n")),
    "coding: chunked, identity": Case(post(b"transfer-encoding: chunked, identity", body=b"0\r\n\r\n")),
    "coding: xchunked": Case(post(b"transfer-encoding: xchunked", body=b"0\r\n\r\n")),
    "coding: empty": Case(post(b"transfer-encoding:", body=b"0\r\n\r\n")),
    "coding: chunked twice": Case(
        post(b"transfer-encoding: chunked", b"transfer-encoding: chunked", body=b"0\r\n\r\n")
    ),
    "coding: quoted": Case(post(b'transfer-encoding: "chunked"', body=b"0\r\n\r\n")),
    "coding: parameter": Case(post(b"transfer-encoding: chunked;a=b", body=b"0\r\n\r\n")),
    "chunk size: not hexadecimal": Case(chunked(b"x\r\nhello\r\n0\r\n\r\n")),
    "chunk size: 0x": Case(chunked(b"0x5\r\nhello\r\n0\r\n\r\n")),
    "chunk size: negative": Case(chunked(b"-5\r\nhello\r\n0\r\n\r\n")),
    "chunk size: empty": Case(chunked(b"\r\nhello\r\n0\r\n\r\n")),
    "chunk size: too large": Case(chunked(b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n")),
    "chunk longer than it says": Case(chunked(b"3\r\nhello\r\n0\r\n\r\n")),
    "chunk size: bare LF": Case(chunked(b"5\nhello\r\n0\r\n\r\n")),
    "chunk extension without a name": Case(chunked(b"5;\r\nhello\r\n0\r\n\r\n")),
    "chunk extension after a space": Case(chunked(b"5 ;a\r\nhello\r\n0\r\n\r\n")),
    "trailers frame": Case(chunked(b"2\r\nhi\r\n0\r\ncontent-length: 5\r\n\r\n")),
    "trailers: bad line": Case(chunked(b"2\r\nhi\r\n0\r\nbad line\r\n\r\n")),
    "chunk: broken second": Case(chunked(b"5\r\nhello\r\nzz\r\n")),
    "100 header lines": Case(get(*(b"x-%d: 1" % number for number in range(99)))),
    "101 header lines": Case(get(*(b"x-%d: 1" % number for number in range(100)))),
    "head of 59 KiB": Case(get(b"x: " + b"a" * 59 * 1024)),
    "head of 61 KiB": Case(get(b"x: " + b"a" * 61 * 1024)),
    "head of 61 KiB in many lines": Case(get(*(b"x-%d: %b" % (number, b"a" * 1250) for number in range(50)))),
    "target of 61 KiB": Case(get(target=b"/" + b"a" * 61 * 1024)),
    "second pipelined is broken": Case(get(target=b"/1") + b"GET / HTTP/1.1\r\nx : y\r\n\r\n", responses=2),
    "request after connection: close": Case(get(b"connection: close") + get(target=b"/2")),
    "request after a 400": Case(get(host=b"") + get(target=b"/2")),
    # Bodies and their ends
    "expect: 100-continue": Case(
        post(b"expect: 100-continue", b"content-length: 5"), continue_first, responses=2, then=b"hello"
    ),
    "early response": Case(post(b"content-length: 100", body=b"part"), early),
    "client leaves": Case(get(), lambda connection, request: connection.exactly(1), leaves=True),
    "client leaves mid-body": Case(post(b"content-length: 100", body=b"x"), lambda c, r: c.read_body(r), leaves=True),
    # Responses
    "204": answered(b"204 No Content"),
    "204 with a length": answered(b"204 No Content", NO_BODY),
    "304": answered(b"304 Not Modified", b"etag: x"),
    "304 with a length": answered(b"304 Not Modified", b"content-length: 5"),
    "200 of length 0": answered(b"200 OK", NO_BODY),
    "chunked response": answered(b"200 OK", b"transfer-encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n"),
    "chunked response, empty": answered(b"200 OK", b"transfer-encoding: chunked", body=b"0\r\n\r\n"),
    "response trailers": answered(b"200 OK", b"transfer-encoding: chunked", body=b"2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n"),
    "response until close": closed(b"200 OK", body=b"until the end"),
    "response without length, empty": closed(b"200 OK"),
    "HTTP/1.0 response": Case(get(), answer_and_close(b"HTTP/1.0 200 OK\r\n\r\nold")),
    "HTTP/1.0 response with length": Case(get(), answer_and_close(b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nold")),
    "response says close": closed(b"200 OK", b"connection: close", b"content-length: 2", body=b"ok"),
    "HEAD, chunked": answered(b"200 OK", b"transfer-encoding: chunked", request=raw(b"HEAD / HTTP/1.1")),
    "HEAD, no framing": answered(b"200 OK", request=raw(b"HEAD / HTTP/1.1")),
    "HEAD, length 0": answered(b"200 OK", NO_BODY, request=raw(b"HEAD / HTTP/1.1")),
    "HEAD, 204": answered(b"204 No Content", request=raw(b"HEAD / HTTP/1.1")),
    "response headers": answered(
        b"200 OK",
        NO_BODY,
        b"Server: theirs",
        b"Date: then",
        b"X-Envoy-Upstream-Service-Time: 999",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"Set-Cookie: a",
        b"Set-Cookie: b",
        b"Via: 1.1 them",
        b"X-Request-Id: theirs",
        b"X-Envoy-Attempt-Count: 7",
        b"X-Envoy-Overloaded: true",
        b"Trailer: x",
        b"Alt-Svc: h3",
    ),
    "response nominates": answered(b"200 OK", NO_BODY, b"connection: x-a", b"x-a: 1"),
    "response upgrade header": answered(b"200 OK", NO_BODY, b"upgrade: h2c", b"connection: upgrade"),
    "response decorator": answered(b"200 OK", NO_BODY, b"x-envoy-decorator-operation: me"),
    "status 299": answered(b"299 Odd", NO_BODY),
    "status 418": answered(b"418 I'm a teapot", NO_BODY),
    "status 599": answered(b"599 Odd", NO_BODY),
    "status 600": answered(b"600 Odd", NO_BODY),
    "status 999": answered(b"999 Odd", NO_BODY),
    "no reason": Case(get(), answer_with(b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n")),
    "500 is not retried": answered(b"500 Internal Server Error", NO_BODY),
    "503 is not retried": answered(b"503 Service Unavailable", b"content-length: 4", body=b"busy"),
    "103": answered(b"103 Early Hints", b"link: x", body=response(b"200 OK", NO_BODY), responses=2),
    "102 twice": answered(
        b"102 Processing", body=response(b"102 Processing") + response(b"200 OK", NO_BODY), responses=2
    ),
    "199": answered(b"199 Odd", body=response(b"200 OK", NO_BODY), responses=1),
    "103 with a length": answered(b"103 Early Hints", b"content-length: 5", body=response(b"200 OK", NO_BODY)),
    "205": answered(b"205 Reset Content", NO_BODY),
    "grpc-status in the head": answered(
        b"200 OK",
        NO_BODY,
        b"content-type: application/grpc",
        b"grpc-status: 5",
        request=post(b"content-type: application/grpc"),
    ),
    # Upstreams that break
    "upstream closes at once": Case(get(), lambda connection, request: connection.close()),
    "upstream resets": Case(get(), reset),
    "upstream closes mid-head": Case(get(), answer_and_close(b"HTTP/1.1 200 OK\r\ncontent-le")),
    "upstream closes after a 100": Case(get(), answer_and_close(b"HTTP/1.1 100 Continue\r\n\r\n"), responses=2),
    "upstream closes mid-body": closed(b"200 OK", b"content-length: 10", body=b"short"),
    "upstream closes mid-chunk": closed(b"200 OK", b"transfer-encoding: chunked", body=b"a\r\nshort"),
    "upstream closes before the last chunk": closed(b"200 OK", b"transfer-encoding: chunked", body=b"2\r\nhi\r\n"),
    "upstream breaks a chunk": answered(b"200 OK", b"transfer-encoding: chunked", body=b"2\r\nhi\r\nzz\r\n"),
    "upstream says garbage": Case(get(), answer_with(b"garbage\r\n\r\n")),
    "upstream: bad version": Case(get(), answer_with(b"HTTP/3.0 200 OK\r\ncontent-length: 0\r\n\r\n")),
    "upstream: bad status": Case(get(), answer_with(b"HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n")),
    "upstream: status 20": Case(get(), answer_with(b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n")),
    "upstream: status 000": Case(get(), answer_with(b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n")),
    "upstream: length and chunked": answered(
        b"200 OK", b"content-length: 5", b"transfer-encoding: chunked", body=b"0\r\n\r\n"
    ),
    "upstream: two lengths": answered(b"200 OK", b"content-length: 2", b"content-length: 3", body=b"hi!"),
    "upstream: same length twice": answered(b"200 OK", b"content-length: 2", b"content-length: 2", body=b"hi"),
    "upstream: bad length": answered(b"200 OK", b"content-length: x", body=b"hi"),
    "upstream: unknown coding": answered(b"200 OK", b"transfer-encoding: gzip", body=b"hi"),
    "upstream: bare LF": Case(get(), answer_with(b"HTTP/1.1 200 OK\ncontent-length: 0\n\n")),
    "upstream: obs-fold": answered(b"200 OK", b"x: a\r\n b", NO_BODY),
    "upstream: chunked twice": answered(
        b"200 OK", b"transfer-encoding: chunked", b"transfer-encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n"
    ),
    "upstream: gzip, chunked": answered(b"200 OK", b"transfer-encoding: gzip, chunked", body=b"2\r\nhi\r\n0\r\n\r\n"),
    "upstream: HTTP/2.0": Case(get(), answer_with(b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n")),
    "upstream: 204 with a chunk": answered(b"204 No Content", b"transfer-encoding: chunked", body=b"0\r\n\r\n"),
    "upstream: NUL": answered(b"200 OK", b"x: a\0b", NO_BODY),
    "upstream: space before the colon": answered(b"200 OK", b"x : a", NO_BODY),
    "upstream: no colon": answered(b"200 OK", b"nonsense", NO_BODY),
    "upstream: 101 header lines": answered(b"200 OK", NO_BODY, *(b"x-%d: 1" % number for number in range(100))),
    "upstream: 100 header lines": answered(b"200 OK", NO_BODY, *(b"x-%d: 1" % number for number in range(99))),
    "upstream: head of 79 KiB": answered(b"200 OK", NO_BODY, b"x: " + b"a" * 79 * 1024),
    "upstream: head of 81 KiB": answered(b"200 OK", NO_BODY, b"x: " + b"a" * 81 * 1024),
    "upstream: bytes after the response": answered(b"200 OK", b"content-length: 2", body=b"okextra"),
    "upstream: two responses": answered(b"200 OK", b"content-length: 2", body=b"ok" + response(b"200 OK", NO_BODY)),
    "upstream: 101 unasked": answered(b"101 Switching Protocols", b"upgrade: websocket", b"connection: upgrade"),
    "upstream: 101 unasked, bare": answered(b"101 Switching Protocols"),
    "upstream: a body with 204": answered(b"204 No Content", b"content-length: 2", body=b"hi"),
    "upstream: a body with 304": answered(b"304 Not Modified", b"content-length: 2", body=b"hi"),
    "upstream: a body for HEAD": answered(b"200 OK", b"content-length: 2", body=b"hi", request=raw(b"HEAD / HTTP/1.1")),
    "POST, upstream closes at once": Case(
        post(b"content-length: 2", body=b"hi"), lambda connection, request: connection.close()
    ),
    "refused": Case(get(target=b"/refused")),
    "refused, gRPC": Case(
        raw(b"POST /refused HTTP/1.1", b"content-type: application/grpc", b"content-length: 2", body=b"hi")
    ),
    "refused, HEAD": Case(raw(b"HEAD /refused HTTP/1.1")),
    # Upgrades
    "websocket": Case(get(*WEBSOCKET), switch, then=b"ping"),
    "websocket, refused": answered(
        b"403 Forbidden", b"content-length: 2", b"x-why: because", body=b"no", request=get(*WEBSOCKET)
    ),
    "websocket, 200": answered(b"200 OK", b"content-length: 2", body=b"hi", request=get(*WEBSOCKET)),
    "websocket, no answer": Case(get(*WEBSOCKET), lambda connection, request: connection.close()),
    "websocket with a body": Case(
        raw(b"POST / HTTP/1.1", *WEBSOCKET, b"content-length: 4", body=b"body"),
        lambda connection, request: connection.send(response(b"403 Forbidden", NO_BODY)),
    ),
    "websocket, bytes before the answer": Case(get(*WEBSOCKET) + b"early", switch, then=b"-late", early=5),
    "upgrade: h2c": Case(get(b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: AAMAAABk")),
    "upgrade: h2c with a body": Case(
        post(
            b"connection: upgrade, http2-settings",
            b"upgrade: h2c",
            b"http2-settings: AAMAAABk",
            b"content-length: 5",
            body=b"hello",
        )
        + get(target=b"/2"),
        responses=2,
    ),
    "upgrade: h2c chunked": Case(
        post(
            b"connection: upgrade, http2-settings",
            b"upgrade: h2c",
            b"http2-settings: AAMAAABk",
            b"transfer-encoding: chunked",
            body=b"5\r\nhello\r\n0\r\n\r\n",
        )
    ),
    "upgrade: other": Case(get(b"connection: upgrade", b"upgrade: other")),
    "upgrade without connection": Case(get(b"upgrade: websocket")),
    "upgrade by proxy-connection": Case(
        post(b"proxy-connection: upgrade", b"upgrade: other", b"content-length: 5", body=b"hello")
    ),
    "connection: upgrade alone": Case(get(b"connection: upgrade")),
    # Routes
    "no route": Case(get(target=b"/nowhere")),
    "no route, with a body": Case(raw(b"POST /nowhere HTTP/1.1", b"content-length: 2", body=b"hi")),
    "no route, gRPC": Case(raw(b"POST /nowhere HTTP/1.1", b"content-type: application/grpc", b"content-length: 0")),
    "direct response": Case(get(target=b"/direct")),
    "direct response, HEAD": Case(raw(b"HEAD /direct HTTP/1.1")),
    "direct response, gRPC": Case(
        raw(b"POST /direct HTTP/1.1", b"content-type: application/grpc", b"content-length: 0")
    ),
    "redirect": Case(get(target=b"/redirect/x?q=1")),
    "redirect, HEAD": Case(raw(b"HEAD /redirect HTTP/1.1")),
    "redirect to https": Case(get(target=b"/https/x?q=1", host=b"host: app.test:80")),
    "fault: abort": Case(get(target=b"/abort")),
    "fault: abort, with a body": Case(raw(b"POST /abort HTTP/1.1", b"content-length: 2", body=b"hi")),
    "fault: abort, gRPC": Case(raw(b"POST /abort HTTP/1.1", b"content-type: application/grpc", b"content-length: 0")),
    "fault: delay": Case(get(target=b"/delay")),
    "fault: delay, with a body": Case(raw(b"POST /delay HTTP/1.1", b"content-length: 2", body=b"hi")),
    "timeout": Case(get(target=b"/timeout"), silence),
    "timeout in the body": Case(get(target=b"/timeout"), silence_in_body),
    "timeout, answered": Case(get(target=b"/timeout")),
    "retried until it succeeds": Case(get(target=b"/retry"), fail_first),
    "retried in vain": answered(
        b"503 Service Unavailable", b"content-length: 4", body=b"busy", request=get(target=b"/retry")
    ),
    "retried with its body": Case(raw(b"POST /retry HTTP/1.1", b"content-length: 2", body=b"hi"), fail_first),
    "retried, closes": Case(raw(b"POST /retry HTTP/1.1"), lambda connection, request: connection.close()),
    "per-try timeout": Case(get(target=b"/per-try"), silence),
    "rewrite": Case(get(target=b"/rewrite/a?b")),
    "header operations": answered(
        b"201 Created",
        NO_BODY,
        b"x-back-gone: 1",
        b"x-back-set: 2",
        b"x-back-added: 3",
        request=get(b"x-gone: 1", b"x-set: 2", b"x-added: 3", target=b"/headers"),
    ),
    "header operations, absent": answered(b"200 OK", NO_BODY, request=get(target=b"/headers")),
    "CORS": Case(get(b"origin: http://good.test", target=b"/cors")),
    "CORS, another origin": Case(get(b"origin: http://bad.test", target=b"/cors")),
    "CORS, preflight": Case(
        raw(b"OPTIONS /cors HTTP/1.1", b"origin: http://good.test", b"access-control-request-method: PUT")
    ),
    "cookie made": Case(get(host=b"host: sticky.test")),
    "cookie kept": Case(get(b"cookie: user=me", host=b"host: sticky.test")),
    "inbound": Case(get(), inbound=True),
    "inbound, server header": answered(b"200 OK", NO_BODY, b"server: theirs", inbound=True),
    "inbound, b3 comes in": Case(
        get(b"x-b3-traceid: 463ac35c9f6413ad48485a3953bb6124", b"x-b3-spanid: 0020000000000001"), inbound=True
    ),
    "inbound, upstream closes": Case(get(), lambda connection, request: connection.close(), inbound=True),
}

OLD_CASES: dict[str, Case] = {
    "HTTP/1.0": Case(raw(b"GET / HTTP/1.0")),
    "keep-alive": Case(raw(b"GET / HTTP/1.0", b"connection: keep-alive")),
    "Keep-Alive, and another header": Case(raw(b"GET / HTTP/1.0", b"Connection: Keep-Alive, x-a", b"x-a: 1")),
    "no host": Case(b"GET / HTTP/1.0\r\n\r\n"),
    "POST": Case(raw(b"POST / HTTP/1.0", b"content-length: 2", body=b"hi")),
    "chunked response": answered(
        b"200 OK",
        b"transfer-encoding: chunked",
        body=b"2\r\nhi\r\n0\r\n\r\n",
        request=raw(b"GET / HTTP/1.0", b"connection: keep-alive"),
    ),
    "HEAD, chunked": answered(
        b"200 OK", b"transfer-encoding: chunked", request=raw(b"HEAD / HTTP/1.0", b"connection: keep-alive")
    ),
    "404": Case(raw(b"GET /nowhere HTTP/1.0", b"connection: keep-alive")),
    "1.1 as ever": Case(get()),
}

REFUSED_BY_US = {
    "bare LF": "0003",
    "one bare LF": "0003",
    "obs-fold": "0003",
    "two hosts": "0003",
    "the same host twice": "0003",
    "absolute form, two hosts": "0003",
    "chunk extension without a name": "0003",
    "absolute form, userinfo": "0009",
    "space at the end of the line": "0009",
    "tab in the request line": "0009",
    "bare CR in a value": "0009",
    "chunk longer than it says": "0009",
    "chunk extension after a space": "0009",
    "trailers frame": "0009",
}
"""Served by Envoy; the record in docs/decisions says why not by us."""
FAILED_BY_US = {
    "upstream: bad version": "0009",
    "upstream: status 20": "0009",
    "upstream: status 000": "0009",
    "upstream: bare LF": "0009",
    "upstream: obs-fold": "0009",
    "upstream: 101 unasked": "0009",
    "upstream: 101 unasked, bare": "0009",
}
"""Passed on by Envoy."""
REPEATED_BY_US = {"upstream closes at once": "0004", "upstream resets": "0004", "inbound, upstream closes": "0004"}
"""Sent once more, on a fresh connection."""
DETAILS_OF_OURS = {"control in the target": "http1.codec_error"}

PERCENT = {"numerator": 100, "denominator": "HUNDRED"}


def header(name: str, value: str, action: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": action}


SET, ADD = "OVERWRITE_IF_EXISTS_OR_ADD", "APPEND_IF_EXISTS_OR_ADD"
HOSTS = [
    {
        "name": "app",
        "domains": ["app.test"],
        "routes": [
            {"match": {"prefix": "/nowhere"}, "direct_response": {"status": 404}},
            {
                "match": {"prefix": "/direct"},
                "direct_response": {"status": 503, "body": {"inline_string": "busy"}},
            },
            {
                "match": {"prefix": "/redirect"},
                "redirect": {"host_redirect": "other.test", "path_redirect": "/new", "response_code": "FOUND"},
            },
            {"match": {"prefix": "/https"}, "redirect": {"scheme_redirect": "https"}},
            envoy_route("/refused", "refusing", "refusing.test"),
            envoy_route("/abort", per_filter={"fault": {"abort": {"http_status": 418, "percentage": PERCENT}}}),
            envoy_route("/delay", per_filter={"fault": {"delay": {"fixed_delay": "0.05s", "percentage": PERCENT}}}),
            envoy_route("/timeout", timeout="0.2s"),
            envoy_route("/retry", retry_policy={"retry_on": "5xx", "num_retries": 2}),
            envoy_route("/per-try", retry_policy={"retry_on": "5xx", "num_retries": 1, "per_try_timeout": "0.1s"}),
            envoy_route("/rewrite/", prefix_rewrite="/", host_rewrite_literal="new.test"),
            envoy_route(
                "/headers",
                request_headers_to_remove=["x-gone"],
                request_headers_to_add=[
                    header("x-set", "1", SET),
                    header("x-path", "%REQ(:PATH)%", SET),
                    header("x-added", "2", ADD),
                ],
                response_headers_to_remove=["x-back-gone"],
                response_headers_to_add=[
                    header("x-back-set", "%RESPONSE_CODE%", SET),
                    header("x-back-added", "4", ADD),
                ],
            ),
            envoy_route(
                "/cors",
                per_filter={
                    "cors": {
                        "allow_origin_string_match": [{"exact": "http://good.test"}],
                        "allow_methods": "GET,PUT",
                        "allow_headers": "x-a",
                        "expose_headers": "x-b",
                        "max_age": "60",
                        "allow_credentials": True,
                    }
                },
            ),
            envoy_route("/"),
        ],
    },
    {
        "name": "sticky",
        "domains": ["sticky.test"],
        "routes": [
            envoy_route(
                "/",
                "sticky",
                "sticky.test",
                retry_policy={**RETRY, "retry_host_predicate": []},
                hash_policy=[{"cookie": {"name": "user", "ttl": "60s", "path": "/"}}],
            )
        ],
    },
]

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: {address}, ports: {{http: {port}}}}}]
---"""
DOCUMENTS = (
    SERVICE.format(name="app", address="127.0.0.1", port="UPSTREAM")
    + SERVICE.format(name="sticky", address="127.0.0.1", port="UPSTREAM")
    + SERVICE.format(name="refusing", address="127.0.0.2", port="REFUSING")
    + """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: sticky}
spec:
  host: sticky.test
  trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: user, ttl: 60s, path: /}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: [app.test]
  http:
  - match: [{uri: {prefix: /nowhere}}]
    directResponse: {status: 404}
  - match: [{uri: {prefix: /direct}}]
    directResponse: {status: 503, body: {string: busy}}
  - match: [{uri: {prefix: /redirect}}]
    redirect: {authority: other.test, uri: /new, redirectCode: 302}
  - match: [{uri: {prefix: /https}}]
    redirect: {scheme: https}
  - match: [{uri: {prefix: /refused}}]
    route: [{destination: {host: refusing.test}}]
  - match: [{uri: {prefix: /abort}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: app.test}}]
  - match: [{uri: {prefix: /delay}}]
    fault: {delay: {fixedDelay: 0.05s, percentage: {value: 100}}}
    route: [{destination: {host: app.test}}]
  - match: [{uri: {prefix: /timeout}}]
    timeout: 0.2s
    route: [{destination: {host: app.test}}]
  - match: [{uri: {prefix: /retry}}]
    retries: {attempts: 2, retryOn: 5xx}
    route: [{destination: {host: app.test}}]
  - match: [{uri: {prefix: /per-try}}]
    retries: {attempts: 1, retryOn: 5xx, perTryTimeout: 0.1s}
    route: [{destination: {host: app.test}}]
  - match: [{uri: {prefix: /rewrite/}}]
    rewrite: {uri: /, authority: new.test}
    route: [{destination: {host: app.test}}]
  - match: [{uri: {prefix: /headers}}]
    headers:
      request: {remove: [x-gone], set: {x-set: "1", x-path: "%REQ(:PATH)%"}, add: {x-added: "2"}}
      response: {remove: [x-back-gone], set: {x-back-set: "%RESPONSE_CODE%"}, add: {x-back-added: "4"}}
    route: [{destination: {host: app.test}}]
  - match: [{uri: {prefix: /cors}}]
    corsPolicy:
      allowOrigins: [{exact: http://good.test}]
      allowMethods: [GET, PUT]
      allowHeaders: [x-a]
      exposeHeaders: [x-b]
      maxAge: 60s
      allowCredentials: true
    route: [{destination: {host: app.test}}]
  - route: [{destination: {host: app.test}}]
"""
)


def selected(request: pytest.FixtureRequest, cases: dict[str, Case]) -> dict[str, Case]:
    """The cases that this run asks for."""
    items = (item for item in request.session.items if isinstance(item, pytest.Function))
    wanted = {item.callspec.params.get("name") for item in items if hasattr(item, "callspec")}
    return {name: case for name, case in cases.items() if name in wanted}


@pytest.fixture(scope="module")
def seen(
    start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, tuple[Seen, Seen]]]:
    """Every case through both proxies."""
    folder = tmp_path_factory.mktemp("http1")
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.2", 0))
        refusing = unheard.getsockname()[1]
        theirs = start_envoy_side(start_envoy, folder, HOSTS, refusing)
        ours, process = start_our_side(folder, DOCUMENTS.replace("REFUSING", str(refusing)))
        try:
            yield run_all(selected(request, CASES), theirs, ours)
        finally:
            process.close()


@pytest.fixture(scope="module")
def seen_old(
    start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, tuple[Seen, Seen]]]:
    """Every HTTP/1.0 case through two proxies that serve it."""
    folder = tmp_path_factory.mktemp("http10")
    theirs = start_envoy_side(start_envoy, folder, HOSTS, http_protocol_options={"accept_http_10": True})
    ours, process = start_our_side(folder, DOCUMENTS.replace("REFUSING", "9"), {"ISTIO_META_HTTP10": "1"})
    try:
        yield run_all(selected(request, OLD_CASES), theirs, ours)
    finally:
        process.close()


@pytest.mark.parametrize("name", CASES)
def test_the_same_bytes_have_the_same_effect(name: str, seen: dict[str, tuple[Seen, Seen]]) -> None:
    theirs, ours = seen[name]
    if name in REFUSED_BY_US:
        assert (ours.status, ours.flags, ours.end, ours.upstream) == (400, "DPE", "closed", [])
        assert ours.responses[-1][2] == b"Bad Request"
        assert theirs.status != 400, "no difference any more"
    elif name in FAILED_BY_US:
        assert (ours.status, ours.flags, ours.end) == (502, "UPE", "open")
        assert theirs.status != 502, "no difference any more"
    else:
        assert ours == expected(name, theirs)


def expected(name: str, theirs: Seen) -> Seen:
    """What Envoy did, but for what we do otherwise on purpose."""
    if name in REPEATED_BY_US:
        return replace(theirs, upstream=theirs.upstream * 2)
    if name in DETAILS_OF_OURS:
        return replace(theirs, log=[{**line, "details": DETAILS_OF_OURS[name]} for line in theirs.log])
    return theirs


@pytest.mark.parametrize("name", OLD_CASES)
def test_http_10_is_served_as_envoy_serves_it(name: str, seen_old: dict[str, tuple[Seen, Seen]]) -> None:
    theirs, ours = seen_old[name]
    assert ours == theirs


PATH_PARTS = [b"/", b"/", b"/", b".", b"..", b"%2e", b"%2E", b"a", b"%41", b";", b";x", b"\\", b"%2f", b"%5c", b"%"]
PATH_PARTS += [b"%zz", b"%2", b'"', b"{", b"~", b"%7e", b"[", b"'", b"%00", b"?", b"#", b"|", b"b"]


@pytest.mark.parametrize("name", ["paths"])
def test_paths_are_normalised_as_by_envoy(name: str, start_envoy: Callable[..., Envoy], tmp_path: Path) -> None:
    rng = random.Random(1)
    side = start_envoy_side(start_envoy, tmp_path, HOSTS)
    for _ in range(200):
        target = b"/" + b"".join(rng.choice(PATH_PARTS) for _ in range(rng.randrange(9)))
        seen = side.run(Case(get(target=target)))
        theirs = seen.upstream[0][0].split(b" ")[1] if seen.status == 200 else None

        assert normalize(target) == theirs, target
