"""Handshakes between two connections on memory."""

from __future__ import annotations

import pytest

from pyproxy.mtls.engine import TlsConnection
from pyproxy.mtls.failure import TlsError


def shake(client: TlsConnection, server: TlsConnection) -> bytes:
    """The handshake; gives what the server sends with its end. Raises TlsError."""
    for _ in range(2):
        client.shake()
        server.feed(client.outgoing())
        server.shake()
        client.feed(last := server.outgoing())
    client.read()
    return last


def refused(client: TlsConnection, server: TlsConnection) -> tuple[TlsError, str]:
    """Why the server refuses the client's certificate in the handshake, and what the client hears of it."""
    client.shake()
    server.feed(client.outgoing())
    server.shake()
    client.feed(server.outgoing())
    client.shake()
    server.feed(client.outgoing())
    with pytest.raises(TlsError) as ours:
        server.shake()
    client.feed(server.outgoing())
    with pytest.raises(TlsError) as theirs:
        client.read()
    return ours.value, theirs.value.reason
