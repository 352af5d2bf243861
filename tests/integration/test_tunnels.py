"""Connections that become tunnels: websockets on any port, CONNECT on the HTTP proxy port; and its absolute-form."""

from __future__ import annotations

import json
import os
import socket
import threading

import pytest

from tests.integration.conftest import Mesh
from tests.peers import Gone, RawClient, Request, Response, UpstreamConnection, answer_with, until

pytestmark = pytest.mark.integration

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n"
DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app}
spec:
  host: app.test
  trafficPolicy: {connectionPool: {tcp: {maxConnections: 4}, http: {http2MaxRequests: 4}}}
"""


def handshake(*lines: bytes, target: bytes = b"/chat") -> bytes:
    asked = (b"connection: keep-alive, Upgrade", b"upgrade: websocket", b"sec-websocket-version: 13", *lines)
    return b"\r\n".join([b"GET %b HTTP/1.1" % target, b"host: app.test", *asked]) + b"\r\n\r\n"


def echo(connection: UpstreamConnection, request: Request) -> None:
    """Switch, then send back what comes; at the end of that a last word, and an end."""
    connection.send(SWITCH)
    try:
        while True:
            if not connection.buffer:
                connection.fill()
            connection.send(connection.exactly(len(connection.buffer)))
    except Gone:
        connection.send(b"bye")
        connection.close()


def open_tunnel(mesh: Mesh, request: bytes = b"", port: str = "virtualOutbound") -> tuple[RawClient, Response]:
    client = mesh.client(port)
    client.send(request or handshake())
    return client, client.read_head()


# Websockets


def test_a_websocket_passes_bytes_both_ways(mesh: Mesh) -> None:
    mesh.upstream.answer = echo
    client, response = open_tunnel(mesh)
    assert response.status == 101
    assert (response.get(b"upgrade"), response.get(b"connection")) == (b"websocket", b"Upgrade")
    assert response.get(b"content-length") is None
    for size in (1, 100, 70_000):
        data = os.urandom(size)
        client.send(data)
        assert client.exactly(size) == data
    request = mesh.upstream.requests[0]
    assert (request.get(b"upgrade"), request.get(b"connection")) == (b"websocket", b"keep-alive, Upgrade")
    assert request.get(b"content-length") is None


def test_what_comes_before_the_answer_is_kept_for_it(mesh: Mesh) -> None:
    mesh.upstream.answer = echo
    client, response = open_tunnel(mesh, handshake() + b"GET /smuggled HTTP/1.1\r\n\r\n")
    assert response.status == 101
    assert client.exactly(26) == b"GET /smuggled HTTP/1.1\r\n\r\n"
    assert [request.target for request in mesh.upstream.requests] == [b"/chat"]


def test_what_the_upstream_says_with_its_101_is_passed_on(mesh: Mesh) -> None:
    mesh.upstream.answer = answer_with(SWITCH + b"hello")
    client, _ = open_tunnel(mesh)
    assert client.exactly(5) == b"hello"


def test_a_half_close_by_the_client_is_passed_on(mesh: Mesh) -> None:
    mesh.upstream.answer = echo
    client, _ = open_tunnel(mesh)
    client.send(b"last")
    client.socket.shutdown(socket.SHUT_WR)
    assert client.rest() == b"lastbye"


def test_a_half_close_by_the_upstream_is_passed_on(mesh: Mesh) -> None:
    def half_close(connection: UpstreamConnection, request: Request) -> None:
        connection.send(SWITCH + b"first")
        connection.socket.shutdown(socket.SHUT_WR)
        received.append(connection.rest())
        done.set()

    received: list[bytes] = []
    done = threading.Event()
    mesh.upstream.answer = half_close
    client, _ = open_tunnel(mesh)
    assert client.rest() == b"first"
    client.send(b"still here")
    client.close()
    assert done.wait(10)
    assert received == [b"still here"]


@pytest.mark.parametrize("who", ["client", "upstream"])
def test_a_reset_ends_both_sides(who: str, mesh: Mesh) -> None:
    def hold(connection: UpstreamConnection, request: Request) -> None:
        connection.send(SWITCH)
        if who == "upstream":
            go.wait(10)
            connection.reset()
            return
        try:
            connection.fill()
        except Gone:
            ended.set()

    go, ended = threading.Event(), threading.Event()
    mesh.upstream.answer = hold
    client, _ = open_tunnel(mesh)
    go.set()
    if who == "upstream":
        assert client.rest() == b""
    else:
        client.reset()
        assert ended.wait(10)


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", 403, b"no"),
        (b"HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 404, b"no"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", 200, b""),
        (b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 2\r\n\r\nhi", 302, b""),
    ],
)
def test_an_upgrade_that_is_declined_closes(answer: bytes, status: int, body: bytes, mesh: Mesh) -> None:
    """What the client sent in hope of a tunnel is nobody's, and never read as a request."""
    mesh.upstream.answer = answer_with(answer)
    client, response = open_tunnel(mesh, handshake() + b"GET /smuggled HTTP/1.1\r\nhost: app.test\r\n\r\n")
    client.read_body(response)
    assert (response.status, response.body, response.closes) == (status, body, True)
    assert client.ended()
    mesh.get("/witness")
    assert [request.target for request in mesh.upstream.requests] == [b"/chat", b"/witness"]


