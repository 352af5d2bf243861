"""The housekeeping of a listener's connections, whichever HTTP they speak."""

from __future__ import annotations

from tests.fakes import SERVICE, World
from tests.http2_peers import Http2ClientEnd


def test_both_kinds_of_connection_are_closed_when_idle_too_long() -> None:
    with World(SERVICE) as world:
        old, new = world.client(), Http2ClientEnd(world)
        assert len(world.bound.tracker.connections) == 2
        world.advance(3601)
        world.sweep()
        new.flush()
        assert (old.closed, new.end.closed) == (True, True)
        world.advance(2)
        assert world.bound.tracker.connections == set()
