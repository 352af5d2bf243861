"""An upstream of HTTP/2 behind a real Envoy, set up as Istio does it, and behind pyproxy: the effect is the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hpack import Encoder
from hyperframe.frame import GoAwayFrame, HeadersFrame

from tests.differential.envoy_process import EXTENSIONS, Envoy
from tests.differential.http1_sides import LOG_FIELDS, envoy_cluster, envoy_listeners, envoy_route
from tests.differential.http2_upstreams import (
    Exchange2,
    Result2,
    Script,
    Side2,
    Upstream2,
    UpstreamConnection2,
    run_both,
)
from tests.peers import Headers
from tests.pyproxy_process import PyproxyProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def get(*lines: bytes, method: bytes = b"GET", body: bytes = b"", target: bytes = b"/") -> bytes:
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), b"host: app.test", *lines]) + b"\r\n\r\n" + body


def answer(*heads: Headers, body: bytes = b"", trailers: Headers | None = None) -> Script:
    """Heads, the last of which is the response's; body and trailers."""

    def script(connection: UpstreamConnection2, stream: int) -> None:
        for number, lines in enumerate(heads):
            last = number == len(heads) - 1 and not body and trailers is None
            connection.h2.send_headers(stream, lines, end_stream=last)
        if body:
            connection.h2.send_data(stream, body, end_stream=trailers is None)
        if trailers is not None:
            connection.h2.send_headers(stream, trailers, end_stream=True)
        connection.flush()

    return script


def status(code: bytes, *lines: tuple[bytes, bytes]) -> Headers:
    return [(b":status", code), *lines]


def raw(*lines: tuple[bytes, bytes], end: bool = True) -> Script:
    """A head that h2 would not send."""

    def script(connection: UpstreamConnection2, stream: int) -> None:
        flags = ["END_HEADERS", "END_STREAM"] if end else ["END_HEADERS"]
        connection.flush(HeadersFrame(stream, data=Encoder().encode(lines), flags=flags).serialize())

    return script


def reset(code: int, *before: tuple[bytes, bytes], body: bytes = b"") -> Script:
    """RST_STREAM, behind a head and the beginning of a body if there is one."""

    def script(connection: UpstreamConnection2, stream: int) -> None:
        if before:
            connection.h2.send_headers(stream, list(before))
        if body:
            connection.h2.send_data(stream, body)
        connection.h2.reset_stream(stream, code)
        connection.flush()

    return script


def goaway(last: int, code: int = 0) -> Script:
    def script(connection: UpstreamConnection2, stream: int) -> None:
        connection.flush(GoAwayFrame(0, last_stream_id=last or stream, error_code=code).serialize())
        if last:
            return
        connection.ok(stream)

    return script


def close(connection: UpstreamConnection2, stream: int) -> None:
    connection.socket.close()


def never(connection: UpstreamConnection2, stream: int) -> None:
    """No answer."""


def early(connection: UpstreamConnection2, stream: int) -> None:
    connection.h2.send_headers(stream, status(b"413", (b"content-length", b"2")))
    connection.h2.send_data(stream, b"no", end_stream=True)
    connection.flush()


def echo(connection: UpstreamConnection2, stream: int) -> None:
    """Accept a websocket; say something."""
    connection.h2.send_headers(stream, status(b"200", (b"x-a", b"1")))
    connection.h2.send_data(stream, b"hello")
    connection.flush()


SOCKET = (b"connection: Upgrade", b"upgrade: websocket", b"sec-websocket-version: 13", b"sec-websocket-key: eA==")
GRPC = (b"content-type: application/grpc", b"te: trailers", b"content-length: 5")
CALL = get(*GRPC, method=b"POST", body=bytes(5))
POST = get(b"content-length: 5", method=b"POST", body=b"hello")

