"""The Kubernetes objects that name services and their endpoints (core/v1, discovery.k8s.io/v1)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from pyproxy.istio.fields import Flag, Int32, Many, Map, Message


def _int_or_name(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise PydanticCustomError("int_or_name", "must be a port number or the name of a port")
    return value


IntOrName = Annotated[int | str, BeforeValidator(_int_or_name)]
"""A port number, or the name of a port."""

Protocol = Literal["TCP", "UDP", "SCTP"]


class KubernetesService(Message):
    """The spec of a v1 Service."""

    ports: Many[KubernetesServicePort] = ()
    selector: Map[str] = {}
    cluster_ip: str | None = Field(default=None, alias="clusterIP")
    """The virtual address; `None` (the word) means a headless service."""
    cluster_ips: Many[str] = Field(default=(), alias="clusterIPs")
    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] | None = None
    external_ips: Many[str] = Field(default=(), alias="externalIPs")
    session_affinity: Literal["None", "ClientIP"] | None = None
    session_affinity_config: SessionAffinityConfig | None = None
    load_balancer_ip: str | None = Field(default=None, alias="loadBalancerIP")
    load_balancer_source_ranges: Many[str] = ()
    load_balancer_class: str | None = None
    external_name: str | None = None
    external_traffic_policy: Literal["Cluster", "Local"] | None = None
    internal_traffic_policy: Literal["Cluster", "Local"] | None = None
    health_check_node_port: Int32 | None = None
    publish_not_ready_addresses: Flag | None = None
    ip_families: Many[Literal["IPv4", "IPv6"]] = ()
    ip_family_policy: Literal["SingleStack", "PreferDualStack", "RequireDualStack"] | None = None
    allocate_load_balancer_node_ports: Flag | None = None
    traffic_distribution: str | None = None


class KubernetesServicePort(Message):
    """A port of a Service."""

    name: str | None = None
    protocol: Protocol | None = None
    app_protocol: str | None = None
    port: Int32
    target_port: IntOrName | None = None
    node_port: Int32 | None = None


class SessionAffinityConfig(Message):
    """How long a client stays with one endpoint."""

    client_ip: ClientIPConfig | None = Field(default=None, alias="clientIP")


class ClientIPConfig(Message):
    """Affinity by the client's address."""

    timeout_seconds: Int32 | None = None


class Endpoints(Message):
    """A v1 Endpoints object, without its metadata."""

    subsets: Many[EndpointSubset] = ()


class EndpointSubset(Message):
    """Addresses that share the same ports."""

    addresses: Many[EndpointAddress] = ()
    not_ready_addresses: Many[EndpointAddress] = ()
    ports: Many[EndpointPort] = ()


class EndpointAddress(Message):
    """One address of an Endpoints object."""

    ip: str
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointPort(Message):
    """A port of an Endpoints object or an EndpointSlice; no name means the service's only port."""

    name: str | None = None
    port: Int32 | None = None
    protocol: Protocol | None = None
    app_protocol: str | None = None


class EndpointSlice(Message):
    """A discovery.k8s.io EndpointSlice, without its metadata; label `kubernetes.io/service-name` says whose it is."""

    address_type: Literal["IPv4", "IPv6", "FQDN"] | None = None
    endpoints: Many[Endpoint] = ()
    ports: Many[EndpointPort] = ()


class Endpoint(Message):
    """One endpoint of a slice."""

    addresses: Many[str]
    conditions: EndpointConditions | None = None
    hostname: str | None = None
    target_ref: ObjectReference | None = None
    deprecated_topology: Map[str] = {}
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class EndpointConditions(Message):
    """Unset means ready, serving and not terminating."""

    ready: Flag | None = None
    serving: Flag | None = None
    terminating: Flag | None = None


class EndpointHints(Message):
    """Who should use an endpoint."""

    for_zones: Many[ForName] = ()
    for_nodes: Many[ForName] = ()


class ForName(Message):
    """A zone or a node (ForZone, ForNode)."""

    name: str


class ObjectReference(Message):
    """Another object of the cluster."""

    api_version: str | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    field_path: str | None = None
