"""TrafficSplit: shares between services, as a VirtualService would have them."""

from __future__ import annotations

from pyproxy.istio.smi import TrafficSplit
from pyproxy.snapshot.traffic_split import split_route
from tests.snapshot.documents import compiled, entry, find, shares

SERVICES = "\n---\n".join(entry(f"{name}.default.svc.cluster.local", "8080/HTTP") for name in ("web", "web-a", "web-b"))


def split(*backends: str) -> str:
    lines = "".join(f"\n  - {{{backend}}}" for backend in backends)
    return (
        "apiVersion: split.smi-spec.io/v1alpha2\nkind: TrafficSplit\n"
        f"metadata: {{name: web}}\nspec:\n  service: web\n  backends:{lines}"
    )


def test_backends_get_their_shares() -> None:
    snapshot = compiled(SERVICES, split("service: web-a, weight: 90", "service: web-b, weight: 10"))

    assert shares(find(snapshot, 8080, "web")) == {
        "outbound|8080||web-a.default.svc.cluster.local": 90,
        "outbound|8080||web-b.default.svc.cluster.local": 10,
    }


def test_thousandths_are_kept() -> None:
    snapshot = compiled(SERVICES, split("service: web-a, weight: 1500m", "service: web-b, weight: 500m"))

    assert list(shares(find(snapshot, 8080, "web")).values()) == [1500, 500]


def test_the_weight_of_a_single_backend_does_not_matter() -> None:
    found = split_route(TrafficSplit.model_validate({"service": "web", "backends": [{"service": "web-a"}]}))

    assert found is not None
    assert [(each.destination.host, each.weight) for each in found.route] == [("web-a", 1)]


def test_without_any_weight_nothing_is_split() -> None:
    backends = [{"service": "web-a", "weight": 0}, {"service": "web-b"}]

    assert split_route(TrafficSplit.model_validate({"service": "web", "backends": backends})) is None
