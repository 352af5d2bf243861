from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pyproxy.__main__ import cli
from tests.analysis.conftest import REVIEWS
from tests.pyproxy_process import PyproxyProcess


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("proxy")
    proxy = PyproxyProcess(folder / "run", REVIEWS)
    yield f"127.0.0.1:{proxy.ports['admin']}"
    proxy.close()


def run(*words: str) -> str:
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.mark.integration
def test_a_running_proxy_is_shown_in_istioctls_columns(admin: str) -> None:
    at = ("--admin", admin)
    clusters = run("pc", "cluster", *at, "--fqdn", "reviews").splitlines()
    assert clusters[0].split("  ")[0] == "SERVICE FQDN"
    assert clusters[1].split() == ["reviews.default.svc.cluster.local", "9080", "-", "outbound", "STATIC"]
    assert "HEALTHY" in run("pc", "ep", *at, "--status", "HEALTHY")
    assert "reviews.default.svc.cluster.local:9080" in run("proxy-config", "routes", *at, "--name", "9080")
    assert "Route: any" in run("pc", "listeners", *at, "--direction", "outbound", "--type", "http+tcp")
    assert run("pc", "secrets", *at).startswith("RESOURCE NAME")


@pytest.mark.integration
def test_json_and_yaml_are_the_same_resources(admin: str) -> None:
    words = ("pc", "clusters", "--admin", admin, "--port", "9080")
    found = json.loads(run(*words, "-o", "json"))
    assert [each["name"] for each in found] == ["outbound|9080||reviews.default.svc.cluster.local"]
    assert yaml.safe_load(run(*words, "-o", "yaml")) == found


@pytest.mark.integration
def test_all_is_every_table_or_the_whole_dump(admin: str) -> None:
    text = run("pc", "all", "--admin", admin)
    for column in ("SERVICE FQDN", "ADDRESSES", "VHOST NAME", "OUTLIER CHECK", "SERIAL NUMBER"):
        assert column in text
    assert "configs" in json.loads(run("pc", "all", "--admin", admin, "-o", "json"))


def test_no_proxy_there_is_an_error_that_says_so() -> None:
    result = CliRunner().invoke(cli, ["pc", "clusters", "--admin", "1"])
    assert "no proxy answers at 127.0.0.1:1" in str(result.exception)
