"""Small parts of Envoy's resources, in protobuf's JSON: durations, times, addresses, the node, Istio's metadata."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from pyproxy.snapshot.model import Identity

Resource = dict[str, object]
TYPE = "type.googleapis.com/envoy"


def duration(seconds: float) -> str:
    """`10s`, `0.025s`."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def fraction(per_million: int) -> Resource:
    """A FractionalPercent."""
    return {"numerator": per_million, "denominator": "MILLION"}


def text(value: bytes | None) -> str | None:
    """Bytes of the wire as protobuf's text."""
    return None if value is None else value.decode(errors="replace")


def timestamp(at: float) -> str:
    """Unix seconds → `2026-01-31T12:00:00.000Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def address(host: str, port: int) -> Resource:
    """A socket address, or a pipe for `unix:///path`."""
    if host.startswith("unix:"):
        return {"pipe": {"path": host.removeprefix("unix:").replace("///", "/")}}
    return {"socket_address": {"address": host, "port_value": port}}


def locality(text: str) -> Resource:
    """`region/zone/subzone`, shorter or empty, → what is there of it."""
    return dict(zip(("region", "zone", "sub_zone"), filter(None, text.split("/")), strict=False))


def node(identity: Identity) -> Resource:
    """Who we are. Source: Istio pkg/bootstrap/config.go, pkg/model/proxy.go (the service node)."""
    kind = "router" if identity.gateway else "sidecar"
    name, namespace = identity.workload, identity.namespace
    app = identity.labels.get("service.istio.io/canonical-name") or identity.labels.get("app") or name
    metadata: Resource = {
        "NAME": name,
        "NAMESPACE": namespace,
        "WORKLOAD_NAME": name,
        "SERVICE_ACCOUNT": identity.service_account,
        "LABELS": dict(identity.labels),
        "CLUSTER_ID": identity.cluster_id,
        "MESH_ID": identity.mesh_id,
        **given(("NETWORK", identity.network)),
    }
    return {
        "id": f"{kind}~{identity.address}~{name}.{namespace}~{namespace}.svc.cluster.local",
        "cluster": f"{app}.{namespace}",
        "metadata": metadata,
        **given(("locality", locality(identity.locality))),
    }


def istio_metadata(kind: str, name: str, more: Mapping[str, object] | None = None) -> Resource:
    """Istio's note of where a resource came from; istioctl reads it. `name` is `name.namespace` or empty.

    Source: Istio pilot/pkg/networking/util/util.go (BuildConfigInfoMetadata).
    """
    istio: Resource = {}
    if name:
        own, _, namespace = name.rpartition(".")
        istio["config"] = f"/apis/networking.istio.io/v1/namespaces/{namespace}/{kind}/{own}"
    istio |= more or {}
    return {"metadata": {"filter_metadata": {"istio": istio}}} if istio else {}


def given(*pairs: tuple[str, object], when: Callable[[object], object] = bool) -> Resource:
    """The pairs whose value says something, as protobuf leaves out what has its default."""
    return {name: value for name, value in pairs if when(value)}
