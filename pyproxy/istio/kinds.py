"""Which kinds of documents there are, which message each holds, and what becomes of the kinds that do not apply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyproxy.istio.fields import Message
from pyproxy.istio.kubernetes import Endpoints, EndpointSlice, KubernetesService
from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.networking.destination_rule import DestinationRule
from pyproxy.istio.networking.gateway import Gateway
from pyproxy.istio.networking.proxy_config import ProxyConfig
from pyproxy.istio.networking.service_entry import ServiceEntry
from pyproxy.istio.networking.sidecar import Sidecar
from pyproxy.istio.networking.virtual_service import VirtualService
from pyproxy.istio.networking.workload_entry import WorkloadEntry, WorkloadGroup
from pyproxy.istio.operator import IstioOperator
from pyproxy.istio.problems import Severity
from pyproxy.istio.rules.place import Place
from pyproxy.istio.schema import nearest
from pyproxy.istio.security import AuthorizationPolicy, PeerAuthentication, RequestAuthentication
from pyproxy.istio.smi import TrafficSplit
from pyproxy.istio.telemetry import Telemetry

Check = Callable[[Any, ObjectMeta, Place], None]
"""Rules for one kind: the message, the metadata, and the place of the message in the document."""


def no_rules(spec: Message, meta: ObjectMeta, place: Place) -> None:
    """For kinds whose schema says everything."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How the documents of one kind are read."""

    model: type[Message]
    versions: tuple[str, ...]
    check: Check = no_rules
    in_spec: bool = True
    """Whether the message is under `spec`; or else its fields stand beside `metadata`."""


_NETWORKING = ("v1", "v1beta1", "v1alpha3")

KINDS: dict[tuple[str, str], Kind] = {
    ("networking.istio.io", "VirtualService"): Kind(VirtualService, _NETWORKING),
    ("networking.istio.io", "DestinationRule"): Kind(DestinationRule, _NETWORKING),
    ("networking.istio.io", "ServiceEntry"): Kind(ServiceEntry, _NETWORKING),
    ("networking.istio.io", "WorkloadEntry"): Kind(WorkloadEntry, _NETWORKING),
    ("networking.istio.io", "WorkloadGroup"): Kind(WorkloadGroup, _NETWORKING),
    ("networking.istio.io", "Sidecar"): Kind(Sidecar, _NETWORKING),
    ("networking.istio.io", "Gateway"): Kind(Gateway, _NETWORKING),
    ("networking.istio.io", "ProxyConfig"): Kind(ProxyConfig, _NETWORKING),
    ("security.istio.io", "PeerAuthentication"): Kind(PeerAuthentication, ("v1", "v1beta1")),
    ("security.istio.io", "AuthorizationPolicy"): Kind(AuthorizationPolicy, ("v1", "v1beta1")),
    ("security.istio.io", "RequestAuthentication"): Kind(RequestAuthentication, ("v1", "v1beta1")),
    ("telemetry.istio.io", "Telemetry"): Kind(Telemetry, ("v1", "v1alpha1")),
    ("install.istio.io", "IstioOperator"): Kind(IstioOperator, ("v1alpha1",)),
    ("", "Service"): Kind(KubernetesService, ("v1",)),
    ("", "Endpoints"): Kind(Endpoints, ("v1",), in_spec=False),
    ("discovery.k8s.io", "EndpointSlice"): Kind(EndpointSlice, ("v1", "v1beta1"), in_spec=False),
    ("split.smi-spec.io", "TrafficSplit"): Kind(
        TrafficSplit, ("v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4"), in_spec=False
    ),
}

# Groups that run or watch the workloads themselves: their documents say nothing to a proxy.
_KUBERNETES_GROUPS = frozenset(("", "apps", "autoscaling", "batch", "policy", "monitoring.coreos.com"))


def split_api_version(api_version: str) -> tuple[str, str]:
    """Group and version; the core group is empty."""
    group, _, version = api_version.rpartition("/")
    return group, version


def kind_of(api_version: str, kind: str) -> Kind | None:
    """How to read a document, or None when it does not apply."""
    group, version = split_api_version(api_version)
    known = KINDS.get((group, kind))
    return known if known is not None and version in known.versions else None


def why_not_applied(api_version: str, kind: str) -> tuple[Severity, str]:
    """How loudly a document of another kind is passed over, and what is said."""
    group = split_api_version(api_version)[0]
    known = KINDS.get((group, kind))
    if known is not None:
        accepted = ", ".join(_join(group, one) for one in known.versions)
        return "warning", f"ignored: {api_version} is not a version of {kind} that is known; accepted are {accepted}"
    if _is_kubernetes(group):
        return "info", f"ignored: {kind} says nothing to a proxy"
    near = nearest(kind, (name for _, name in KINDS))
    hint = f"; did you mean {_offer(near)}?" if near is not None else ""
    return "warning", f"ignored: {kind} of {api_version} is not applied{hint}"


def _is_kubernetes(group: str) -> bool:
    if group == "gateway.networking.k8s.io":  # routes traffic, so its absence would be noticed
        return False
    return group in _KUBERNETES_GROUPS or group.endswith(".k8s.io")


def _offer(kind: str) -> str:
    group, known = next((group, known) for (group, name), known in KINDS.items() if name == kind)
    return f"{kind} of {_join(group, known.versions[0])}"


def _join(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version
