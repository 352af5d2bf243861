"""What no peer should send: refused with a close, or taken apart in one way only, and never on an upstream as more."""

from __future__ import annotations

import itertools
import re
import threading

import pytest

from tests.integration.conftest import Mesh
from tests.peers import Answer, Gone, RawClient, Request, UpstreamConnection, answer_and_close, answer_with

pytestmark = pytest.mark.integration

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: app.test\r\n\r\n"
HOST = b"host: app.test"


def head(line: bytes, *lines: bytes, host: bytes = HOST) -> bytes:
    return b"\r\n".join([line, host, *lines] if host else [line, *lines]) + b"\r\n\r\n"


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return head(b"POST /own HTTP/1.1", *lines) + body


def get(*lines: bytes, host: bytes = HOST, target: bytes = b"/own") -> bytes:
    return head(b"GET %b HTTP/1.1" % target, *lines, host=host)


def chunked(body: bytes) -> bytes:
    return post(b"transfer-encoding: chunked", body=body)


REFUSED: dict[str, tuple[int, bytes]] = {
    # Two framings
    "CL and TE": (400, post(b"content-length: 5", b"transfer-encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED)),
    "TE and CL": (400, post(b"transfer-encoding: chunked", b"content-length: 5", body=b"0\r\n\r\n" + SMUGGLED)),
    "CL and TE, in capitals": (400, post(b"CONTENT-LENGTH: 5", b"TRANSFER-ENCODING: CHUNKED", body=b"0\r\n\r\n")),
    "CL.TE": (400, post(b"content-length: 60", b"transfer-encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED)),
    "TE.CL": (
        400,
        post(b"transfer-encoding: chunked", b"content-length: 4", body=b"2b\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"),
    ),
    "TE and TE": (
        501,
        post(b"transfer-encoding: chunked", b"transfer-encoding: identity", body=b"0\r\n\r\n" + SMUGGLED),
    ),
    "TE twice": (501, post(b"transfer-encoding: chunked", b"transfer-encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED)),
    "TE, a space before the colon": (
        400,
        post(b"transfer-encoding : chunked", b"content-length: 5", body=b"0\r\n\r\n"),
    ),
    "TE, folded": (400, post(b"transfer-encoding:\r\n chunked", body=b"0\r\n\r\n" + SMUGGLED)),
    "TE, vertical tab": (400, post(b"transfer-encoding: \x0bchunked", body=b"0\r\n\r\n" + SMUGGLED)),
    "TE, form feed": (400, post(b"transfer-encoding: chunked\x0c", body=b"0\r\n\r\n" + SMUGGLED)),
    "TE, NUL": (400, post(b"transfer-encoding: chunked\0", body=b"0\r\n\r\n" + SMUGGLED)),
    "TE, quoted": (501, post(b'transfer-encoding: "chunked"', body=b"0\r\n\r\n" + SMUGGLED)),
    "TE, xchunked": (501, post(b"transfer-encoding: xchunked", body=b"0\r\n\r\n" + SMUGGLED)),
    "TE, chunked last": (501, post(b"transfer-encoding: gzip, chunked", body=b"0\r\n\r\n" + SMUGGLED)),
    "TE, chunked first": (501, post(b"transfer-encoding: chunked, gzip", body=b"0\r\n\r\n" + SMUGGLED)),
    "TE, identity": (501, post(b"transfer-encoding: identity", body=SMUGGLED)),
    "TE, empty": (501, post(b"transfer-encoding:", body=SMUGGLED)),
    "TE, parameter": (501, post(b"transfer-encoding: chunked;a=b", body=b"0\r\n\r\n")),
    "TE, HTTP/1.0": (426, head(b"POST /own HTTP/1.0", b"transfer-encoding: chunked") + b"0\r\n\r\n" + SMUGGLED),
    # Lengths
    "two CL": (400, post(b"content-length: 5", b"content-length: 6", body=b"hello" + SMUGGLED)),
    "two equal CL": (400, post(b"content-length: 5", b"content-length: 5", body=b"hello" + SMUGGLED)),
    "CL list": (400, post(b"content-length: 5, 5", body=b"hello" + SMUGGLED)),
    "CL list that differs": (400, post(b"content-length: 0, 43", body=SMUGGLED)),
    "CL plus": (400, post(b"content-length: +5", body=b"hello")),
    "CL minus": (400, post(b"content-length: -5", body=b"hello")),
    "CL minus nothing": (400, post(b"content-length: -0", body=SMUGGLED)),
    "CL hexadecimal": (400, post(b"content-length: 0x2b", body=SMUGGLED)),
    "CL exponent": (400, post(b"content-length: 1e1", body=SMUGGLED)),
    "CL fraction": (400, post(b"content-length: 5.0", body=b"hello")),
    "CL empty": (400, post(b"content-length:", body=SMUGGLED)),
    "CL blank": (400, post(b"content-length: \t ", body=SMUGGLED)),
    "CL inner space": (400, post(b"content-length: 4 3", body=SMUGGLED)),
    "CL underscore": (400, post(b"content-length: 4_3", body=SMUGGLED)),
    "CL too large": (400, post(b"content-length: 18446744073709551616", body=SMUGGLED)),
    "CL far too large": (400, post(b"content-length: " + b"9" * 400, body=SMUGGLED)),
    "CL other digits": (400, post("content-length: ４３".encode(), body=SMUGGLED)),
    "CL quoted": (400, post(b'content-length: "43"', body=SMUGGLED)),
    # Chunks
    "chunk: not hexadecimal": (400, chunked(b"g\r\nhello\r\n0\r\n\r\n")),
    "chunk: 0x": (400, chunked(b"0x5\r\nhello\r\n0\r\n\r\n")),
    "chunk: minus": (400, chunked(b"-5\r\nhello\r\n0\r\n\r\n")),
    "chunk: plus": (400, chunked(b"+5\r\nhello\r\n0\r\n\r\n")),
    "chunk: empty": (400, chunked(b"\r\nhello\r\n0\r\n\r\n")),
    "chunk: space first": (400, chunked(b" 5\r\nhello\r\n0\r\n\r\n")),
    "chunk: space last": (400, chunked(b"5 \r\nhello\r\n0\r\n\r\n")),
    "chunk: too large": (400, chunked(b"1" + b"0" * 16 + b"\r\nhello")),
    "chunk: far too large": (400, chunked(b"f" * 1000 + b"\r\nhello")),
    "chunk: LF after the size": (400, chunked(b"5\nhello\r\n0\r\n\r\n")),
    "chunk: CR after the size": (400, chunked(b"5\rhello\r\n0\r\n\r\n")),
    "chunk: LF after the data": (400, chunked(b"5\r\nhello\n0\r\n\r\n")),
    "chunk: longer": (400, chunked(b"5\r\nhello world\r\n0\r\n\r\n")),
    "chunk: shorter": (400, chunked(b"7\r\nhello\r\n0\r\n\r\n" + SMUGGLED)),
    "chunk: LF in the extension": (400, chunked(b"5;a\nhello\r\n0\r\n\r\n")),
    "chunk: CR in the extension": (400, chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n")),
    "chunk: NUL in the extension": (400, chunked(b"5;a\0\r\nhello\r\n0\r\n\r\n")),
    "chunk: endless extension": (431, chunked(b"5;" + b"a" * 600_000)),
    "chunk: bad second": (400, chunked(b"5\r\nhello\r\nxyz\r\n")),
    "chunk: LF at the end": (400, chunked(b"5\r\nhello\r\n0\r\n\n" + SMUGGLED)),
    "trailers: CL": (400, chunked(b"0\r\ncontent-length: 43\r\n\r\n" + SMUGGLED)),
    "trailers: TE": (400, chunked(b"0\r\ntransfer-encoding: chunked\r\n\r\n" + SMUGGLED)),
    "trailers: space before the colon": (400, chunked(b"0\r\nx : y\r\n\r\n" + SMUGGLED)),
    "trailers: NUL": (400, chunked(b"0\r\nx: \0\r\n\r\n" + SMUGGLED)),
    "trailers: endless": (431, chunked(b"0\r\nx: " + b"a" * 600_000)),
    # Lines
    "bare LF": (400, b"GET /own HTTP/1.1\nhost: app.test\n\n"),
    "bare LF after the request line": (400, b"GET /own HTTP/1.1\nhost: app.test\r\n\r\n"),
    "bare LF after a header": (400, get(b"x: y\nz: a")),
    "bare LF at the end": (400, b"GET /own HTTP/1.1\r\nhost: app.test\r\n\n" + SMUGGLED),
    "bare CR": (400, get(b"x: y\rz: a")),
    "CR CR LF": (400, b"GET /own HTTP/1.1\r\r\nhost: app.test\r\n\r\n"),
    "obs-fold": (400, get(b"x: y\r\n z")),
    "obs-fold with a tab": (400, get(b"x: y\r\n\tz")),
    "obs-fold of nothing": (400, get(b"x:\r\n y")),
    "fold before any header": (400, b"GET /own HTTP/1.1\r\n host: app.test\r\n\r\n"),
    # Header names and values
    "space before the colon": (400, get(b"x : y")),
    "tab before the colon": (400, get(b"x\t: y")),
    "space in a name": (400, get(b"x y: z")),
    "empty name": (400, get(b": y")),
    "no colon": (400, get(b"garbage")),
    "pseudo header": (400, get(b":path: /smuggled")),
    "control in a name": (400, get(b"x\x01: y")),
    "NUL in a name": (400, get(b"x\0: y")),
    "high byte in a name": (400, get(b"x\xff: y")),
    "separators in a name": (400, get(b"x(y): z")),
    "quotes in a name": (400, get(b'"x": z')),
    "NUL in a value": (400, get(b"x: a\0b")),
    "control in a value": (400, get(b"x: a\x08b")),
    "DEL in a value": (400, get(b"x: a\x7fb")),
    # Request lines
    "no version": (426, b"GET /own\r\nhost: app.test\r\n\r\n"),
    "HTTP/0.9": (426, b"GET /own\r\n\r\n"),
    "HTTP/1.0": (426, head(b"GET /own HTTP/1.0")),
    "HTTP/1.2": (426, head(b"GET /own HTTP/1.2")),
    "HTTP/2.0": (426, head(b"GET /own HTTP/2.0")),
    "HTTP/11": (400, head(b"GET /own HTTP/11")),
    "HTTP/1.10": (400, head(b"GET /own HTTP/1.10")),
    "http in lower case": (400, head(b"GET /own http/1.1")),
    "RTSP": (400, head(b"DESCRIBE /own RTSP/1.0")),
    "ICE": (400, head(b"GET /own ICE/1.1")),
    "unknown method": (400, head(b"FOO /own HTTP/1.1")),
    "method in lower case": (400, head(b"get /own HTTP/1.1")),
    "method with a control": (400, head(b"GE\x01T /own HTTP/1.1")),
    "method alone": (400, b"GET\r\n\r\n"),
    "tab for a space": (400, head(b"GET\t/own HTTP/1.1")),
    "space at the end": (400, head(b"GET /own HTTP/1.1 ")),
    "space in the target": (400, head(b"GET /o wn HTTP/1.1")),
    "space first": (400, b" " + get()),
    "no target": (400, head(b"GET HTTP/1.1")),
    "target without a slash": (400, get(target=b"own")),
    "target *": (400, get(target=b"*")),
    "high byte in the target": (400, get(target=b"/\xe4")),
    "control in the target": (400, get(target=b"/\x01")),
    "NUL in the target": (400, get(target=b"/\0")),
    "escaped NUL in the target": (400, get(target=b"/%00")),
    "fragment": (400, get(target=b"/own#x")),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32))),
    "garbage": (400, b"\xff\xfe\xfd\r\n\r\n"),
    # Host
    "no Host": (400, get(host=b"")),
    "two Hosts": (400, get(b"host: evil.test")),
    "the same Host twice": (400, get(HOST)),
    "Host nominated": (400, get(b"connection: host")),
    "Host with a space": (400, get(host=b"host: app.test evil")),
    "Host with a slash": (400, get(host=b"host: app.test/x")),
    "Host with a query": (400, get(host=b"host: app.test?x")),
    "Host with a fragment": (400, get(host=b"host: app.test#x")),
    "Host with a backslash": (400, get(host=b"host: app.test\\x")),
    "Host with a quote": (400, get(host=b'host: "app.test"')),
    "Host with a high byte": (400, get(host=b"host: \xe4pp.test")),
    "Host with braces": (400, get(host=b"host: {app}")),
    # Absolute form
    "absolute: ftp": (400, get(target=b"ftp://app.test/own")),
    "absolute: userinfo": (400, get(target=b"http://app.test@evil.test/own")),
    "absolute: no authority": (400, get(target=b"http:///own")),
    "absolute: one slash": (400, get(target=b"http:/app.test/own")),
    "absolute: no port": (400, get(target=b"http://app.test:/own")),
    "absolute: port too large": (400, get(target=b"http://app.test:65536/own")),
    "absolute: two ports": (400, get(target=b"http://app.test:80:80/own")),
    "absolute: backslash": (400, get(target=b"http://app.test\\@evil.test/own")),
    "absolute: fragment": (400, get(target=b"http://app.test#x")),
    "absolute: javascript": (400, get(target=b"javascript:alert(1)")),
    # Connection
    "ten nominations": (400, get(b"connection: a,b,c,d,e,f,g,h,i,j")),
    "x-forwarded-for nominated": (400, get(b"connection: x-forwarded-for")),
    "pseudo header nominated": (400, get(b"connection: :authority")),
    # Limits
    "101 lines": (431, get(*(b"x-%d: 1" % number for number in range(100)))),
    "300 lines": (431, get(*(b"x: 1" for _ in range(300)))),
    "a value of 61 KiB": (431, get(b"x: " + b"a" * 61 * 1024)),
    "a name of 61 KiB": (431, get(b"x" * 61 * 1024 + b": 1")),
    "a target of 61 KiB": (431, get(target=b"/" + b"a" * 61 * 1024)),
    "a Host of 61 KiB": (431, get(host=b"host: " + b"a" * 61 * 1024)),
    "many lines of 61 KiB": (431, get(*(b"x-%d: %b" % (number, b"a" * 1000) for number in range(62)))),
    "an endless head": (431, b"GET /own HTTP/1.1\r\nx: " + b"a" * 200_000),
    "an endless target": (431, b"GET /" + b"a" * 200_000),
    "endless empty lines, then a head": (431, b"GET /own HTTP/1.1\r\nx: y" + b"\r\nx: y" * 20_000),
    # Not a proxy for this
    "CONNECT without a port": (400, head(b"CONNECT app.test HTTP/1.1")),
    "CONNECT to a path": (400, head(b"CONNECT /own HTTP/1.1")),
    "CONNECT": (404, head(b"CONNECT app.test:80 HTTP/1.1") + SMUGGLED),
    "upgrade to nobody knows what": (403, get(b"connection: upgrade", b"upgrade: other") + SMUGGLED),
    "QUERY without a type": (400, head(b"QUERY /own HTTP/1.1")),
}


def refusal(client: RawClient) -> int:
    """The status of a response after which the proxy closes."""
    response = client.read()
    assert response.whole
    assert response.closes
    assert client.ended(), "more than one response"
    return response.status


def check_upstream(mesh: Mesh, *own: bytes) -> None:
    """The upstream took nothing for a whole request but these targets, in this order, and a last one of our own.

    Of a request whose body breaks off the head may have gone before.
    """
    assert mesh.get("/witness").status == 200
    seen = [request.target for request in mesh.upstream.requests if request.whole]
    assert seen == [*own, b"/witness"], seen
    for request in mesh.upstream.requests:
        names = [name for name, _ in request.headers]
        assert names.count(b"host") == 1
        assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
        assert not re.search(rb"[\0\n](?!\Z)", request.raw.replace(b"\r\n", b""))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_one_request_is_refused_and_never_goes_upstream(name: str, mesh: Mesh) -> None:
    status, data = REFUSED[name]
    client = mesh.client()
    client.send(data)

    assert refusal(client) == status
    client.close()
    check_upstream(mesh)


@pytest.mark.parametrize("name", [name for name, (_, data) in REFUSED.items() if len(data) < 500])
def test_it_is_refused_in_pieces_too(name: str, mesh: Mesh) -> None:
    status, data = REFUSED[name]
    client = mesh.client()
    try:
        for start in range(0, len(data), 3):
            client.send(data[start : start + 3])
    except OSError:
        pass  # refused already

    try:
        assert refusal(client) == status
    except Gone:
        pytest.fail("closed without an answer")
    client.close()
    check_upstream(mesh)


@pytest.mark.parametrize("name", ["CL.TE", "bare LF", "obs-fold", "two Hosts", "unknown method", "101 lines"])
def test_behind_a_good_request_it_is_answered_second(name: str, mesh: Mesh) -> None:
    status, data = REFUSED[name]
    client = mesh.client()
    client.send(get(target=b"/first") + data)

    first = client.read()
    assert (first.status, first.body, first.closes) == (200, b"ok", False)
    assert refusal(client) == status
    client.close()
    check_upstream(mesh, b"/first")


@pytest.mark.parametrize("name", ["no Host", "fragment", "CONNECT", "upgrade to nobody knows what", "HTTP/1.0"])
def test_nothing_behind_a_refusal_is_served(name: str, mesh: Mesh) -> None:
    client = mesh.client()
    client.send(REFUSED[name][1] + SMUGGLED)

    assert refusal(client) == REFUSED[name][0]
    client.close()
    check_upstream(mesh)


CHUNKED_SMUGGLED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
SERVED: dict[str, tuple[bytes, bytes]] = {
    # Bytes → the body that the upstream must see: a request in a body is no request.
    "a request as a sized body": (post(b"content-length: %d" % len(SMUGGLED), body=SMUGGLED), SMUGGLED),
    "a request as a chunk": (chunked(CHUNKED_SMUGGLED), SMUGGLED),
    "a request as GET's body": (get(b"content-length: %d" % len(SMUGGLED)) + SMUGGLED, SMUGGLED),
    "a request as HEAD's body": (
        head(b"HEAD /own HTTP/1.1", b"content-length: %d" % len(SMUGGLED)) + SMUGGLED,
        SMUGGLED,
    ),
    "a request in a chunk extension": (chunked(b'2;x="GET /smuggled HTTP/1.1"\r\nhi\r\n0\r\n\r\n'), b"hi"),
    "a request in trailers": (chunked(b"2\r\nhi\r\n0\r\nGET: /smuggled HTTP/1.1\r\nhost: evil\r\n\r\n"), b"hi"),
    "CL nominated": (
        post(b"connection: content-length", b"content-length: %d" % len(SMUGGLED), body=SMUGGLED),
        SMUGGLED,
    ),
    "TE nominated": (
        post(b"connection: transfer-encoding", b"transfer-encoding: chunked", body=CHUNKED_SMUGGLED),
        SMUGGLED,
    ),
    "TE nominated, keep-alive": (
        post(b"connection: keep-alive, transfer-encoding", b"transfer-encoding: chunked", body=CHUNKED_SMUGGLED),
        SMUGGLED,
    ),
    "a body behind Upgrade: h2c": (
        post(b"connection: upgrade", b"upgrade: h2c", b"content-length: %d" % len(SMUGGLED), body=SMUGGLED),
        SMUGGLED,
    ),
    "chunks behind Upgrade: h2c": (
        post(b"connection: upgrade", b"upgrade: h2c", b"transfer-encoding: chunked", body=CHUNKED_SMUGGLED),
        SMUGGLED,
    ),
    "a body behind Proxy-Connection: upgrade": (
        post(b"proxy-connection: upgrade", b"upgrade: other", b"content-length: %d" % len(SMUGGLED), body=SMUGGLED),
        SMUGGLED,
    ),
    "TE with an underscore is no TE": (post(b"transfer_encoding: chunked", b"content-length: 2", body=b"hi"), b"hi"),
    "CL with spaces around": (post(b"content-length:  2\t ", body=b"hi"), b"hi"),
    "CL with zeros": (post(b"content-length: 0002", body=b"hi"), b"hi"),
    "chunk sizes with zeros": (chunked(b"0002\r\nhi\r\n000\r\n\r\n"), b"hi"),
    "leading empty lines": (b"\r\n\r\n\r\n" + post(b"content-length: 2", body=b"hi"), b"hi"),
    "absolute form wins over Host": (
        head(b"POST http://app.test/own HTTP/1.1", b"content-length: 2", host=b"host: evil.test") + b"hi",
        b"hi",
    ),
}


@pytest.mark.parametrize("name", SERVED)
def test_what_is_one_request_goes_upstream_as_one(name: str, mesh: Mesh) -> None:
    data, body = SERVED[name]
    client = mesh.client()
    client.send(data)
    method = data.lstrip().split(b" ")[0]

    response = client.read(method=method)
    assert response.status == 200
    assert client.ask(get(target=b"/next")).status == 200, "the connection lost its place"
    client.close()
    check_upstream(mesh, b"/own", b"/next")
    own = mesh.upstream.requests[0]
    assert own.body == body
    assert own.get(b"host") == b"app.test"


def test_smuggling_pairs_never_split_or_join_requests(mesh: Mesh) -> None:
    """Every pair of framing headers, in both orders and with tricks: refused, or the upstream counts as we do."""
    lengths = [
        b"content-length: 0",
        b"content-length: 5",
        b"content-length: 43",
        b"content-length:43 ",
        b"content_length: 43",
    ]
    codings = [
        b"transfer-encoding: chunked",
        b"Transfer-Encoding:chunked",
        b"transfer-encoding:\tchunked",
        b"transfer-encoding: chunked ",
        b"transfer-encoding: Chunked",
        b"x-transfer-encoding: chunked",
        b"transfer_encoding: chunked",
        b"transfer-encoding: chunked\r\nconnection: transfer-encoding",
    ]
    for length, coding, swapped in itertools.product(lengths, codings, (False, True)):
        lines = (coding, length) if swapped else (length, coding)
        mesh.upstream.forget()
        client = mesh.client()
        client.send(post(*lines, body=b"0\r\n\r\n" + SMUGGLED))
        statuses = []
        try:
            while True:
                response = client.read()
                statuses.append(response.status)
                if response.closes:
                    break
                if len(statuses) == 2:
                    break
                client.socket.settimeout(0.3)
        except (Gone, TimeoutError):
            pass
        client.close()
        seen = [request.target for request in mesh.upstream.requests if request.whole]
        # What the upstream took for requests is what we took for them: one answer each, refusals aside.
        assert len(seen) == sum(status == 200 for status in statuses), (lines, seen, statuses)


# Upstreams


def flood(connection: UpstreamConnection, request: Request) -> None:
    for _ in range(20_000):
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")


OK_HEAD = b"HTTP/1.1 200 OK\r\n"
BROKEN: dict[str, tuple[int, bytes, Answer]] = {
    # Name → status, end of the body, what the upstream does
    "garbage": (502, b"protocol error", answer_with(b"garbage\r\n\r\n")),
    "a request": (502, b"protocol error", answer_with(SMUGGLED)),
    "TLS": (502, b"protocol error", answer_with(b"\x15\x03\x01\x00\x02\x02\x0a")),
    "bad version": (502, b"protocol error", answer_with(b"HTTP/3.0 200 OK\r\ncontent-length: 0\r\n\r\n")),
    "bad protocol": (502, b"protocol error", answer_with(b"ICY 200 OK\r\n\r\n")),
    "bad status": (502, b"protocol error", answer_with(b"HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n")),
    "short status": (502, b"protocol error", answer_with(b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n")),
    "long status": (502, b"protocol error", answer_with(b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n")),
    "status 000": (502, b"protocol error", answer_with(b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n")),
    "status 099": (502, b"protocol error", answer_with(b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n")),
    "CL and TE": (
        502,
        b"protocol error",
        answer_with(OK_HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ),
    "two CL": (502, b"protocol error", answer_with(OK_HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nabc")),
    "two equal CL": (
        502,
        b"protocol error",
        answer_with(OK_HEAD + b"content-length: 2\r\ncontent-length: 2\r\n\r\nab"),
    ),
    "bad CL": (502, b"protocol error", answer_with(OK_HEAD + b"content-length: 2x\r\n\r\nab")),
    "TE twice": (
        502,
        b"protocol error",
        answer_with(OK_HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ),
    "unknown TE": (502, b"protocol error", answer_with(OK_HEAD + b"transfer-encoding: gzip\r\n\r\nabc")),
    "bare LF": (502, b"protocol error", answer_with(b"HTTP/1.1 200 OK\ncontent-length: 0\n\n")),
    "obs-fold": (502, b"protocol error", answer_with(OK_HEAD + b"x: y\r\n z\r\ncontent-length: 0\r\n\r\n")),
    "NUL": (502, b"protocol error", answer_with(OK_HEAD + b"x: \0\r\ncontent-length: 0\r\n\r\n")),
    "CR": (502, b"protocol error", answer_with(OK_HEAD + b"x: a\rset-cookie: b\r\ncontent-length: 0\r\n\r\n")),
    "space before the colon": (502, b"protocol error", answer_with(OK_HEAD + b"x : y\r\ncontent-length: 0\r\n\r\n")),
    "no colon": (502, b"protocol error", answer_with(OK_HEAD + b"nonsense\r\ncontent-length: 0\r\n\r\n")),
    "101 lines": (
        502,
        b"protocol error",
        answer_with(OK_HEAD + b"x: y\r\n" * 100 + b"content-length: 0\r\n\r\n"),
    ),
    "a head of 81 KiB": (
        502,
        b"protocol error",
        answer_with(OK_HEAD + b"x: " + b"a" * 81 * 1024 + b"\r\ncontent-length: 0\r\n\r\n"),
    ),
    "an endless head": (502, b"protocol error", answer_with(OK_HEAD + b"x: " + b"a" * 1_000_000)),
    "204 with a body": (502, b"protocol error", answer_with(b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nhi")),
    "204 with chunks": (
        502,
        b"protocol error",
        answer_with(b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ),
    "100 with a length": (502, b"protocol error", answer_with(b"HTTP/1.1 100 Continue\r\ncontent-length: 2\r\n\r\nhi")),
    "101 unasked": (
        502,
        b"protocol error",
        answer_with(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n" + SMUGGLED
        ),
    ),
    "101 unasked, without a protocol": (
        502,
        b"protocol error",
        answer_with(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ),
    "a flood of 1xx": (502, b"protocol error", flood),
    "a close in the head": (502, b"protocol error", answer_and_close(b"HTTP/1.1 200 OK\r\ncontent-le")),
    "a close in the status line": (502, b"protocol error", answer_and_close(b"HT")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_response_that_is_none_becomes_a_reply_of_ours(name: str, mesh: Mesh) -> None:
    status, words, mesh.upstream.answer = BROKEN[name]
    client = mesh.client()
    response = client.ask(get())

    assert (response.status, response.whole) == (status, True)
    assert response.body.endswith(b"reset reason: " + words)
    mesh.upstream.forget()
    assert client.ask(get(target=b"/next")).status == 200, "the connection lost its place"
    client.close()
    assert [request.target for request in mesh.upstream.requests] == [b"/next"]


TRUNCATED: dict[str, Answer] = {
    "sized": answer_and_close(OK_HEAD + b"content-length: 10\r\n\r\nshort"),
    "sized, nothing came": answer_and_close(OK_HEAD + b"content-length: 10\r\n\r\n"),
    "chunked, in a chunk": answer_and_close(OK_HEAD + b"transfer-encoding: chunked\r\n\r\na\r\nshort"),
    "chunked, between chunks": answer_and_close(OK_HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nshort\r\n"),
    "chunked, before the last line": answer_and_close(
        OK_HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n"
    ),
    "chunked, broken size": answer_with(OK_HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n"),
    "chunked, bare LF": answer_with(OK_HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nshort\n0\n\n"),
    "chunked, endless trailers": answer_with(
        OK_HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\nx: " + b"a" * 300_000
    ),
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_a_response_that_breaks_off_never_ends_cleanly(name: str, mesh: Mesh) -> None:
    mesh.upstream.answer = TRUNCATED[name]
    client = mesh.client()
    response = client.ask(get())

    assert response.status == 200
    assert not response.whole
    assert b"short".startswith(response.body)


def test_a_response_until_close_that_is_reset_never_ends_cleanly(mesh: Mesh) -> None:
    def half_then_reset(connection: UpstreamConnection, request: Request) -> None:
        connection.send(OK_HEAD + b"\r\nshort")
        let_go.wait(10)
        connection.reset()

    let_go = threading.Event()
    mesh.upstream.answer = half_then_reset
    client = mesh.client()
    client.send(get())
    head = client.read_head()
    assert client.until(b"short\r\n")
    let_go.set()

    assert not client.read_body(head).whole
    client.close()


@pytest.mark.parametrize(
    "extra",
    [b"extra", OK_HEAD + b"content-length: 8\r\n\r\npoisoned", b"HTTP/1.1 100 Continue\r\n\r\n", b"\0"],
    ids=["bytes", "another response", "a 1xx", "NUL"],
)
def test_bytes_behind_a_response_reach_nobody(extra: bytes, mesh: Mesh) -> None:
    for kind in ("GET", "HEAD"):
        mesh.upstream.answer = answer_with(
            OK_HEAD + b"content-length: 2\r\n\r\n" + (b"ok" if kind == "GET" else b"") + extra
        )
        first, second = mesh.client(), mesh.client()
        response = first.ask(head(f"{kind} /own HTTP/1.1".encode()))
        assert (response.status, response.body) == (200, b"ok" if kind == "GET" else b"")
        mesh.upstream.forget()

        assert second.ask(get(target=b"/other")).body == b"ok"
        assert first.ask(get(target=b"/next")).body == b"ok"
        first.close()
        second.close()


def test_a_body_where_none_may_be_reaches_nobody(mesh: Mesh) -> None:
    mesh.upstream.answer = answer_with(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nhello")
    client = mesh.client()
    assert client.ask(get()).status == 304
    mesh.upstream.forget()
    assert client.ask(get(target=b"/next")).body == b"ok"
