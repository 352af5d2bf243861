from pathlib import Path

import pytest

from pyproxy.istio.loader import load
from pyproxy.lab.folder import write_documents
from pyproxy.lab.layout import choose_layout

SHIPPED = Path(__file__).parents[2] / "pyproxy" / "lab" / "documents"


def test_the_shipped_documents_are_valid_without_a_remark() -> None:
    loaded = load([SHIPPED])
    assert loaded.problems == ()
    kinds = [document.kind for document in loaded.documents]
    assert {kind: kinds.count(kind) for kind in sorted(set(kinds))} == {
        "DestinationRule": 1,
        "Gateway": 1,
        "IstioOperator": 1,
        "PeerAuthentication": 1,
        "ServiceEntry": 4,
        "Sidecar": 6,
        "VirtualService": 3,
        "WorkloadEntry": 6,
    }


@pytest.mark.parametrize("subnet", ["127.0.7", "none"])
def test_what_is_written_for_this_machine_is_valid(tmp_path: Path, subnet: str) -> None:
    write_documents(tmp_path, choose_layout(subnet), 8081)
    assert load([tmp_path]).problems == ()
