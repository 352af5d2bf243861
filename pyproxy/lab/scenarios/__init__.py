"""The lessons of the lab, one module each; here is their order, and how one is found by its name."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module

from pyproxy.core.errors import CommandError
from pyproxy.lab.scenario import Scenario

NAMES = (
    "baseline",
    "canary",
    "header-routing",
    "mirroring",
    "consistent-hash",
    "delay",
    "abort-and-retry",
    "flaky-replica",
    "retry-storm",
    "timeout-cascade",
    "circuit-breaker",
    "outlier-ejection",
    "grey-failure",
    "metastable-failure",
    "strict-mtls",
    "authorization",
    "lost-trace",
    "mystery",
)
"""In the order in which they teach best."""


def find_scenario(name: str) -> Scenario:
    """Raises CommandError with the nearest name."""
    if name not in NAMES:
        near = get_close_matches(name, NAMES, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise CommandError(f"there is no scenario {name}.{hint} See them all: pyproxy lab scenario list")
    module = import_module(f"pyproxy.lab.scenarios.{name.replace('-', '_')}")
    scenario: Scenario = module.SCENARIO
    return scenario
