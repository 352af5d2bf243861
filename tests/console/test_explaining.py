from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyproxy.console.documents import Refused
from pyproxy.console.explaining import explain

DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews}
spec:
  hosts: [reviews.default.svc.cluster.local]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{number: 9080, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.9, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web-v1}
spec: {address: 127.0.0.8, labels: {app: web}}
"""


def info(**flags: Any) -> dict[str, Any]:
    base = {
        "workload": "web-v1",
        "namespace": "default",
        "service_account": "default",
        "labels": {},
        "gateway": False,
        "address": None,
        "outbound_port": 15001,
        "inbound_port": 15006,
        "http_proxy_port": 15007,
        "app_address": "127.0.0.1",
        "log_level": "info",
    }
    return {"pyproxy": {"flags": base | flags}}


def test_a_request_is_explained_as_the_proxy_itself_would_take_it(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(DOCUMENTS)
    found = explain([tmp_path], info(), "GET", "http://reviews:9080/", [("end-user", "jason")])
    assert found["targets"][0]["cluster"] == "outbound|9080||reviews.default.svc.cluster.local"
    assert found["request"]["headers"] == {"end-user": "jason"}


@pytest.mark.parametrize(
    ("flags", "url", "why"),
    [({"workload": "nobody"}, "http://reviews/", "nobody"), ({}, "/path", "names no host")],
)
def test_what_cannot_be_explained_says_why(tmp_path: Path, flags: dict[str, Any], url: str, why: str) -> None:
    (tmp_path / "all.yaml").write_text(DOCUMENTS)
    with pytest.raises(Refused, match=why):
        explain([tmp_path], info(**flags), "GET", url, [])


def test_without_good_documents_there_is_nothing_to_explain_by(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="--config"):
        explain([], info(), "GET", "http://reviews/", [])
    (tmp_path / "all.yaml").write_text("kind: [")
    with pytest.raises(Refused, match="have an error"):
        explain([tmp_path], info(), "GET", "http://reviews/", [])
    with pytest.raises(Refused, match="who it is"):
        explain([tmp_path], {}, "GET", "http://reviews/", [])
