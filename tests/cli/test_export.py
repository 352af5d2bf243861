"""`pyproxy export envoy`: what it writes, where it warns, how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from pyproxy.cli.export import export
from tests.certificates import Authority
from tests.snapshot.documents import entry, rules

WORKLOAD = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: shop-v1}
spec: {address: 127.0.0.1, labels: {app: shop}}
"""
SHOP = entry("shop.com", "80/HTTP", more="workloadSelector: {labels: {app: shop}}")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "mesh.yaml").write_text("\n---\n".join((WORKLOAD, SHOP)))
    return tmp_path


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(export, ["envoy", "--config", str(config), *arguments], catch_exceptions=False)


def test_yaml_and_json_say_the_same(config: Path) -> None:
    in_yaml, in_json = run(config), run(config, "--output", "json")
    assert in_yaml.exit_code == in_json.exit_code == 0
    assert yaml.safe_load(in_yaml.stdout) == json.loads(in_json.stdout)
    assert in_json.stdout.endswith("}\n")


def test_flags_say_who_and_where_as_those_of_run_do(config: Path) -> None:
    flags = ("--workload", "shop-v1", "--address", "127.0.0.9", "--outbound-port", "1501", "--admin-port", "1500")
    document = json.loads(run(config, "--output", "json", *flags).stdout)
    assert document["node"]["id"] == "sidecar~127.0.0.1~shop-v1.default~default.svc.cluster.local"
    assert document["admin"]["address"]["socket_address"] == {"address": "127.0.0.9", "port_value": 1500}
    first = document["static_resources"]["listeners"][0]
    assert first["address"]["socket_address"] == {"address": "127.0.0.9", "port_value": 1501}
    assert "inbound|80||" in json.dumps(document)


def test_certificates_stand_there_by_their_whole_path(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Authority().workload(tmp_path / "mine" / "shop-v1.default")
    written = run(config, "--workload", "shop-v1", "--certs", "mine", "--output", "json")
    assert f'"filename": "{tmp_path}/mine/shop-v1.default/key.pem"' in written.stdout
    assert "PRIVATE KEY" not in written.stdout
    assert "transport_socket" not in run(config, "--workload", "shop-v1").stdout


def test_a_gateways_credentials_too(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    door = rules(
        "selector: {app: door}\nservers: [{port: {number: 8443, name: https, protocol: HTTPS}, hosts: ['*'],"
        " tls: {mode: SIMPLE, credentialName: shop}}]",
        kind="Gateway",
    )
    (config / "door.yaml").write_text(door)
    flags = ("--gateway", "--labels", "app=door", "--certs", "mine", "--output", "json")
    missing = run(config, *flags)
    assert "nobody can connect until there is" in missing.stderr
    assert "transport_socket" not in missing.stdout
    folder = tmp_path / "mine" / "credentials" / "shop"
    folder.mkdir(parents=True)
    for name in ("tls.crt", "tls.key"):
        (folder / name).touch()
    assert f'"filename": "{folder}/tls.key"' in run(config, *flags).stdout


def test_a_gateway_serves_what_selects_it(config: Path) -> None:
    door = rules(
        "selector: {app: door}\nservers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*']}]",
        kind="Gateway",
    )
    (config / "door.yaml").write_text(door)
    document = json.loads(run(config, "--gateway", "--labels", "app=door", "--output", "json").stdout)
    names = [listener["name"] for listener in document["static_resources"]["listeners"]]
    assert names == ["0.0.0.0_8080", "status", "metrics"]


def test_what_is_lost_is_said_on_standard_error(config: Path) -> None:
    (config / "rule.yaml").write_text(
        rules(
            "hosts: [shop.com]\nhttp: [{directResponse: {status: 600}, headers: {response: {set: {x: '%NO_SUCH%'}}}}]"
        )
    )
    result = run(config)
    assert result.exit_code == 0
    assert "warning: Istio's metrics" in result.stderr
    assert "status 600 is none to Envoy" in result.stderr
    assert "the header is not written" in result.stderr
    assert "warning" not in result.stdout


def pyproxy(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyproxy", "export", "envoy", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_documents_with_errors_are_not_exported(config: Path) -> None:
    (config / "bad.yaml").write_text(WORKLOAD.replace("address", "adress"))
    done = pyproxy("--config", config)
    assert (done.returncode, done.stdout) == (1, "")
    assert "did you mean address?" in done.stderr
    assert "1 error(s) in the documents; nothing was exported" in done.stderr


def test_an_unknown_workload_and_a_missing_folder_are_bad_usage(config: Path) -> None:
    unknown, missing = pyproxy("--config", config, "--workload", "shop-v2"), pyproxy("--config", config / "nowhere")
    assert (unknown.returncode, missing.returncode) == (2, 2)
    assert "did you mean shop-v1.default?" in unknown.stderr
    assert "no such file or folder" in missing.stderr
