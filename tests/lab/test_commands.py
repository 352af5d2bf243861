import subprocess
import sys
from pathlib import Path

import pytest

from pyproxy.lab.commands import (
    PYPROXY,
    certs_command,
    clean_environment,
    gateway_command,
    plan_lab,
    program,
    sidecar_command,
)
from pyproxy.lab.folder import write_documents
from pyproxy.lab.layout import PORT_FIELDS, Workload, choose_layout
from pyproxy.mtls.chains import names_of, uris_of
from pyproxy.mtls.folders import read_certificates


def test_a_sidecar_is_told_every_port_and_both_addresses() -> None:
    ports = {name: 100 + number for number, name in enumerate(PORT_FIELDS)}
    command = sidecar_command(Workload("reviews", "v2", "127.0.1.4", **ports), Path("/d"), Path("/c"), Path("/f"), 7)
    assert command[0] == "run"
    flags = dict(zip(command[1::2], command[2::2], strict=True))
    assert flags["--workload"] == "reviews-v2"
    assert flags["--address"] == flags["--app-address"] == "127.0.1.4"
    assert flags["--certs"] == "/c"
    assert flags["--ready-file"] == "/f/reviews-v2.ready"
    assert flags["--seed"] == "7"
    for name in set(PORT_FIELDS) - {"app_port", "service_port"}:
        assert flags[f"--{name.replace('_', '-')}"] == str(ports[name])


def test_the_gateways_own_ports_disturb_nobody() -> None:
    command = gateway_command(Path("/d"), Path("/c"), Path("/r"), 7)
    for port in ("--admin-port", "--status-port", "--metrics-port"):
        assert command[command.index(port) + 1] == "0"


def test_each_proxy_has_a_seed_and_each_member_a_log_of_its_own(tmp_path: Path) -> None:
    plan = plan_lab(choose_layout("none"), tmp_path / "d", tmp_path, 5)
    seeds = [each.arguments[list(each.arguments).index("--seed") + 1] for each in plan.members if each.entry == PYPROXY]
    assert seeds == [str(seed) for seed in range(5, 12)]
    assert len({member.log for member in plan.members}) == len(plan.members) == 13
    assert plan.first.arguments[0] == "certs"


def test_everybody_gets_a_certificate(tmp_path: Path) -> None:
    documents, certs = tmp_path / "documents", tmp_path / "certs"
    workloads = choose_layout("none")
    write_documents(documents, workloads, 8080)
    command = [sys.executable, "-m", "pyproxy", *certs_command(documents, certs)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    names = {folder.name for folder in certs.iterdir()}
    assert names == {"ca", "credentials", "gateway.default", *(f"{workload.name}.default" for workload in workloads)}
    [leaf] = read_certificates(certs / "reviews-v2.default" / "cert-chain.pem")
    assert uris_of(leaf) == ("spiffe://cluster.local/ns/default/sa/bookshop-reviews",)
    [server] = read_certificates(certs / "credentials" / "bookshop-cert" / "tls.crt")
    assert names_of(server).dns == ("bookshop.localhost",)


def test_the_users_settings_do_not_reach_the_children(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYPROXY_LOG_LEVEL", "HTTPS_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PYTHONPATH", "/mine")
    environment = clean_environment()
    assert not {"PYPROXY_LOG_LEVEL", "HTTPS_PROXY", "no_proxy"} & set(environment)
    assert environment["PYTHONPATH"].endswith(":/mine")


def test_a_program_calls_through_its_own_sidecar() -> None:
    member = program(Workload("reviews", "v2", "127.0.1.4"))
    assert member.environment == {"HTTP_PROXY": "http://127.0.1.4:15007"}
    assert member.arguments == ["reviews", "--version", "v2", "--address", "127.0.1.4", "--port", "8080"]
