"""The scenarios of HTTP/1.1 once more, with HTTP/2 on both sides: the same as a real Envoy there too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from tests.differential import (
    test_resilience_breakers,
    test_resilience_outliers,
    test_resilience_retries,
    test_resilience_shadows,
    test_resilience_timeouts,
)
from tests.differential.resilience import Comparison, Scenario
from tests.differential.scripted_hosts import ONLY_HTTP1, Step

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

MODULES = {
    "retries": test_resilience_retries,
    "timeouts": test_resilience_timeouts,
    "breakers": test_resilience_breakers,
    "outliers": test_resilience_outliers,
    "shadows": test_resilience_shadows,
}


LEFT_OUT = {
    "retries, 1 MiB and a byte, not again": "docs/decisions/0020",
    "retries, 2 MiB, not again": "docs/decisions/0020",
    "retries, 2 MiB, all is well": "docs/decisions/0020",
    "retries, 8 MiB, no connect": "docs/decisions/0020",
    "retries, the body outgrows the wait": "docs/decisions/0020",
    "retries, the rest of the body goes to the retry": "whether the connection is gone by then is chance",
    "retries, no retry, the upstream closes in the body": "so is what came of the body",
    "timeouts, the route's in the first try": "10 ms lie between two timers, and a connection is made first",
    "timeouts, half a head": "its host writes bytes of HTTP/1.1",
    "timeouts, a body in small pieces": "likewise",
    "timeouts, after a 1xx": "likewise",
}


def steps(scenario: Scenario) -> Iterable[Step]:
    """All that its hosts do."""
    script = scenario.script
    if isinstance(script, Mapping):
        return (step for each in script.values() for step in each)
    return script


def again(scenario: Scenario) -> Scenario:
    """Checks know how many connections HTTP/1.1 takes; who waits for one of HTTP/2 to be made is chance."""
    check = None if scenario.compared else scenario.check
    stats = "|".join(filter(None, [scenario.stats, "(shadow.)?upstream_rq_pending_total"]))
    return replace(scenario, client=2, upstream=2, check=check, stats=stats)


SCENARIOS = {
    f"{name}, {title}": again(scenario)
    for name, module in MODULES.items()
    for title, scenario in module.SCENARIOS.items()
    if not ONLY_HTTP1.intersection(steps(scenario)) and f"{name}, {title}" not in LEFT_OUT
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_happens_again(name: str, comparison: Comparison) -> None:
    assert not comparison.trouble(name)
