from __future__ import annotations

from pathlib import Path

import pytest

from tests.admin.fake_app import FakeApp, compile_text


@pytest.fixture
def app(tmp_path: Path) -> FakeApp:
    """A LIVE process with the bookshop's reviews, on ports of its own choice."""
    return FakeApp(compile_text(tmp_path))
