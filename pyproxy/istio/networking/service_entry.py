"""ServiceEntry and its status (networking/v1alpha3/service_entry.proto)."""

from __future__ import annotations

from typing import Literal

from pyproxy.istio.fields import Many, Message, UInt32
from pyproxy.istio.networking.sidecar import WorkloadSelector
from pyproxy.istio.networking.workload_entry import WorkloadEntry

Location = Literal["MESH_EXTERNAL", "MESH_INTERNAL"]

Resolution = Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]


class ServiceEntry(Message):
    """A service of the registry: hosts, ports, and how its endpoints are found."""

    hosts: Many[str]
    addresses: Many[str] = ()
    ports: Many[ServicePort] = ()
    location: Location | None = None
    resolution: Resolution | None = None
    endpoints: Many[WorkloadEntry] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: Many[str] = ()
    subject_alt_names: Many[str] = ()


class ServicePort(Message):
    """A port of a service."""

    number: UInt32
    protocol: str | None = None
    name: str
    target_port: UInt32 | None = None
