from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import click
import pytest

from pyproxy.cli.admin_client import ADMIN, get, get_json
from pyproxy.core.errors import CommandError


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"path": "%s"}' % self.path.encode() if self.path != "/text" else b"text"
        self.send_response(404 if self.path == "/nothing" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "127.0.0.1", server.server_port
        server.shutdown()


def test_a_page_comes_as_bytes_or_as_json(address: tuple[str, int]) -> None:
    assert get(address, "/text") == b"text"
    assert get_json(address, "/a?b=c") == {"path": "/a?b=c"}


@pytest.mark.parametrize(("path", "reason"), [("/nothing", "answered 404"), ("/text", "is not JSON")])
def test_another_server_is_told_apart(address: tuple[str, int], path: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason) as raised:
        get_json(address, path)
    assert raised.value.exit_code == 1


def test_nobody_there_says_what_to_do() -> None:
    with pytest.raises(CommandError, match=r"no proxy answers at 127\.0\.0\.1:1: Connection refused\. Say where"):
        get(("127.0.0.1", 1), "/")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15000", ("127.0.0.1", 15000)),
        ("10.0.0.1:15000", ("10.0.0.1", 15000)),
        ("http://localhost:1/", ("localhost", 1)),
        ("[::1]:15000", ("::1", 15000)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert ADMIN.convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["localhost", "localhost:", "localhost:0", "localhost:99999"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(click.BadParameter):
        ADMIN.convert(text, None, None)
