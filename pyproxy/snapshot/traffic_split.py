"""A TrafficSplit of the Service Mesh Interface → the VirtualService route that says the same."""

from __future__ import annotations

from pyproxy.istio.networking.virtual_service import Destination, HTTPRoute, HTTPRouteDestination
from pyproxy.istio.smi import TrafficSplit

_PARTS = 1000
"""v1alpha1 weights are Kubernetes quantities, down to thousandths."""


def split_route(split: TrafficSplit) -> HTTPRoute | None:
    """A route with each backend's share; None when every weight is 0. Several backends need weights."""
    weights = [backend.weight or 0 for backend in split.backends]
    if len(weights) == 1:
        weights = [1]
    if not any(weights):
        return None
    scale = 1 if all(weight == int(weight) for weight in weights) else _PARTS
    return HTTPRoute(
        route=tuple(
            HTTPRouteDestination(destination=Destination(host=backend.service), weight=round(weight * scale))
            for backend, weight in zip(split.backends, weights, strict=True)
        )
    )
