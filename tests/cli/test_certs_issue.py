"""`pyproxy certs issue`: for whom, what happens the second time, and how it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pyproxy.cli.certs_issue import issue
from pyproxy.core.errors import CommandError
from pyproxy.mtls.folders import read_certificates

ENTRY = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: %s, namespace: shop}
spec: {address: 10.0.0.1, serviceAccount: reviews}
"""
MESH = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh}
spec: {meshConfig: {trustDomain: shop.example}}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, with documents in `config`, where the command runs."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "mesh.yaml").write_text("---".join((ENTRY % "reviews-v1", ENTRY % "reviews-v2", MESH)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(issue, ["--init", *arguments], catch_exceptions=False)


def issued(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(*arguments, "--output", "json").stdout)
    return found


def refused(*arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        CliRunner().invoke(issue, arguments, catch_exceptions=False)
    return str(caught.value)


def test_one_command_gives_every_workload_an_identity(here: Path) -> None:
    result = run("--all")
    assert result.stderr == "made an authority in certs/ca\n"
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["DONE", "NAME", "IDENTITY", "VALID", "UNTIL"]
    assert [row[:3] for row in rows[1:]] == [
        ["issued", f"reviews-{version}.shop", "spiffe://shop.example/ns/shop/sa/reviews"] for version in ("v1", "v2")
    ]
    assert {file.name for file in (here / "certs" / "reviews-v1.shop").iterdir()} == {
        *("cert-chain.pem", "key.pem", "root-cert.pem"),
    }
    [root] = read_certificates(here / "certs" / "ca" / "ca-cert.pem")
    assert "O=shop.example" in root.subject.rfc4514_string()


def test_json_says_the_same() -> None:
    [first, _] = issued("--all")
    assert {name: value for name, value in first.items() if name not in ("validUntil", "serial")} == {
        "name": "reviews-v1.shop",
        "folder": "certs/reviews-v1.shop",
        "identity": "spiffe://shop.example/ns/shop/sa/reviews",
        "dns": [],
        "done": "issued",
        "hint": "",
    }


def test_the_second_time_what_is_good_stays(here: Path) -> None:
    issued("--all")
    key = (here / "certs/reviews-v1.shop/key.pem").read_bytes()
    assert [each["done"] for each in issued("--all")] == ["kept", "kept"]
    assert [each["done"] for each in issued("--workload", "reviews-v1", "--renew")] == ["renewed"]
    assert (here / "certs/reviews-v1.shop/key.pem").read_bytes() == key
    assert [each["done"] for each in issued("--workload", "reviews-v1", "--force")] == ["issued"]
    assert (here / "certs/reviews-v1.shop/key.pem").read_bytes() != key


def test_lifetime_and_algorithm(here: Path) -> None:
    issued("--workload", "reviews-v1.shop", "--lifetime", "90d", "--algorithm", "rsa")
    [leaf] = read_certificates(here / "certs/reviews-v1.shop/cert-chain.pem")
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days == 90
    assert leaf.signature_algorithm_oid._name == "sha256WithRSAEncryption"


def test_another_algorithm_is_not_passed_over_in_silence() -> None:
    issued("--workload", "reviews-v1.shop")
    [kept] = issued("--workload", "reviews-v1.shop", "--algorithm", "rsa")
    assert (kept["done"], kept["hint"]) == ("kept", "ecdsa key kept; a new key needs --force")
    said = run("--workload", "reviews-v1.shop", "--algorithm", "rsa").stderr
    assert said == "reviews-v1.shop: ecdsa key kept; a new key needs --force\n"
    [forced] = issued("--workload", "reviews-v1.shop", "--algorithm", "rsa", "--force")
    assert (forced["done"], forced["hint"]) == ("issued", "")


def test_proxies_without_an_entry_are_told_who_they_are() -> None:
    [gateway] = issued("--gateway")
    assert (gateway["name"], gateway["identity"]) == ("gateway.default", "spiffe://shop.example/ns/default/sa/default")
    [edge] = issued("--workload", "edge", "--identity", "istio-system/edge")
    assert (edge["name"], edge["identity"]) == ("edge.istio-system", "spiffe://shop.example/ns/istio-system/sa/edge")
    [*_, named] = issued("--all", "--gateway", "--identity", "istio-system/edge", "--trust-domain", "other.example")
    assert (named["name"], named["identity"]) == (
        "gateway.istio-system",
        "spiffe://other.example/ns/istio-system/sa/edge",
    )


def test_no_documents_are_needed_where_the_identity_is_said() -> None:
    [edge] = issued("--workload", "edge", "--identity", "shop/edge", "--config", "nowhere")
    assert edge["identity"] == "spiffe://cluster.local/ns/shop/sa/edge"


def test_a_gateways_server_gets_a_credential(here: Path) -> None:
    [server] = issued("--dns", "shop.example.com", "--dns", "*.shop.example.com", "--credential", "shop-cert")
    assert (server["identity"], server["dns"]) == ("", ["shop.example.com", "*.shop.example.com"])
    assert {file.name for file in (here / "certs/credentials/shop-cert").iterdir()} == {"tls.crt", "tls.key", "ca.crt"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "nothing to issue: give --all, --workload NAME, --gateway or --dns HOST"),
        (("--all",), "there is no authority in certs/ca: make one with `pyproxy certs init --ca certs/ca`"),
        (("--all", "--identity", "a/b"), "--identity says who one proxy is"),
        (("--identity", "a/b", "--dns", "x"), "--identity says who one proxy is"),
        (("--workload", "a", "--workload", "b", "--identity", "a/b"), "--identity says who one proxy is"),
        (("--gateway", "--credential", "x"), "say for which hosts with --dns"),
        (("--workload", "review"), "no WorkloadEntry is called review: did you mean"),
        (("--all", "--config", "nowhere"), "no such file or folder: nowhere. Give --config PATH"),
    ],
)
def test_a_refusal_says_what_to_do(here: Path, arguments: tuple[str, ...], reason: str) -> None:
    assert reason in refused(*arguments)
    assert not (here / "certs").exists()


