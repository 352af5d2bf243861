"""Maglev's table: hosts claim its slots in turns, each in an order of its own; a request goes to slot hash mod size."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Generic

import xxhash

from pyproxy.policy.host import HostT

_ALL_BITS = 2**64


class Maglev(Generic[HostT]):
    """Source: Envoy maglev_lb.cc."""

    __slots__ = ("_hosts", "_size", "_slots")

    def __init__(self, weighted: Sequence[tuple[HostT, float]], table_size: int) -> None:
        """`weighted` are hosts with their parts of the whole; `table_size` is a prime."""
        ordered = sorted(weighted, key=lambda entry: entry[0].key)
        self._hosts = [host for host, _ in ordered]
        self._size = table_size
        self._slots = _fill([host.key.encode() for host, _ in ordered], [weight for _, weight in ordered], table_size)

    def choose(self, hash_: int, shift: int) -> HostT | None:
        """The host of the slot that the hash meets; another, most likely, for each `shift` above 0."""
        hosts = self._hosts
        if not hosts:
            return None
        if shift:
            hash_ ^= _ALL_BITS - shift
        return hosts[self._slots[hash_ % self._size]]


def _fill(keys: Sequence[bytes], weights: Sequence[float], size: int) -> Sequence[int]:
    """The index of the host in each slot. Takes some 40 ms for the usual size, most of it for the last slots."""
    if not keys:
        return ()
    slots = [-1] * size
    most = max(weights)
    following = [xxhash.xxh64_intdigest(key) % size for key in keys]
    skips = [xxhash.xxh64_intdigest(key, 1) % (size - 1) + 1 for key in keys]
    targets = [0.0] * len(keys)
    left = size
    turn = 0
    while True:
        turn += 1
        for host, weight in enumerate(weights):
            if turn * weight < targets[host]:
                continue
            targets[host] += most
            slot, skip = following[host], skips[host]
            while slots[slot] >= 0:
                slot += skip
                if slot >= size:
                    slot -= size
            slots[slot] = host
            following[host] = slot
            left -= 1
            if not left:
                return array("I", slots)