CASES = {
    "get": Exchange2(get()),
    "head": Exchange2(get(method=b"HEAD"), answer(status(b"200", (b"content-length", b"7")))),
    "post": Exchange2(POST),
    "empty post": Exchange2(get(b"content-length: 0", method=b"POST")),
    "post without length": Exchange2(get(method=b"POST")),
    "chunked": Exchange2(get(b"transfer-encoding: chunked", method=b"POST", body=b"5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n")),
    "te": Exchange2(get(b"te: gzip, trailers")),
    "nominated": Exchange2(get(b"connection: x-a, keep-alive", b"x-a: 1", b"keep-alive: 5", b"proxy-connection: x")),
    "cookies": Exchange2(get(b"cookie: a=1; b=2", b"x: 1", b"x: 2")),
    "expect": Exchange2(get(b"expect: 100-continue", b"content-length: 5", method=b"POST", body=b"hello")),
    "h2c": Exchange2(get(b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAM")),
    "no length": Exchange2(get(), answer(status(b"200"), body=b"abc")),
    "no body": Exchange2(get(), answer(status(b"200"))),
    "trailers": Exchange2(get(), answer(status(b"200"), body=b"abc", trailers=[(b"x-t", b"1")])),
    "trailers behind nothing": Exchange2(get(), answer(status(b"200"), trailers=[(b"x-t", b"1")])),
    "204": Exchange2(get(), answer(status(b"204"))),
    "304": Exchange2(get(), answer(status(b"304", (b"content-length", b"10")))),
    "100": Exchange2(get(), answer(status(b"100"), status(b"200", (b"content-length", b"0")))),
    "103": Exchange2(get(), answer(status(b"103", (b"link", b"x")), status(b"200", (b"content-length", b"0")))),
    "set-cookies": Exchange2(get(), answer(status(b"200", (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")))),
    "grpc": Exchange2(
        CALL,
        answer(
            status(b"200", (b"content-type", b"application/grpc")), body=bytes(5), trailers=[(b"grpc-status", b"0")]
        ),
    ),
    "grpc alone": Exchange2(
        CALL, answer(status(b"200", (b"content-type", b"application/grpc"), (b"grpc-status", b"5")))
    ),
    "grpc unavailable": Exchange2(
        CALL, answer(status(b"200", (b"content-type", b"application/grpc"), (b"grpc-status", b"14")))
    ),
    **{f"reset {code}": Exchange2(POST, reset(code)) for code in (0, 1, 2, 7, 8, 10, 11)},
    "reset behind the head": Exchange2(get(), reset(8, (b":status", b"200"))),
    "reset in the body": Exchange2(get(), reset(2, (b":status", b"200"), body=b"abc")),
    "reset of a call": Exchange2(CALL, reset(8)),
    "goaway": Exchange2(get(), goaway(0)),
    "goaway with an error": Exchange2(get(), goaway(0, 11)),
    "close": Exchange2(POST, close),
    "early": Exchange2(get(b"content-length: 50", method=b"POST", body=b"abc"), early, at_once=True),
    "left": Exchange2(get(), never, leaves=True),
    "no status": Exchange2(get(), raw((b"x", b"1"))),
    "odd status": Exchange2(get(), raw((b":status", b"abc"))),
    "connection header": Exchange2(get(), raw((b":status", b"200"), (b"connection", b"close"))),
    "upper name": Exchange2(get(), raw((b":status", b"200"), (b"X-A", b"1"))),
    "control": Exchange2(get(), raw((b":status", b"200"), (b"x", b"1\n2"))),
    "101": Exchange2(get(), raw((b":status", b"101"))),
    "wrong length": Exchange2(get(), answer(status(b"200", (b"content-length", b"9")), body=b"abc")),
    "too many": Exchange2(get(), answer(status(b"200", *[(b"x-%d" % number, b"1") for number in range(101)]))),
    "too large": Exchange2(get(), answer(status(b"200", *[(b"x", b"a" * 9000)] * 10))),
    "websocket": Exchange2(get(*SOCKET), echo, at_once=True, then=b"abcde"),
    "websocket refused": Exchange2(get(*SOCKET), answer(status(b"403"), body=b"no"), at_once=True),
}
NOT_THE_SAME = {
    "websocket": "Envoy takes a client that sends no more for one that is gone; pyproxy passes the end on."
    " And pyproxy answers the client's key, where the upstream has none to answer",
}
DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app}
spec:
  hosts: [app.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP2}]
  endpoints: [{address: 127.0.0.1, ports: {http: UPSTREAM}}]
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh}
spec:
  meshConfig:
    accessLogFile: LOG
    accessLogEncoding: JSON
    accessLogFormat: 'FORMAT'
    defaultConfig: {tracing: {sampling: 0}}
"""


@contextmanager
def running(start_envoy: Callable[..., Envoy], folder: Path) -> Iterator[tuple[Side2, Side2, Envoy, PyproxyProcess]]:
    """Both proxies, each before an upstream of its own."""
    theirs, ours = Upstream2(), Upstream2()
    log = folder / "envoy-access.log"
    options = {
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {"allow_connect": True}},
            }
        }
    }
    host = {"name": "app.test:80", "domains": ["app.test"], "routes": [envoy_route("/")]}
    clusters = [envoy_cluster("app", theirs.port, **options), envoy_cluster("zipkin", 9)]
    envoy = start_envoy(envoy_listeners(log, [host]), clusters)
    our_log = folder / "pyproxy-access.log"
    documents = DOCUMENTS.replace("UPSTREAM", str(ours.port)).replace("LOG", str(our_log))
    process = PyproxyProcess(folder / "pyproxy", documents.replace("FORMAT", json.dumps(LOG_FIELDS)))
    sides = Side2(theirs, envoy.ports["outbound"], log), Side2(ours, process.outbound, our_log)
    try:
        yield *sides, envoy, process
    finally:
        process.close()
        theirs.close()
        ours.close()


@pytest.fixture(scope="module")
def seen(
    start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Result2, Result2]]]:
    """Every case through both; (Envoy, pyproxy)."""
    with running(start_envoy, tmp_path_factory.mktemp("http2-upstream")) as (theirs, ours, *_):
        yield run_both(CASES, theirs, ours)


@pytest.mark.parametrize("name", CASES)
def test_the_same_upstream_has_the_same_effect(name: str, seen: dict[str, tuple[Result2, Result2]]) -> None:
    theirs, ours = seen[name]
    if name in NOT_THE_SAME:
        assert theirs != ours
    else:
        assert theirs == ours
