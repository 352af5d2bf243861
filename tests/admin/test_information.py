from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyproxy.admin.endpoints import ADMIN, STATUS, Endpoint, answer
from tests.admin.fake_app import FakeApp


def ask(app: FakeApp, path: str, endpoints: Mapping[str, Endpoint] = ADMIN, **query: str) -> tuple[int, str]:
    page = answer(app, endpoints, "GET", path, query)
    return page.status, "".join(str(piece) for piece in page.pieces)


def ask_json(app: FakeApp, path: str, **query: str) -> Any:
    status, body = ask(app, path, **query)
    assert status == 200
    return json.loads(body)


def test_ready_follows_the_state(app: FakeApp) -> None:
    app.state = "INITIALIZING"
    assert ask(app, "/ready") == (503, "INITIALIZING\n")
    app.state = "LIVE"
    assert ask(app, "/ready") == (200, "LIVE\n")
    assert ask(app, "/healthz/ready", STATUS)[0] == 200
    app.state = "DRAINING"
    assert ask(app, "/ready") == (503, "DRAINING\n")
    assert ask(app, "/healthz/ready", STATUS)[0] == 503


def test_server_info_says_who_we_are_and_how_we_were_started(app: FakeApp) -> None:
    info = ask_json(app, "/server_info")
    assert info["state"] == "LIVE"
    assert info["uptime_current_epoch"] == "218s"
    assert info["node"]["id"] == "sidecar~127.0.0.1~web-v1.default~default.svc.cluster.local"
    assert info["node"]["cluster"] == "web.default"
    assert info["node"]["locality"] == {"region": "r1", "zone": "z1"}
    assert info["command_line_options"]["drain_time"] == "5s"
    assert info["pyproxy"]["flags"]["config"] == ["config"]
    assert info["pyproxy"]["reload"]["last_reload_successful"] is True


def test_flags_of_every_type_are_written(app: FakeApp) -> None:
    app.settings = type(app.settings)(certs=Path("certs"), ready_file=Path("/tmp/ready"), labels={"app": "web"})
    flags = ask_json(app, "/server_info")["pyproxy"]["flags"]
    assert (flags["certs"], flags["ready_file"], flags["labels"]) == ("certs", "/tmp/ready", {"app": "web"})


def test_listeners_by_name_and_address(app: FakeApp) -> None:
    assert ask(app, "/listeners")[1].splitlines()[0] == "virtualOutbound::127.0.0.1:15001"
    statuses = ask_json(app, "/listeners", format="json")["listener_statuses"]
    assert statuses[0] == {
        "name": "virtualOutbound",
        "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": 15001}},
    }


def test_reload_status_shows_why_the_last_change_was_refused(app: FakeApp) -> None:
    app.reload_status.successful = False
    app.reload_status.rejected = 2
    app.reload_status.errors = ("a.yaml:3:5: no such field",)
    status = ask_json(app, "/reload_status")
    assert status["version"] == app.snapshot.version
    assert status["last_reload_successful"] is False
    assert (status["accepted"], status["rejected"]) == (1, 2)
    assert status["last_success"] == "2027-01-15T08:00:00.000Z"
    assert status["errors"] == ["a.yaml:3:5: no such field"]


def test_memory_and_certs_have_envoys_fields(app: FakeApp) -> None:
    memory = ask_json(app, "/memory")
    assert 1_000_000 < int(memory["allocated"]) <= int(memory["total_physical_bytes"])
    assert ask_json(app, "/certs") == {"certificates": []}
