from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyproxy.admin.endpoints import ADMIN, STATUS, Endpoint, answer
from pyproxy.core.loop import SystemClock
from pyproxy.mtls.holding import Holding
from pyproxy.mtls.material import workload_sources
from tests.admin.fake_app import FakeApp
from tests.certificates import REVIEWS, Authority


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


def test_certificates_are_shown_in_envoys_shape(app: FakeApp, tmp_path: Path) -> None:
    root = Authority()
    issued = root.issue("reviews.example.com", REVIEWS, "10.0.0.1")
    folder = root.write(tmp_path / "certs", issued)
    app.certificates = [Holding(workload_sources(folder), None, SystemClock())]
    app.clock.now = issued.certificate.not_valid_after_utc.timestamp() - 3 * 86_400 - 1
    (found,) = ask_json(app, "/certs")["certificates"]
    (leaf,), (authority,) = found["cert_chain"], found["ca_cert"]
    assert leaf["path"] == str(folder / "cert-chain.pem")
    assert leaf["serial_number"].lstrip("0") == f"{issued.certificate.serial_number:x}"
    assert leaf["subject_alt_names"] == [{"dns": "reviews.example.com"}, {"uri": REVIEWS}, {"ip_address": "10.0.0.1"}]
    assert leaf["days_until_expiration"] == "3"
    assert leaf["expiration_time"] == f"{issued.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert authority["path"] == str(folder / "root-cert.pem")
    assert found["pyproxy"]["last_rotation_successful"] is True
    stats = dict(line.split(": ") for line in ask(app, "/stats")[1].splitlines())
    assert stats["server.days_until_first_cert_expiring"] == "3"


def test_why_a_certificate_is_not_taken_up_is_shown(app: FakeApp, tmp_path: Path) -> None:
    app.certificates = [Holding(workload_sources(tmp_path), None, SystemClock())]
    (found,) = ask_json(app, "/certs")["certificates"]
    assert (found["cert_chain"], found["ca_cert"]) == ([], [])
    assert found["pyproxy"]["last_rotation_successful"] is False
    assert "cert-chain.pem: No such file" in found["pyproxy"]["error"]


def test_a_certificate_that_expired_in_use_is_told_though_no_rotation_failed(app: FakeApp, tmp_path: Path) -> None:
    root = Authority()
    issued = root.issue(REVIEWS)
    app.clock.now = issued.certificate.not_valid_after_utc.timestamp() - 1
    app.certificates = [Holding(workload_sources(root.write(tmp_path / "certs", issued)), None, app.clock)]
    (found,) = ask_json(app, "/certs")["certificates"]
    assert found["pyproxy"]["error"] == ""
    app.clock.now += 2
    (found,) = ask_json(app, "/certs")["certificates"]
    assert found["pyproxy"]["last_rotation_successful"] is True
    assert "in use, and expired" in found["pyproxy"]["error"]
