"""gRPC-Web translated: heads, base64 in pieces, trailers in the body, plain answers; which ports do it."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from pyproxy.core.context import RequestContext
from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.proxy.client_stream import ClientStream
from pyproxy.proxy.grpc_web import GrpcWebCall, is_grpc_web
from tests.fakes import World
from tests.http2_peers import Http2ClientEnd, Http2Network, Http2UpstreamEnd, Message

PORT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web}
spec:
  hosts: [web.test]
  resolution: STATIC
  ports: [{number: 80, name: web, protocol: GRPC-WEB}]
  endpoints: [{address: 10.0.0.9}]
"""
KIND = b"application/grpc-web+proto"
TEXT = b"application/grpc-web-text"
MESSAGE = b"\0\0\0\0\5hello"
TRAILERS = b"\x80\0\0\0\x0fgrpc-status:7\r\n"


class Client(ClientStream):
    """Takes down what it is told."""

    def __init__(self) -> None:
        self.heads: list[tuple[int, dict[bytes, bytes], bool]] = []
        self.body = b""
        self.ended = False

    def send_head(self, head: ResponseHead, *, end: bool, close: bool = False) -> int:
        self.heads.append((head.status, dict(head.headers), end))
        return 1

    def send_body(self, chunk: bytes) -> None:
        self.body += chunk

    def send_end(self) -> None:
        self.ended = True


def call(kind: bytes = KIND, *headers: tuple[bytes, bytes]) -> tuple[GrpcWebCall, Client, RequestHead, RequestContext]:
    lines: Headers = [(b"content-type", kind), (b"content-length", b"10"), *headers]
    head = RequestHead(b"POST", b"/t.T/Call", b"web.test", lines, notable=dict(lines))
    ctx = RequestContext(head, 0.0, 0.0)
    client = Client()
    return GrpcWebCall(client, head, ctx), client, head, ctx


@pytest.mark.parametrize(
    ("kind", "web"),
    [
        (b"application/grpc-web", True),
        (KIND, True),
        (TEXT, True),
        (TEXT + b"+proto", True),
        (b"application/grpc-web+json", False),
        (b"application/grpc", False),
    ],
)
def test_four_content_types_are_grpc_web(kind: bytes, web: bool) -> None:
    lines = [(b"content-type", kind)]
    assert is_grpc_web(RequestHead(b"POST", b"/", b"web.test", lines, notable=dict(lines))) is web


def test_a_head_becomes_that_of_grpc() -> None:
    _, _, head, _ = call()
    assert dict(head.headers) == {
        b"content-type": b"application/grpc",
        b"te": b"trailers",
        b"grpc-accept-encoding": b"identity",
    }
    assert b"content-length" not in head.notable
    _, _, head, _ = call(KIND, (b"grpc-accept-encoding", b"gzip"))
    assert head.get_all(b"grpc-accept-encoding") == [b"gzip"]


def test_base64_is_decoded_as_it_comes() -> None:
    web, _, _, _ = call(TEXT)
    text = base64.b64encode(MESSAGE * 2)
    assert b"".join(web.decode(text[index : index + 1]) for index in range(len(text))) == MESSAGE * 2
    assert web.whole
    web.decode(b"A")
    assert not web.whole
    with pytest.raises(ValueError):
        web.decode(b"???")


def test_trailers_become_the_last_frame_of_the_body() -> None:
    web, client, _, ctx = call()
    web.send_head(ResponseHead(200, [(b"content-type", b"application/grpc")]), end=False)
    web.send_body(MESSAGE)
    web.send_trailers([(b"grpc-status", b"7")])
    assert client.heads == [(200, {b"content-type": KIND}, False)]
    assert (client.body, client.ended, ctx.bytes_sent) == (MESSAGE + TRAILERS, True, len(TRAILERS))


def test_in_text_each_whole_message_is_encoded() -> None:
    web, client, _, _ = call(TEXT, (b"accept", TEXT))
    web.send_head(ResponseHead(200, [(b"content-type", b"application/grpc+proto")]), end=False)
    for index in range(len(MESSAGE)):
        web.send_body(MESSAGE[index : index + 1])
    assert client.body == base64.b64encode(MESSAGE)
    web.send_trailers([(b"grpc-status", b"7")])
    assert client.body == base64.b64encode(MESSAGE) + base64.b64encode(TRAILERS)


@pytest.mark.parametrize(("status", "grpc"), [(200, b"2"), (503, b"14"), (403, b"7")])
def test_a_plain_answer_becomes_a_message_in_the_head(status: int, grpc: bytes) -> None:
    web, client, _, ctx = call()
    web.send_head(ResponseHead(status, [(b"content-type", b"text/plain"), (b"content-length", b"4")]), end=False)
    assert not client.heads
    ctx.bytes_sent = 4
    web.send_body(b"100%")
    web.send_end()
    expected = {b"content-type": KIND, b"grpc-status": grpc, b"grpc-message": b"100%25", b"content-length": b"0"}
    assert client.heads == [(status, expected, True)]
    assert (client.body, ctx.bytes_sent) == (b"", 0)


# In an exchange


@pytest.fixture
def world() -> Iterator[World]:
    with World(PORT) as made:
        yield made


def answer(end: Http2UpstreamEnd, stream: int, request: Message) -> None:
    end.h2.send_headers(stream, [(b":status", b"200"), (b"content-type", b"application/grpc")])
    end.h2.send_data(stream, MESSAGE)
    end.h2.send_headers(stream, [(b"grpc-status", b"7")], end_stream=True)


def test_a_port_of_grpc_web_translates(world: World) -> None:
    network = Http2Network(world)
    network.answers = [answer]
    client = world.client()
    client.send(
        b"POST /t.T/Call HTTP/1.1\r\nhost: web.test\r\ncontent-type: application/grpc-web\r\ncontent-length: 10\r\n\r\n"
        + MESSAGE
    )
    (seen,) = network.requests
    assert (seen.get(b"content-type"), seen.get(b"te"), seen.body) == (b"application/grpc", b"trailers", MESSAGE)
    (response,) = client.responses(b"POST")
    assert (response.status, response.get(b"content-type")) == (200, KIND)
    assert response.body == MESSAGE + TRAILERS


def test_what_is_no_base64_is_refused(world: World) -> None:
    Http2Network(world)
    for body in (b"????", b"AAA"):
        got = Http2ClientEnd(world).request((b"content-type", TEXT), method=b"POST", authority=b"web.test", body=body)
        assert (got.status, got.get(b"grpc-status")) == (400, b"13")
        assert got.get(b"grpc-message") == b"Bad gRPC-web request, invalid base64 data."
