"""Where a graph's nodes stand: callers before whom they call, in layers, with few crossings between them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

SWEEPS = 6
"""Passes over the layers; more do not change graphs of this size."""


class Place(NamedTuple):
    """Both count from 0."""

    layer: int
    order: int


def arrange(nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, Place]:
    """A place for every node; the same graph gives the same places. Edges that close a circle count as if turned."""
    names = sorted(set(nodes))
    known = set(names)
    ahead = _without_circles(names, sorted({(a, b) for a, b in edges if a in known and b in known and a != b}))
    layers = _layers(names, ahead)
    rows: list[list[str]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for name in names:
        rows[layers[name]].append(name)
    _untangle(rows, ahead)
    return {name: Place(layer, order) for layer, row in enumerate(rows) for order, name in enumerate(row)}


def _without_circles(names: list[str], edges: list[tuple[str, str]]) -> dict[str, list[str]]:
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


def _untangle(rows: list[list[str]], ahead: Mapping[str, Collection[str]]) -> None:
    """Order each layer by where its neighbours stand, there and back again."""
    neighbours: dict[str, list[str]] = {name: list(targets) for name, targets in ahead.items()}
    for source, targets in ahead.items():
        for target in targets:
            neighbours[target].append(source)
    where = {name: index / len(row) for row in rows for index, name in enumerate(row)}
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            middle = {name: _mean([where[other] for other in neighbours[name]], where[name]) for name in row}
            row.sort(key=lambda name: (round(middle[name], 6), name))
            where.update({name: (index + 0.5) / len(row) for index, name in enumerate(row)})


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
