"""Sidecar and every message inside it (networking/v1alpha3/sidecar.proto)."""

from __future__ import annotations

from typing import Literal

from pyproxy.istio.fields import Many, Map, Message, UInt32
from pyproxy.istio.networking.destination_rule import ConnectionPoolSettings
from pyproxy.istio.networking.gateway import ServerTLSSettings
from pyproxy.istio.networking.virtual_service import Destination

CaptureMode = Literal["DEFAULT", "IPTABLES", "NONE"]


class Sidecar(Message):
    """What some workloads' proxies listen on and which services they know."""

    workload_selector: WorkloadSelector | None = None
    ingress: Many[IstioIngressListener] = ()
    egress: Many[IstioEgressListener] = ()
    inbound_connection_pool: ConnectionPoolSettings | None = None
    outbound_traffic_policy: OutboundTrafficPolicy | None = None


class IstioIngressListener(Message):
    """A port on which the proxy takes traffic for its workload."""

    port: SidecarPort
    bind: str | None = None
    capture_mode: CaptureMode | None = None
    default_endpoint: str | None = None
    tls: ServerTLSSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None


class IstioEgressListener(Message):
    """What the workload may reach, perhaps through one local port."""

    port: SidecarPort | None = None
    bind: str | None = None
    capture_mode: CaptureMode | None = None
    hosts: Many[str]


class WorkloadSelector(Message):
    """Workloads that carry all these labels."""

    labels: Map[str] = {}


Mode = Literal["REGISTRY_ONLY", "ALLOW_ANY"]


class OutboundTrafficPolicy(Message):
    """What becomes of traffic to hosts that nobody names; an empty block means REGISTRY_ONLY."""

    mode: Mode | None = None
    egress_proxy: Destination | None = None


class SidecarPort(Message):
    """A port of a listener."""

    number: UInt32 | None = None
    protocol: str | None = None
    name: str | None = None
    target_port: UInt32 | None = None
