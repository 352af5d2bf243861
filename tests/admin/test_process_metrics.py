"""What only pyproxy has to say in metrics."""

import os
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pyproxy.admin.process_metrics import process_metrics
from pyproxy.core.loop import SystemClock
from pyproxy.mtls.holding import Holding
from pyproxy.mtls.material import workload_sources
from pyproxy.upstream.jwks import Fetches
from tests.admin.fake_app import FakeApp
from tests.certificates import REVIEWS, Authority


def samples(app: FakeApp) -> dict[tuple[str, ...], float]:
    """Value by name and label values."""
    families = text_string_to_metric_families(process_metrics(app).decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_reloads_are_told_as_they_went(app: FakeApp) -> None:
    app.reload_status.successful = False
    app.reload_status.succeeded_at = 1_700_000_000.5
    app.reload_status.accepted, app.reload_status.rejected = 3, 2
    found = samples(app)
    assert found["pyproxy_config_last_reload_successful",] == 0
    assert found["pyproxy_config_last_reload_success_timestamp_seconds",] == 1_700_000_000.5
    assert found["pyproxy_config_reloads_total", "accepted"] == 3
    assert found["pyproxy_config_reloads_total", "rejected"] == 2
    assert found["pyproxy_config_info", app.live.serving.snapshot.version] == 1


def test_ready_is_whether_traffic_is_welcome(app: FakeApp) -> None:
    assert samples(app)["pyproxy_ready",] == 1
    app.state = "DRAINING"
    assert samples(app)["pyproxy_ready",] == 0


def test_fetches_of_keys_are_counted_by_source(app: FakeApp) -> None:
    assert not any(name[0].startswith("pyproxy_jwks") for name in samples(app))
    app.fetches = [Fetches("https://a/keys", succeeded=2, failed=1, succeeded_at=5.0), Fetches("file:///b")]
    found = samples(app)
    fetches = {name[1:]: value for name, value in found.items() if name[0] == "pyproxy_jwks_fetches_total"}
    assert {tuple(sorted(labels)): value for labels, value in fetches.items()} == {
        ("https://a/keys", "success"): 2,
        ("failure", "https://a/keys"): 1,
        ("file:///b", "success"): 0,
        ("failure", "file:///b"): 0,
    }
    assert found["pyproxy_jwks_last_success_timestamp_seconds", "https://a/keys"] == 5


def test_certificates_say_how_long_they_last(app: FakeApp, tmp_path: Path) -> None:
    assert not any(name[0].startswith("pyproxy_certificate") for name in samples(app))
    root = Authority()
    issued = root.issue(REVIEWS)
    folder = root.write(tmp_path / "certs", issued)
    holding = Holding(workload_sources(folder), None, SystemClock())
    app.certificates = [holding]
    end = issued.certificate.not_valid_after_utc.timestamp()
    app.clock.now = end + 10
    chain, ca = str(folder / "cert-chain.pem"), str(folder / "root-cert.pem")
    found = samples(app)
    assert found["pyproxy_certificate_expiry_seconds", REVIEWS, "cert_chain", chain] == pytest.approx(-10, abs=0.01)
    assert found["pyproxy_certificate_expiry_seconds", "", "ca_cert", ca] > 9 * 86_400
    assert found["pyproxy_certificate_last_rotation_successful", chain] == 1
    assert found["pyproxy_certificate_last_rotation_success_timestamp_seconds", chain] == holding.succeeded_at
    assert found["pyproxy_certificate_rotations_total", chain, "accepted"] == 1
    holding.error = "broken"
    assert samples(app)["pyproxy_certificate_last_rotation_successful", chain] == 0


def test_what_the_workers_use_is_added_up(app: FakeApp) -> None:
    alone = samples(app)
    app.worker_processes = [{"pid": os.getpid(), "version": "1"}]
    together = samples(app)
    [memory] = [name for name in alone if name[0] == "process_virtual_memory_bytes"]
    [started] = [name for name in alone if name[0] == "process_start_time_seconds"]
    assert together[memory] == pytest.approx(2 * alone[memory], rel=0.05)
    assert together[started] == alone[started]
    app.worker_processes = [{"pid": 2**22 + 1, "version": "1"}]  # nobody's: it has just ended
    assert samples(app)[memory] == pytest.approx(alone[memory], rel=0.05)
