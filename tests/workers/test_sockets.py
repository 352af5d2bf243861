"""An address that the supervisor holds and several workers listen on."""

from __future__ import annotations

import socket
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pyproxy.core.errors import CommandError
from pyproxy.snapshot.model import HttpSettings, Listener, ListenerKind
from pyproxy.workers.sockets import HeldListener, listening_socket

LISTENER = Listener("x", ListenerKind.NAMED, "127.0.0.1", 0, HttpSettings())


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system may give all connections to one socket")
def test_only_who_listens_is_given_connections() -> None:
    held = HeldListener(LISTENER)
    with pytest.raises(ConnectionRefusedError):
        connect(held.port)
    workers = [listening_socket("127.0.0.1", held.port) for _ in range(2)]
    for sock in workers:
        sock.listen()
        sock.settimeout(0)
    clients = [connect(held.port) for _ in range(40)]
    accepted = [0, 0]
    for number, sock in enumerate(workers):
        while True:
            try:
                sock.accept()[0].close()
            except BlockingIOError:
                break
            accepted[number] += 1
    assert sum(accepted) == 40
    assert min(accepted) > 0
    assert held.shown == f"127.0.0.1:{held.port}"
    for one in (*workers, *clients, held):
        one.close()


def test_an_address_that_somebody_listens_on_cannot_be_held() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CommandError, match=f"cannot listen on 127.0.0.1:{port} .x.: Address already in use"):
            HeldListener(replace(LISTENER, port=port))
        HeldListener(replace(LISTENER, port=port), alone=False).close()  # unless our own workers do


def test_a_unix_socket_takes_the_place_of_one_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    listener = replace(LISTENER, address=f"unix://{path}")
    with closing(HeldListener(listener)):
        pass
    with closing(HeldListener(listener)) as held, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert held.is_unix
        assert held.shown == f"unix://{path}"
    path.unlink()
    path.write_text("not a socket")
    with pytest.raises(CommandError, match="cannot listen on unix:"):
        HeldListener(listener)
