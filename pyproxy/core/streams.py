"""Under a seed: a stream of random numbers for each route and for each cluster, which no other can disturb."""

from __future__ import annotations

import random


class Streams:
    """Every stream of one process, by name, each made at its first use."""

    def __init__(self, seed: int | str) -> None:
        self._seed = seed
        self._made: dict[str, random.Random] = {}

    def route(self, virtual_host: str, route: str) -> random.Random:
        """What a route draws from, whatever other routes do. It goes on over a reload."""
        return self._named(f"route {virtual_host} {route}")

    def cluster(self, name: str) -> Lent:
        """What a cluster's balancer draws from."""
        return Lent(self._named(f"cluster {name}"))

    def _named(self, name: str) -> random.Random:
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = random.Random(f"{self._seed} {name}")
        return found


class Lent(random.Random):
    """A cluster's stream, and while a host is picked the one of the route that asks."""

    def __init__(self, own: random.Random) -> None:
        super().__init__()
        self._own = own
        self._source = own

    def lend(self, source: random.Random | None) -> None:
        """Draw from this one; None: from its own again."""
        self._source = source or self._own

    def random(self) -> float:
        return self._source.random()

    def getrandbits(self, k: int, /) -> int:
        return self._source.getrandbits(k)
