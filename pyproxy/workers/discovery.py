"""DNS for several workers: the supervisor resolves, so that all have the same hosts and names are asked for once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyproxy.runtime.clusters import ClusterState

Place = tuple[str, int, str]
"""An endpoint's address and port as documents have them, and the address that was found."""


def places_of(state: ClusterState) -> list[Place]:
    """A DNS cluster's hosts, as a worker can be told them."""
    return [(host.endpoint.address, host.endpoint.port, host.address) for host in state.hosts]


class AnswerTeller:
    """Tells the workers each answer that is another than the last."""

    def __init__(self, tell: Callable[[str, list[Place]], None]) -> None:
        self.told: dict[str, list[Place]] = {}
        """By cluster: what a worker that starts must be told first."""
        self._tell = tell

    def on_answer(self, state: ClusterState) -> None:
        """A cluster's hosts were set."""
        places = places_of(state)
        if self.told.get(state.name) != places:
            self.told[state.name] = places
            self._tell(state.name, places)

    def keep(self, names: Sequence[str]) -> None:
        """Forget clusters that are gone."""
        self.told = {name: self.told[name] for name in names if name in self.told}


class ToldDiscovery:
    """A worker's (live.Discoverer): keeps what it is told for clusters that it does not have yet."""

    def __init__(self) -> None:
        self._states: dict[str, ClusterState] = {}
        self._told: dict[str, list[Place]] = {}

    def watch(self, state: ClusterState) -> None:
        """From now on, and what was told before."""
        self._states[state.name] = state
        if state.name in self._told:
            self._set_hosts(state)

    def forget(self, state: ClusterState) -> None:
        """The cluster is gone, or another has its name."""
        if self._states.get(state.name) is state:
            del self._states[state.name]
            self._told.pop(state.name, None)

    def on_told(self, name: str, places: list[Place]) -> None:
        """The supervisor has an answer."""
        self._told[name] = places
        state = self._states.get(name)
        if state is not None:
            self._set_hosts(state)

    def _set_hosts(self, state: ClusterState) -> None:
        endpoints = {(endpoint.address, endpoint.port): endpoint for endpoint in state.cluster.endpoints}
        told = self._told[state.name]
        state.set_hosts(
            (endpoints[address, port], found) for address, port, found in told if (address, port) in endpoints
        )
        if not state.ready:
            state.mark_ready()
