"""WorkloadEntry, WorkloadGroup and the readiness probes (workload_entry.proto, workload_group.proto)."""

from __future__ import annotations

from pyproxy.istio.fields import Int32, Many, Map, Message, OneOfMessage, UInt32


class WorkloadEntry(Message):
    """One workload: its address, labels, place and identity."""

    address: str | None = None
    ports: Map[UInt32] = {}
    labels: Map[str] = {}
    network: str | None = None
    locality: str | None = None
    weight: UInt32 | None = None
    service_account: str | None = None


class ObjectMeta(Message):
    """Labels and annotations for the entries made from a group."""

    labels: Map[str] = {}
    annotations: Map[str] = {}


class WorkloadGroup(Message):
    """The template of a set of workloads."""

    metadata: ObjectMeta | None = None
    template: WorkloadEntry
    probe: ReadinessProbe | None = None


class ReadinessProbe(OneOfMessage):
    """How a workload's readiness is found; times in seconds."""

    ONE_OF = (("http_get", "tcp_socket", "exec", "grpc"),)

    initial_delay_seconds: Int32 | None = None
    timeout_seconds: Int32 | None = None
    period_seconds: Int32 | None = None
    success_threshold: Int32 | None = None
    failure_threshold: Int32 | None = None
    http_get: HTTPHealthCheckConfig | None = None
    tcp_socket: TCPHealthCheckConfig | None = None
    exec: ExecHealthCheckConfig | None = None
    grpc: GrpcHealthCheckConfig | None = None


class HTTPHealthCheckConfig(Message):
    """Ready when a GET succeeds."""

    path: str | None = None
    port: UInt32
    host: str | None = None
    scheme: str | None = None
    http_headers: Many[HTTPHeader] = ()


class GrpcHealthCheckConfig(Message):
    """Ready when the gRPC health service says so."""

    port: UInt32 | None = None
    service: str | None = None


class HTTPHeader(Message):
    """A header that a probe sends."""

    name: str | None = None
    value: str | None = None


class TCPHealthCheckConfig(Message):
    """Ready when a connection opens."""

    host: str | None = None
    port: UInt32


class ExecHealthCheckConfig(Message):
    """Ready when a command ends with 0."""

    command: Many[str]
