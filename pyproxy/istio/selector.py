"""Selectors that several kinds share (type/v1beta1/selector.proto)."""

from __future__ import annotations

from pyproxy.istio.fields import Map, Message


class WorkloadSelector(Message):
    """Workloads that carry all these labels."""

    match_labels: Map[str] = {}


class PolicyTargetReference(Message):
    """A Gateway API object that a policy is attached to."""

    group: str | None = None
    kind: str
    name: str
    namespace: str | None = None