def test_documents_with_errors_issue_nothing(here: Path) -> None:
    (here / "config" / "bad.yaml").write_text("apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nspec: {a: 1}")
    with pytest.raises(CommandError, match=r"2 error\(s\) in the documents; nothing was issued"):
        run("--all")
    assert not (here / "certs").exists()


TROUBLE = b"1 error(s) in the documents"


def test_watch_follows_the_documents_and_stops_when_told(here: Path) -> None:
    program = "import sys; from pyproxy.cli import certs_issue as c; c.WATCH_SECONDS = 0.05; c.issue(sys.argv[1:])"
    command = [sys.executable, "-c", program, "--init", "--all", "--watch", "--output", "json"]
    said = here / "said"
    with said.open("wb") as log, subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=log) as process:
        try:
            wait_for(here / "certs" / "reviews-v2.shop" / "key.pem")
            time.sleep(0.2)
            (here / "config" / "bad.yaml").write_text("kind: [")
            wait_for(said, TROUBLE)
            os.replace(_written(here / "new", ENTRY % "ratings"), here / "config" / "bad.yaml")
            wait_for(here / "certs" / "ratings.shop" / "key.pem")
            trusted = here / "certs" / "ca" / "root-cert.pem"
            both = trusted.read_bytes() * 2
            trusted.write_bytes(both)
            wait_for(here / "certs" / "ratings.shop" / "root-cert.pem", both)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                output, _ = process.communicate(timeout=60)
            finally:
                process.kill()
    errors = said.read_bytes()
    assert process.returncode == 0, errors
    assert errors.count(TROUBLE) == 1
    assert output.count(b'"done": "issued"') == 3
    assert b"kept" not in output


def _written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def wait_for(file: Path, content: bytes = b"") -> None:
    deadline = time.monotonic() + 60
    while not file.exists() or content not in file.read_bytes():
        assert time.monotonic() < deadline, f"no {file}"
        time.sleep(0.02)
