"""Messages are counted however the bytes come."""

from __future__ import annotations

import pytest

from pyproxy.proxy.grpc_messages import MessageCounter, Messages


def message(size: int) -> bytes:
    return b"\0" + size.to_bytes(4, "big") + bytes(size)


BODY = message(3) + message(0) + message(300) + message(1)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 100, 1000])
def test_however_the_bytes_come(size: int) -> None:
    counter = MessageCounter()
    for start in range(0, len(BODY), size):
        counter.feed(BODY[start : start + size])
    assert counter.count == 4


def test_each_is_told_once() -> None:
    messages = Messages(1.0)
    messages.requests.feed(message(1) * 2)
    assert messages.untold(2.0) == (2, 0)
    messages.responses.feed(message(1))
    assert messages.untold(3.0) == (0, 1)
    assert messages.told_at == 3.0