def test_a_websocket_behind_another_request_waits_for_it(mesh: Mesh) -> None:
    def slow_first(connection: UpstreamConnection, request: Request) -> None:
        if request.target == b"/chat":
            echo(connection, request)
        else:
            go.wait(10)
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    go = threading.Event()
    mesh.upstream.answer = slow_first
    client = mesh.client()
    client.send(b"GET /first HTTP/1.1\r\nhost: app.test\r\n\r\n" + handshake() + b"early")
    until(lambda: bool(mesh.upstream.requests))
    go.set()
    assert client.read().body == b"ok"
    assert client.read_head().status == 101
    assert client.exactly(5) == b"early"


def test_tunnels_give_their_connections_back(mesh: Mesh) -> None:
    """The cluster may have four connections: twelve tunnels after one another need that each is counted out."""
    mesh.upstream.answer = echo
    for _ in range(12):
        client, response = open_tunnel(mesh)
        assert response.status == 101
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b"bye"
    until(lambda: stat(mesh, "upstream_cx_active") == 0)
    until(lambda: stat(mesh, "upstream_rq_active") == 0)


def test_an_open_tunnel_counts_as_a_request(mesh: Mesh) -> None:
    mesh.upstream.answer = echo
    clients = [open_tunnel(mesh)[0] for _ in range(2)]
    assert stat(mesh, "upstream_rq_active") == 2
    for client in clients:
        client.close()
    until(lambda: stat(mesh, "upstream_rq_active") == 0)


def stat(mesh: Mesh, name: str) -> int:
    client = mesh.client("admin")
    client.send(b"GET /stats?format=json&filter=app.test.%s$ HTTP/1.1\r\nhost: localhost\r\n\r\n" % name.encode())
    found = json.loads(client.read().body)["stats"]
    return int(found[0]["value"])


# The HTTP proxy port


def connect(mesh: Mesh, target: bytes, rest: bytes = b"") -> tuple[RawClient, Response]:
    request = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (target, target)
    return open_tunnel(mesh, request + rest, "http_proxy")


def test_connect_reaches_a_service_of_the_mesh(mesh: Mesh) -> None:
    client, response = connect(mesh, b"app.test:80")
    assert response.status == 200
    assert client.ask(b"GET /inside HTTP/1.1\r\nhost: app.test\r\n\r\n").body == b"ok"
    assert mesh.upstream.requests[0].headers == [(b"host", b"app.test")], "a tunnel adds nothing"


def test_connect_reaches_an_address(mesh: Mesh) -> None:
    client, response = connect(mesh, b"127.0.0.1:%d" % mesh.upstream.port, b"GET /early HTTP/1.1\r\nhost: x\r\n\r\n")
    assert response.status == 200
    assert client.read().body == b"ok"


def test_connect_passes_a_half_close_on(mesh: Mesh) -> None:
    mesh.upstream.answer = echo
    client, _ = connect(mesh, b"app.test:80")
    client.send(handshake() + b"last")
    assert client.read_head().status == 101
    client.socket.shutdown(socket.SHUT_WR)
    assert client.rest() == b"lastbye"


def test_connect_behind_another_request_waits_for_it(mesh: Mesh) -> None:
    client = mesh.client("http_proxy")
    client.send(
        b"GET http://app.test/first HTTP/1.1\r\nhost: app.test\r\n\r\n"
        b"CONNECT app.test:80 HTTP/1.1\r\nhost: app.test:80\r\n\r\n"
        b"GET /inside HTTP/1.1\r\nhost: inside\r\n\r\n"
    )
    assert client.read().body == b"ok"
    assert client.read_head().status == 200
    assert client.read().body == b"ok"
    assert [request.get(b"host") for request in mesh.upstream.requests] == [b"app.test", b"inside"]


def test_connect_to_nobody_is_a_503(mesh: Mesh) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        client, response = connect(mesh, b"127.0.0.1:%d" % unheard.getsockname()[1])
        client.read_body(response)
    assert (response.status, response.closes) == (503, True)
    assert response.body.endswith(b"reset reason: remote connection failure")
    assert client.ended()


def test_connect_to_ourselves_is_refused(mesh: Mesh) -> None:
    _, response = connect(mesh, b"127.0.0.1:%d" % mesh.proxy.outbound)
    assert response.status == 503


@pytest.mark.parametrize(
    "target", [b"app.test", b"app.test:", b"app.test:x", b"app.test:99999", b"/", b"http://app.test/"]
)
def test_connect_to_what_is_no_address_is_a_400(target: bytes, mesh: Mesh) -> None:
    client, response = connect(mesh, target)
    client.read_body(response)
    assert (response.status, response.closes) == (400, True)
    assert client.ended()


def test_absolute_form_on_the_proxy_port_is_routed_by_its_authority(mesh: Mesh) -> None:
    client = mesh.client("http_proxy")
    for target in (b"http://app.test/a?b", b"http://APP.test:80/a?b", b"HTTP://app.test/a?b"):
        response = client.ask(b"GET %b HTTP/1.1\r\nhost: ignored.test\r\nproxy-connection: keep-alive\r\n\r\n" % target)
        assert response.status == 200
    assert {request.target for request in mesh.upstream.requests} == {b"/a?b"}
    assert [request.get(b"host") for request in mesh.upstream.requests] == [b"app.test", b"APP.test:80", b"app.test"]


def test_origin_form_works_on_the_proxy_port_too(mesh: Mesh) -> None:
    assert mesh.client("http_proxy").ask(b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").body == b"ok"


def test_the_proxy_port_reaches_what_no_document_names(mesh: Mesh) -> None:
    client = mesh.client("http_proxy")
    response = client.ask(b"GET http://127.0.0.1:%d/x HTTP/1.1\r\nhost: y\r\n\r\n" % mesh.upstream.port)
    assert response.body == b"ok"
    assert mesh.upstream.requests[0].get(b"host") == b"127.0.0.1:%d" % mesh.upstream.port
