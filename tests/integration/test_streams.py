"""Long bodies and slow peers: memory stays within its bounds, and nobody may hold a connection for nothing."""

from __future__ import annotations

import threading
import time

import pytest

from tests.integration.conftest import Mesh
from tests.peers import Gone, RawClient, Request, UpstreamConnection, answer_with, until

pytestmark = pytest.mark.integration

FLAGS = ("--request-headers-timeout", "1s")
DOCUMENTS = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh}
spec: {meshConfig: {defaultConfig: {connectionSettings: {httpIdleTimeout: 2s}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app}
spec: {host: app.test, trafficPolicy: {connectionPool: {http: {idleTimeout: 1s}}}}
"""
MIB = 1024 * 1024
BLOCK = bytes(MIB)
LIMIT = 64 * MIB
"""Bytes of memory over what the idle process has."""
HEAD = b"host: app.test\r\n"


@pytest.fixture(autouse=True)
def bounded(mesh: Mesh) -> object:
    """Every test here ends with the memory that it began with, within the limit."""
    mesh.get()
    mesh.upstream.forget()
    idle = mesh.proxy.resident_bytes
    mesh.proxy.forget_peak()
    yield
    grown = mesh.proxy.peak_resident_bytes - idle
    assert grown < LIMIT, f"{grown / MIB:.0f} MiB over idle"


def download(size: int, *, chunked: bool, client: RawClient, wait: float = 0.0) -> int:
    """Bytes of body received, in blocks; `wait`: seconds before the first is read."""
    client.send(b"GET /%d/%s HTTP/1.1\r\n%b\r\n" % (size, b"chunked" if chunked else b"sized", HEAD))
    response = client.read_head()
    assert response.status == 200
    time.sleep(wait)
    if not chunked:
        return count(client, size)
    received = 0
    while length := int(client.until(b"\r\n"), 16):
        received += count(client, length)
        assert client.exactly(2) == b"\r\n"
    assert client.exactly(2) == b"\r\n"
    return received


def count(client: RawClient, size: int) -> int:
    """Read so many bytes and keep none."""
    received = len(client.buffer)
    if received > size:
        client.buffer = client.buffer[size:]
        return size
    client.buffer = b""
    into = bytearray(MIB)
    while received < size:
        read = client.socket.recv_into(into, min(MIB, size - received))
        if not read:
            raise Gone(b"")
        received += read
    return received


def send_blocks(connection: UpstreamConnection, request: Request) -> None:
    """As many zeros as the target says, as fast as they are taken."""
    size, _, kind = request.target[1:].partition(b"/")
    left = int(size)
    if kind == b"sized":
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % left)
    else:
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while left:
        block = BLOCK[:left]
        connection.send(block if kind == b"sized" else b"%x\r\n%b\r\n" % (len(block), block))
        left -= len(block)
    if kind != b"sized":
        connection.send(b"0\r\n\r\n")


class Sink:
    """Counts a request's body. The first byte is read after `wait` seconds."""

    def __init__(self, wait: float = 0.0) -> None:
        self.received = 0
        self._wait = wait

    def __call__(self, connection: UpstreamConnection, request: Request) -> None:
        time.sleep(self._wait)
        length = int(request.get(b"content-length") or b"0")
        into = bytearray(MIB)
        self.received = len(connection.buffer)
        connection.buffer = b""
        while self.received < length:
            self.received += connection.socket.recv_into(into)
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def upload(size: int, client: RawClient) -> None:
    client.send(b"POST / HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n" % (HEAD, size))
    for _ in range(size // MIB):
        client.send(BLOCK)


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_a_long_response_takes_little_memory(chunked: bool, mesh: Mesh) -> None:
    mesh.upstream.answer = send_blocks
    assert download(256 * MIB, chunked=chunked, client=mesh.client()) == 256 * MIB


def test_a_slow_reader_slows_the_upstream_down(mesh: Mesh) -> None:
    mesh.upstream.answer = send_blocks
    client = mesh.client(receive_buffer=16 * 1024)
    assert download(256 * MIB, chunked=False, client=client, wait=1.0) == 256 * MIB


@pytest.mark.parametrize("wait", [0.0, 1.0], ids=["fast", "slow upstream"])
def test_a_long_request_takes_little_memory(wait: float, mesh: Mesh) -> None:
    mesh.upstream.answer = sink = Sink(wait)
    client = mesh.client()
    upload(256 * MIB, client)
    assert client.read().status == 200
    assert sink.received == 256 * MIB


def test_pipelined_responses_wait_for_a_reader(mesh: Mesh) -> None:
    """A client that asks for 100 responses of 4 MiB and reads none holds one, not all."""
    mesh.upstream.answer = send_blocks
    client = mesh.client(receive_buffer=16 * 1024)
    client.send(b"GET /%d/sized HTTP/1.1\r\n%b\r\n" % (4 * MIB, HEAD) * 100)
    time.sleep(1.5)
    asked = len(mesh.upstream.requests)
    assert asked < 20
    for _ in range(100):
        assert count(client, int(client.read_head().get(b"content-length") or b"0")) == 4 * MIB
    assert len(mesh.upstream.requests) == 100


def test_a_tunnel_is_as_slow_as_its_slower_side(mesh: Mesh) -> None:
    def pour(connection: UpstreamConnection, request: Request) -> None:
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        for _ in range(128):
            connection.send(BLOCK)
        connection.close()

    mesh.upstream.answer = pour
    client = mesh.client(receive_buffer=16 * 1024)
    client.send(b"GET / HTTP/1.1\r\n%bconnection: upgrade\r\nupgrade: websocket\r\n\r\n" % HEAD)
    assert client.read_head().status == 101
    time.sleep(1.0)
    assert count(client, 128 * MIB) == 128 * MIB


def test_both_bodies_flow_at_once(mesh: Mesh) -> None:
    """The upstream answers while it reads: neither direction waits for the other."""

    def echo(connection: UpstreamConnection, request: Request) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (64 * MIB))
        left = 64 * MIB
        while left:
            if not connection.buffer:
                connection.fill()
            data = connection.exactly(len(connection.buffer))
            connection.send(data)
            left -= len(data)

    mesh.upstream.answer = echo
    client = mesh.client()
    sending = threading.Thread(target=upload, args=(64 * MIB, client))
    sending.start()
    assert count(client, int(client.read_head().get(b"content-length") or b"0")) == 64 * MIB
    sending.join()


# Time


def test_a_head_that_comes_too_slowly_is_408(mesh: Mesh) -> None:
    client = mesh.client()
    started = time.monotonic()
    try:
        for byte in b"GET / HTTP/1.1\r\nhost: app.test\r\nx: " + b"a" * 1000:
            client.send(bytes((byte,)))
            time.sleep(0.02)
            client.socket.settimeout(0.001)
            try:
                client.fill()
                break
            except TimeoutError:
                pass
            finally:
                client.socket.settimeout(20)
    except OSError:
        pass
    response = client.read()
    assert (response.status, response.body) == (408, b"request header timeout")
    assert response.closes
    assert client.ended()
    assert 0.9 < time.monotonic() - started < 20


def test_many_slow_heads_hold_nobody_else_up(mesh: Mesh) -> None:
    slow = [mesh.client() for _ in range(200)]
    for client in slow:
        client.send(b"GET / HTTP/1.1\r\nx:")
    assert mesh.get().status == 200
    for client in slow:
        assert client.read().status == 408


def test_a_slow_body_is_no_slow_head(mesh: Mesh) -> None:
    client = mesh.client()
    client.send(b"POST / HTTP/1.1\r\n%bcontent-length: 3\r\n\r\n" % HEAD)
    for byte in b"abc":
        time.sleep(0.8)
        client.send(bytes((byte,)))
    assert client.read().status == 200


def test_empty_lines_behind_a_request_begin_none(mesh: Mesh) -> None:
    """Old browsers send one after a POST; it must not start the time of a head."""
    client = mesh.client()
    assert client.ask(b"GET / HTTP/1.1\r\n%b\r\n" % HEAD).status == 200
    client.send(b"\r\n")
    time.sleep(2.2)
    assert client.ask(b"GET / HTTP/1.1\r\n%b\r\n" % HEAD).status == 200


def test_idle_connections_are_closed_on_both_sides(mesh: Mesh) -> None:
    """The client's after two seconds, the upstream's after one, each within the second that a sweep takes."""
    client, silent = mesh.client(), mesh.client()
    started = time.monotonic()
    assert client.ask(b"GET / HTTP/1.1\r\n%b\r\n" % HEAD).status == 200
    upstream = mesh.upstream.connections[-1]
    until(lambda: upstream.socket.fileno() < 0)
    assert 0.9 < time.monotonic() - started < 20
    assert client.ended()
    assert 1.9 < time.monotonic() - started < 20
    assert silent.ended()


def test_a_request_under_way_is_not_idle(mesh: Mesh) -> None:
    def think(connection: UpstreamConnection, request: Request) -> None:
        time.sleep(3.3)
        answer_with(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")(connection, request)

    mesh.upstream.answer = think
    assert mesh.get().status == 200
