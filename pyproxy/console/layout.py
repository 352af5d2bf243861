"""Where a graph's nodes stand: callers before whom they call, in layers, with few crossings between them.

An edge that passes a layer has a place of its own there, so that it goes round the nodes and not behind them.
Source: Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System Structures", 1981.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

SWEEPS = 8
"""Passes over the layers; more do not change graphs of this size."""
LANE = 0.5
"""Room that a passing edge takes; a node takes 1."""

Edge = tuple[str, str]
_Key = tuple[str, ...]
"""A node by its name, or a passing edge by its ends and the number of the layer."""


class Place(NamedTuple):
    """`layer` counts from 0; `across` is the middle of the place, 0 to 1 of the layer."""

    layer: int
    across: float


class Arrangement(NamedTuple):
    """Where everything is."""

    nodes: dict[str, Place]
    bends: dict[Edge, list[Place]]
    """Of each edge that passes layers: its places there."""


def arrange(nodes: Iterable[str], edges: Iterable[Edge]) -> Arrangement:
    """A place for every node; the same graph gives the same places. Edges that close a circle count as if turned."""
    names = sorted(set(nodes))
    known = set(names)
    forward = sorted({(a, b) for a, b in edges if a in known and b in known and a != b})
    ahead = _without_circles(names, forward)
    layers = _layers(names, ahead)
    ways = {edge: _way(edge, layers) for edge in forward if edge[1] in ahead[edge[0]]}
    rows: list[list[_Key]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for name in names:
        rows[layers[name]].append((name,))
    for way in ways.values():
        for key in way[1:-1]:
            rows[int(key[2])].append(key)
    _untangle(rows, ways.values())
    places = {key: place for layer, row in enumerate(rows) for key, place in _places(layer, row)}
    bends = {edge: [places[key] for key in way[1:-1]] for edge, way in ways.items() if len(way) > 2}
    return Arrangement({name: places[name,] for name in names}, bends)


def _without_circles(names: list[str], edges: list[Edge]) -> dict[str, list[str]]:
    """Node → whom it calls, as a graph without circles: what leads back to a caller is turned round."""
    calls: dict[str, list[str]] = {name: [] for name in names}
    called = {target for _, target in edges}
    for source, target in edges:
        calls[source].append(target)
    ahead: dict[str, list[str]] = {name: [] for name in names}
    finished: set[str] = set()
    for root in sorted(names, key=lambda name: (name in called, name)):
        path: dict[str, Iterable[str]] = {}
        if root not in finished:
            path[root] = iter(calls[root])
        while path:
            source = next(reversed(path))
            for target in path[source]:
                if target in path:
                    ahead[target].append(source)
                else:
                    ahead[source].append(target)
                    if target not in finished:
                        path[target] = iter(calls[target])
                        break
            else:
                finished.add(source)
                del path[source]
    return ahead


def _layers(names: list[str], ahead: Mapping[str, Collection[str]]) -> dict[str, int]:
    """The longest way that leads to each."""
    waiting = dict.fromkeys(names, 0)
    for targets in ahead.values():
        for target in targets:
            waiting[target] += 1
    layers = dict.fromkeys(names, 0)
    ready = [name for name in names if not waiting[name]]
    for source in ready:
        for target in ahead[source]:
            layers[target] = max(layers[target], layers[source] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return layers


def _way(edge: Edge, layers: Mapping[str, int]) -> list[_Key]:
    """From node to node, with a key for each layer between them."""
    source, target = edge
    between = range(layers[source] + 1, layers[target])
    return [(source,), *((source, target, str(layer)) for layer in between), (target,)]


def _untangle(rows: list[list[_Key]], ways: Collection[list[_Key]]) -> None:
    """Order each layer by where its neighbours stand, there and back again."""
    neighbours: dict[_Key, list[_Key]] = {key: [] for row in rows for key in row}
    for way in ways:
        for one, other in pairwise(way):
            neighbours[one].append(other)
            neighbours[other].append(one)
    where = {key: place.across for row in rows for key, place in _places(0, row)}
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            middle = {key: _mean([where[other] for other in neighbours[key]], where[key]) for key in row}
            row.sort(key=lambda key: (round(middle[key], 6), key))
            where.update({key: place.across for key, place in _places(0, row)})


def _places(layer: int, row: list[_Key]) -> Iterable[tuple[_Key, Place]]:
    room = [1.0 if len(key) == 1 else LANE for key in row]
    before = 0.0
    for key, width in zip(row, room, strict=True):
        yield key, Place(layer, round((before + width / 2) / sum(room), 4))
        before += width


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
