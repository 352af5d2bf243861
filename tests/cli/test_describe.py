from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from pyproxy.cli.describe import describe
from pyproxy.core.errors import CommandError
from tests.analysis.test_explain import MESH


def run(tmp_path: Path, *words: str) -> Result:
    (tmp_path / "mesh.yaml").write_text(MESH)
    return CliRunner().invoke(describe, ["--config", str(tmp_path), *words])


def test_a_workload_in_istioctls_words(tmp_path: Path) -> None:
    result = run(tmp_path, "reviews-v1")
    assert result.exit_code == 0
    text = result.output
    assert text.startswith("Workload: reviews-v1.default\n   Address: 10.0.0.1\n")
    assert 'DestinationRule: reviews.default for "reviews.default.svc.cluster.local"\n   Matching subsets: v1\n' in text
    assert "      (Non-matching subsets v2)\n   Policies: connection pool/outlier detection\n" in text
    assert "Effective PeerAuthentication:\n   Workload mTLS mode: STRICT\n" in text
    assert text.endswith("Applied AuthorizationPolicy:\n   viewers.default (ALLOW)\n")


def test_a_service_by_its_short_name_and_as_json(tmp_path: Path) -> None:
    assert run(tmp_path, "reviews").output.startswith("Service: reviews.default.svc.cluster.local\n   Port: http 9080")
    found = json.loads(run(tmp_path, "reviews", "--output", "json").output)
    assert found["services"][0]["host"] == "reviews.default.svc.cluster.local"


def test_nobody_of_that_name(tmp_path: Path) -> None:
    assert isinstance(run(tmp_path, "ratings").exception, CommandError)
    assert isinstance(CliRunner().invoke(describe, ["a", "--config", "/no/such"]).exception, CommandError)
