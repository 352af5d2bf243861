"""From start-up to ready: what is waited for and what is said."""

from __future__ import annotations

import json
import logging
import os
import random
from pathlib import Path

import pytest

from pyproxy import readiness
from pyproxy.core.loop import SystemClock, spawn
from pyproxy.readiness import announce, complaint, names_known
from pyproxy.reload import read
from pyproxy.runtime.clusters import ClusterState
from pyproxy.runtime.live import Live
from pyproxy.settings import Settings
from pyproxy.snapshot.model import Cluster, Discovery, Identity, Snapshot


class NoDiscovery:
    def watch(self, state: ClusterState) -> None: ...

    def forget(self, state: ClusterState) -> None: ...


def live(discovery: Discovery) -> Live:
    clusters = {"x": Cluster("x", discovery=discovery)}
    snapshot = Snapshot(version="1", identity=Identity(), listeners=(), route_tables={}, clusters=clusters)
    return Live(snapshot, NoDiscovery(), SystemClock(), random.Random(1))


def test_every_error_is_told_and_how_many_there_are(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("kind: [half")
    settings = Settings(config=(tmp_path,))
    said = complaint(read(settings.config, settings.identity_in, settings.listening))
    assert said.endswith("1 error(s) in the documents; `pyproxy validate` shows them too")
    assert "x.yaml:2:1" in said


async def test_a_name_is_waited_for_until_it_has_an_answer() -> None:
    waited_for = live(Discovery.STRICT_DNS)
    waiting = spawn(names_known(waited_for, SystemClock()), name="wait")
    waited_for.serving.clusters["x"].mark_ready()
    await waiting
    await names_known(live(Discovery.STATIC), SystemClock())


async def test_a_name_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "READY_TIMEOUT", 0.05)
    await names_known(live(Discovery.STRICT_DNS), SystemClock())


def test_addresses_go_to_standard_output_where_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    announce(Settings(), {"admin": "127.0.0.1:1"}, listens=True)
    assert capsys.readouterr().out == ""
    announce(Settings(output="json"), {"admin": "127.0.0.1:1"}, listens=True)
    assert json.loads(capsys.readouterr().out) == {"pid": os.getpid(), "addresses": {"admin": "127.0.0.1:1"}}


def test_addresses_are_in_the_log_and_in_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pyproxy")
    ready = tmp_path / "ready.json"
    announce(Settings(ready_file=ready), {"admin": "127.0.0.1:1"}, listens=True)
    assert json.loads(ready.read_text()) == {"pid": os.getpid(), "addresses": {"admin": "127.0.0.1:1"}}
    assert caplog.messages == ["ready: admin=127.0.0.1:1"]


def test_a_gateway_that_listens_nowhere_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    announce(Settings(gateway=True, labels={"a": "b"}), {}, listens=False)
    assert "no Gateway document has a server for labels a=b" in caplog.messages[0]
