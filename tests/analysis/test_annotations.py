from __future__ import annotations

from collections.abc import Callable

import pytest

from pyproxy.analysis.annotations import KNOWN

ENTRY = """\
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: a, annotations: {NAME: x}}
spec: {address: 10.0.0.9, labels: {app: reviews}}
"""


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("example.com/anything", []),
        ("istio.io/rev", []),
        ("istio.io/autoRegistrationGroup", []),
        ("istio.io/autoregistrationGroup", ["IST0108"]),
        ("sidecar.istio.io/inject", ["IST0135", "IST0107"]),
    ],
)
def test_istios_annotations_alone_are_looked_at(told: Callable[[str], list[str]], name: str, codes: list[str]) -> None:
    assert told(ENTRY.replace("NAME", name)) == [f'{code} metadata.annotations["{name}"]' for code in codes]


def test_those_of_pods_are_known_one_by_one() -> None:
    assert KNOWN["sidecar.istio.io/proxyCPU"] == ("Pod",)
    assert len(KNOWN) == 68
