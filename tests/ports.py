"""Ports for documents and commands to name.

A port that the system gave may go to anybody's connection once it is free again: these are out of the range from which
systems draw those (ip_local_port_range begins at 32768), and each is given out once.
"""

from __future__ import annotations

import random
import socket
from contextlib import suppress

_RANGE = range(20000, 32000)
_drawn = iter(random.Random().sample(_RANGE, len(_RANGE)))


def free_port() -> int:
    """Nobody listens on it on 127.0.0.1."""
    for port in _drawn:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("all ports are taken")
