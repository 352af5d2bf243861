"""Random documents and requests: pyproxy routes each as a real Envoy does with the exported mesh.

Compared are status, headers and body of the response, the request that the upstream saw, and from the access log route,
cluster, flags and details. A seed repeats a run: PYPROXY_ROUTING_SEED=7 tries another mesh.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.differential.envoy_process import Envoy
from tests.differential.generated_meshes import Case, generate
from tests.differential.routing_sides import EchoServer, Outcome, Side, ask_both, serve_both

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CASES = 300
TRIES = 8
"""How often a request is sent whose destination chance chooses: often enough that both sides chose the same once."""
FEWEST_PAIRS = 5000


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


def test_every_request_is_routed_as_envoy_routes_it(
    echo: EchoServer, start_envoy: Callable[..., Envoy], tmp_path: Path
) -> None:
    cases = generate(CASES, int(os.environ.get("PYPROXY_ROUTING_SEED", "1")))
    envoy, ours, process = serve_both(tmp_path, [each for case in cases for each in case.documents], echo, start_envoy)
    try:
        ask_both((envoy, ours), [each for number, case in enumerate(cases) for each in _numbered(number, case)])
    finally:
        process.close()
    pairs, differences = 0, []
    for number, case in enumerate(cases):
        for index in range(len(case.requests)):
            compared, difference = _compare(number, index, case, envoy, ours)
            pairs += compared
            differences += difference
    differences.sort(key=len)
    assert not differences, f"{len(differences)} of {pairs} differ, the shortest:\n" + "\n\n".join(differences[:3])
    assert pairs >= FEWEST_PAIRS


def _tries(case: Case) -> range:
    return range(TRIES if case.splits else 1)


def _numbered(number: int, case: Case) -> Iterator[tuple[str, bytes]]:
    for index, asked in enumerate(case.requests):
        for attempt in _tries(case):
            identifier = f"{number}.{index}.{attempt}"
            yield identifier, asked.raw(identifier)


def _compare(number: int, index: int, case: Case, envoy: Side, ours: Side) -> tuple[int, list[str]]:
    """How many pairs were compared, and what differed. Of a split each destination that both sides chose is a pair."""
    theirs, mine = (_by_cluster(side, number, index, case) for side in (envoy, ours))
    clusters = theirs.keys() & mine.keys()
    if not clusters and not case.splits:
        return 1, [_say(case, index, *next(iter(theirs.values())), *next(iter(mine.values())))]
    differing = [cluster for cluster in clusters if not _agree(theirs[cluster], mine[cluster])]
    return len(clusters), [_say(case, index, theirs[cluster][0], mine[cluster][0]) for cluster in differing]


def _by_cluster(side: Side, number: int, index: int, case: Case) -> dict[object, list[Outcome]]:
    found: dict[object, list[Outcome]] = {}
    for attempt in _tries(case):
        outcome = side.outcomes[f"{number}.{index}.{attempt}"]
        found.setdefault(outcome.cluster, []).append(outcome)
    return found


def _agree(theirs: Sequence[Outcome], mine: Sequence[Outcome]) -> bool:
    """Two destinations may be one cluster under different operations: it is enough that both sides chose one alike."""
    return any(not any(expected.differences(actual)) for expected in theirs for actual in mine)


def _say(case: Case, index: int, expected: Outcome, actual: Outcome) -> str:
    rules = json.dumps(case.documents[-1]["spec"])
    lines = [f"{name}: Envoy {theirs!r}, pyproxy {mine!r}" for name, theirs, mine in expected.differences(actual)]
    return "\n".join([rules, repr(case.requests[index]), *lines])
