"""Ketama's ring: hosts own points on a circle of hashes; a request goes to the first point not before its own."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Generic

import xxhash

from pyproxy.policy.host import HostT

MAXIMUM_SIZE = 8 * 1024 * 1024


class Ring(Generic[HostT]):
    """Source: Envoy ring_hash_lb.cc, with its defaults (xxHash64, maximum_ring_size 8 M)."""

    __slots__ = ("_hashes", "_owners")

    def __init__(self, weighted: Sequence[tuple[HostT, float]], minimum_size: int) -> None:
        """`weighted` are hosts with their parts of the whole, which is 1."""
        points = _points(weighted, minimum_size) if weighted else []
        points.sort(key=lambda point: point[0])
        self._hashes = [point for point, _ in points]
        self._owners = [owner for _, owner in points]

    def __len__(self) -> int:
        return len(self._hashes)

    def choose(self, hash_: int, shift: int) -> HostT | None:
        """The owner of the point that the hash meets, or of the one `shift` points on."""
        hashes = self._hashes
        size = len(hashes)
        if not size:
            return None
        index = bisect_left(hashes, hash_)
        if index == size:
            index = 0
        return self._owners[(index + shift) % size if shift else index]


def _points(weighted: Sequence[tuple[HostT, float]], minimum_size: int) -> list[tuple[int, HostT]]:
    """The least host has a whole number of points; the others round as a running sum says."""
    least = min(1.0, min(weight for _, weight in weighted))
    scale = min(math.ceil(least * minimum_size) / least, float(MAXIMUM_SIZE))
    points: list[tuple[int, HostT]] = []
    target = 0.0
    for host, weight in weighted:
        target += scale * weight
        number = 0
        while len(points) < target:
            points.append((xxhash.xxh64_intdigest(f"{host.key}_{number}".encode()), host))
            number += 1
    return points
