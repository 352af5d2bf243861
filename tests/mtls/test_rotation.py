"""Looking at certificate files, again and again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pyproxy.core.tls import MeshTls
from pyproxy.mtls import rotation
from pyproxy.mtls.contexts import Contexts
from tests.certificates import PRODUCTPAGE, Authority

ROOT = Authority()


async def test_a_replaced_certificate_makes_new_contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "LOOK_INTERVAL", 0.01)
    contexts = Contexts(ROOT.workload(tmp_path))
    before = contexts.server(MeshTls())
    watching = asyncio.create_task(rotation.watch(contexts))
    try:
        await asyncio.sleep(0.05)
        assert contexts.server(MeshTls()) is before
        ROOT.workload(tmp_path, PRODUCTPAGE)
        async with asyncio.timeout(30):
            while contexts.server(MeshTls()) is before:
                await asyncio.sleep(0.005)
        after = contexts.server(MeshTls())
        assert after is not None
        assert after.local_uri_san == PRODUCTPAGE
    finally:
        watching.cancel()


async def test_nothing_to_look_at_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "LOOK_INTERVAL", 0.001)
    monkeypatch.setattr(asyncio, "to_thread", lambda *_: pytest.fail("a thread"))
    watching = asyncio.create_task(rotation.watch(Contexts()))
    await asyncio.sleep(0.02)
    assert not watching.done()
    watching.cancel()
