from __future__ import annotations

from pathlib import Path

import pytest

from pyproxy.console.documents import Documents
from pyproxy.console.findings import Findings

SERVICE = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews}
spec:
  hosts: [reviews.test]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, labels: {version: v1}}]
"""
SUBSETS = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews.test
  subsets:
  - {name: v1, labels: {version: v1}}
"""
ROUTES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews.test]
  http:
  - route:
    - destination: {host: reviews.test, subset: v1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("routes.yaml", ROUTES), ("service.yaml", SERVICE), ("subsets.yaml", SUBSETS)):
        (tmp_path / name).write_text(text)
    return tmp_path


def told(folder: Path, name: str, text: str) -> list[tuple[str, str, int, str]]:
    found = Findings(Documents([folder])).of(name, text)
    return [(each.code, str(each.file), each.line, each.path) for each in found]


def test_documents_that_agree_get_no_remark(folder: Path) -> None:
    assert told(folder, "routes.yaml", ROUTES) == []


def test_a_typed_text_is_held_against_the_other_files(folder: Path) -> None:
    wrong = "# a comment\n" + ROUTES.replace("subset: v1", "subset: v9")
    path = "spec.http[0].route[0].destination.subset"
    assert told(folder, "routes.yaml", wrong) == [("IST0101", "routes.yaml", 9, path)]
    assert (folder / "routes.yaml").read_text() == ROUTES


def test_what_it_does_to_another_file_is_said_too(folder: Path) -> None:
    without = SUBSETS.partition("  subsets:")[0]
    path = "spec.http[0].route[0].destination.subset"
    assert told(folder, "subsets.yaml", without) == [("IST0101", "routes.yaml", 8, path)]


def test_what_other_files_had_before_is_not_said(folder: Path) -> None:
    (folder / "routes.yaml").write_text(ROUTES.replace("subset: v1", "subset: v9"))
    assert told(folder, "service.yaml", SERVICE) == []
    assert [each[0] for each in told(folder, "routes.yaml", (folder / "routes.yaml").read_text())] == ["IST0101"]


def test_a_text_with_errors_draws_no_conclusions_from_what_it_lacks(folder: Path) -> None:
    assert told(folder, "service.yaml", SERVICE.replace("STATIC", "STATICALLY")) == []
    assert told(folder, "service.yaml", "a: [") == []


def test_files_that_change_on_disk_are_read_again(folder: Path) -> None:
    findings = Findings(Documents([folder]))
    assert findings.of("routes.yaml", ROUTES) == []
    (folder / "subsets.yaml").write_text(SUBSETS.replace("name: v1", "name: v2"))
    assert [each.code for each in findings.of("routes.yaml", ROUTES)] == ["IST0101"]
    (folder / "subsets.yaml").write_text(SUBSETS)
    assert findings.of("routes.yaml", ROUTES) == []


def test_certificates_that_only_proxies_can_see_are_not_missed(folder: Path) -> None:
    gateway = (
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: front}\nspec:\n"
        "  selector: {istio: ingressgateway}\n  servers:\n"
        "  - port: {number: 443, name: https, protocol: HTTPS}\n    hosts: [reviews.test]\n"
        "    tls: {mode: SIMPLE, credentialName: kept-elsewhere}\n"
    )
    (folder / "gateway.yaml").write_text(gateway)
    assert "IST0161" not in [each[0] for each in told(folder, "gateway.yaml", gateway)]
