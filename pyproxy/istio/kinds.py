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
from pyproxy.istio.rules.authorization_policy import check_authorization_policy
from pyproxy.istio.rules.destination_rule import check_destination_rule
from pyproxy.istio.rules.gateway import check_gateway
from pyproxy.istio.rules.kubernetes import check_endpoint_slice, check_endpoints, check_service, check_traffic_split
from pyproxy.istio.rules.mesh import check_operator
from pyproxy.istio.rules.peer_authentication import check_peer_authentication
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.proxy_config import check_proxy_config
from pyproxy.istio.rules.request_authentication import check_request_authentication
from pyproxy.istio.rules.service_entry import check_service_entry
from pyproxy.istio.rules.sidecar import check_sidecar
from pyproxy.istio.rules.telemetry import check_telemetry
from pyproxy.istio.rules.virtual_service import check_virtual_service
from pyproxy.istio.rules.workload_entry import check_workload_entry, check_workload_group
from pyproxy.istio.schema import nearest
from pyproxy.istio.security import AuthorizationPolicy, PeerAuthentication, RequestAuthentication
from pyproxy.istio.smi import TrafficSplit
from pyproxy.istio.telemetry import Telemetry

Check = Callable[[Any, ObjectMeta, Place], None]
"""Rules for one kind: the message, the metadata, and the place of the message in the document."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How the documents of one kind are read."""

    model: type[Message]
    versions: tuple[str, ...]
    check: Check
    in_spec: bool = True
    """Whether the message is under `spec`; or else its fields stand beside `metadata`."""
    named: bool = True
    """Whether it needs a name; what only an installer reads does not."""


_NETWORKING = ("v1", "v1beta1", "v1alpha3")
_SECURITY = ("v1", "v1beta1")
_SPLIT = ("v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4")

KINDS: dict[tuple[str, str], Kind] = {
    ("networking.istio.io", "VirtualService"): Kind(VirtualService, _NETWORKING, check_virtual_service),
    ("networking.istio.io", "DestinationRule"): Kind(DestinationRule, _NETWORKING, check_destination_rule),
    ("networking.istio.io", "ServiceEntry"): Kind(ServiceEntry, _NETWORKING, check_service_entry),
    ("networking.istio.io", "WorkloadEntry"): Kind(WorkloadEntry, _NETWORKING, check_workload_entry),
    ("networking.istio.io", "WorkloadGroup"): Kind(WorkloadGroup, _NETWORKING, check_workload_group),
    ("networking.istio.io", "Sidecar"): Kind(Sidecar, _NETWORKING, check_sidecar),
    ("networking.istio.io", "Gateway"): Kind(Gateway, _NETWORKING, check_gateway),
    ("networking.istio.io", "ProxyConfig"): Kind(ProxyConfig, _NETWORKING, check_proxy_config),
    ("security.istio.io", "PeerAuthentication"): Kind(PeerAuthentication, _SECURITY, check_peer_authentication),
    ("security.istio.io", "AuthorizationPolicy"): Kind(AuthorizationPolicy, _SECURITY, check_authorization_policy),
    ("security.istio.io", "RequestAuthentication"): Kind(
        RequestAuthentication, _SECURITY, check_request_authentication
    ),
    ("telemetry.istio.io", "Telemetry"): Kind(Telemetry, ("v1", "v1alpha1"), check_telemetry),
    ("install.istio.io", "IstioOperator"): Kind(IstioOperator, ("v1alpha1",), check_operator, named=False),
    ("", "Service"): Kind(KubernetesService, ("v1",), check_service),
    ("", "Endpoints"): Kind(Endpoints, ("v1",), check_endpoints, in_spec=False),
    ("discovery.k8s.io", "EndpointSlice"): Kind(EndpointSlice, ("v1", "v1beta1"), check_endpoint_slice, in_spec=False),
    ("split.smi-spec.io", "TrafficSplit"): Kind(TrafficSplit, _SPLIT, check_traffic_split),
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
    is_ours = any(group == known_group for known_group, _ in KINDS)
    near = nearest(kind, (name for _, name in KINDS))
    hint = f"; did you mean {_offer(near)}?" if near is not None and (is_ours or near == kind) else ""
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
