"""How many workers there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyproxy.reload import read
from pyproxy.settings import Settings
from pyproxy.workers.count import worker_count

CONFIG = "apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\nmetadata: {name: x}\nspec: {concurrency: %d}\n"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("flag", "concurrency", "count"),
    [(None, None, 1), (None, 3, 3), (None, 0, CORES), (2, None, 2), (2, 3, 2), (0, 3, CORES), (1, 0, 1)],
)
def test_the_flag_counts_before_the_document(
    tmp_path: Path, flag: int | None, concurrency: int | None, count: int
) -> None:
    if concurrency is not None:
        (tmp_path / "x.yaml").write_text(CONFIG % concurrency)
    settings = Settings(config=(tmp_path,), workers=flag)
    assert worker_count(settings, read(settings.config, settings.identity_in, settings.listening)) == count
