"""TrafficSplit of the Service Mesh Interface, v1alpha1 to v1alpha4 (split.smi-spec.io)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from pyproxy.istio.fields import Many, Message, Number


def _quantity(value: object) -> object:
    """v1alpha1 writes weights as Kubernetes quantities: `500m` is a half."""
    if isinstance(value, str):
        number, milli = (value[:-1], 1000) if value.endswith("m") else (value, 1)
        if number.isascii() and number.isdigit():
            return int(number) / milli
    return value


class TrafficSplit(Message):
    """Shares of the traffic to one service that go to other services."""

    service: str
    backends: Many[TrafficSplitBackend]
    matches: Many[TypedLocalObjectReference] = ()


class TrafficSplitBackend(Message):
    """One service and its weight."""

    service: str
    weight: Annotated[Number, BeforeValidator(_quantity)] | None = None


class TypedLocalObjectReference(Message):
    """An HTTPRouteGroup that says which requests are split."""

    api_group: str | None = None
    kind: str
    name: str
