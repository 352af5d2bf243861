"""Large messages and long streams of gRPC: they arrive whole, and a proxy's memory does not grow with them."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.grpc.service import Server
from tests.grpc.sidecars import Pair, sidecars
from tests.pyproxy_process import PyproxyProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
MIB = 1 << 20
ROOM = 80 * MIB
"""What a proxy may grow by: a window of 16 MiB in each direction, more than once while it is passed on."""


@pytest.fixture(scope="module", params=["plaintext", "mutual TLS"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    server = Server()
    with sidecars(tmp_path_factory.mktemp("large"), [server.port], mutual_tls=request.param == "mutual TLS") as found:
        yield found
    server.stop()


@pytest.fixture
def channel(pair: Pair) -> Iterator[Any]:
    with pair.channel() as found:
        yield found


def forgotten(proxy: PyproxyProcess) -> int:
    """Its memory now, from where its peak begins."""
    proxy.forget_peak()
    return proxy.resident_bytes


def test_a_message_of_4_mib_both_ways(channel: Any) -> None:
    message = hashlib.shake_128(b"seed").digest(4 * MIB)
    (answer,) = channel.stream_stream("/t/Echo")(iter([message]), timeout=60)
    assert answer == message


def test_100_mib_up_and_down_in_flat_memory(pair: Pair, channel: Any) -> None:
    proxies = (pair.outbound, pair.inbound)
    before = [forgotten(proxy) for proxy in proxies]
    piece = bytes(MIB)
    answers = channel.stream_stream("/t/Echo")(iter([piece] * 100), timeout=120)
    assert sum(len(each) for each in answers) == 100 * MIB
    grown = [proxy.peak_resident_bytes - then for proxy, then in zip(proxies, before, strict=True)]
    assert max(grown) < ROOM, grown


def test_a_client_that_does_not_read_stops_the_server(pair: Pair, channel: Any) -> None:
    proxies = (pair.outbound, pair.inbound)
    before = [forgotten(proxy) for proxy in proxies]
    answers = channel.unary_stream("/t/Endless")(bytes(MIB), timeout=60)
    next(answers)
    time.sleep(2)
    grown = [proxy.peak_resident_bytes - then for proxy, then in zip(proxies, before, strict=True)]
    assert max(grown) < ROOM, grown
    assert len(list(itertools.islice(answers, 20))) == 20
    answers.cancel()
