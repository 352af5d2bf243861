"""Connections that end while gRPC streams run on them: a server's GOAWAY, drained proxies, a server that dies."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path

import grpc
import pytest

from tests.grpc.interop import Talk
from tests.grpc.service import HEALTH, Server
from tests.grpc.sidecars import sidecars

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_a_stream_outlives_the_goaway_of_its_server(tmp_path: Path) -> None:
    server = Server()
    with sidecars(tmp_path, [server.port]) as pair, pair.channel() as channel:
        talk = Talk(channel, "/t/Echo")
        talk.say(b"before")
        assert next(talk.call) == b"before"
        over = server.stop(20)
        time.sleep(0.3)
        for _ in range(3):
            talk.say(b"after")
            assert next(talk.call) == b"after"
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(HEALTH)(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
        talk.end()
        assert list(talk.call) == []
        assert talk.call.code() is grpc.StatusCode.OK
        assert over.wait(10)


@pytest.mark.parametrize("which", ["outbound", "inbound"])
def test_a_stream_outlives_the_drain_of_a_proxy(tmp_path: Path, which: str) -> None:
    server = Server()
    with sidecars(tmp_path, [server.port]) as pair, pair.channel() as channel:
        talk = Talk(channel, "/t/Echo")
        talk.say(b"before")
        assert next(talk.call) == b"before"
        admin = getattr(pair, which).ports["admin"]
        drain = urllib.request.Request(f"http://127.0.0.1:{admin}/drain_listeners?graceful", method="POST")
        urllib.request.urlopen(drain, timeout=10).close()
        time.sleep(0.5)
        talk.say(b"after")
        assert next(talk.call) == b"after"
        talk.end()
        assert list(talk.call) == []
        assert talk.call.code() is grpc.StatusCode.OK
    server.stop()


def test_a_server_that_dies_ends_its_streams(tmp_path: Path) -> None:
    server = Server()
    with sidecars(tmp_path, [server.port]) as pair, pair.channel() as channel:
        talk = Talk(channel, "/t/Echo")
        talk.say(b"before")
        assert next(talk.call) == b"before"
        server.stop()
        with pytest.raises(grpc.RpcError) as caught:
            next(talk.call)
        # The C core's servers end the call with CANCELLED or UNAVAILABLE before they close; a reset is INTERNAL.
        assert caught.value.code().name in ("UNAVAILABLE", "INTERNAL", "CANCELLED", "UNKNOWN")  # type: ignore[attr-defined]
        talk.end()
