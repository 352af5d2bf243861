"""Endpoints by locality and priority: as documents have them, and as they are at this moment.

Source: Envoy api/envoy/config/endpoint/v3/endpoint_components.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from pyproxy.envoy.tls import ABLE
from pyproxy.envoy.values import Resource, address, given, locality
from pyproxy.runtime.clusters import ClusterState
from pyproxy.snapshot.model import Cluster, Discovery, Endpoint

PlaceT = TypeVar("PlaceT")


def configured_assignment(cluster: Cluster, *, reachable: bool = True) -> Resource:
    """The load_assignment of a cluster whose endpoints documents list; none of them where nothing can connect."""
    if not reachable:
        return {"cluster_name": cluster.name, "endpoints": []}
    weights = cluster.load_balancing.locality_weights or {}
    single = cluster.discovery is Discovery.LOGICAL_DNS  # Envoy takes one host there
    groups = _by_locality(
        cluster.endpoints[: 1 if single else None], lambda one: (one.locality, one.priority), _endpoint, weights
    )
    return {"cluster_name": cluster.name, "endpoints": groups}


def assignment_resource(state: ClusterState) -> Resource:
    """The hosts of a cluster as they are now, host names resolved and health known."""
    return {
        "cluster_name": state.name,
        "endpoints": _by_locality(
            state.hosts,
            lambda host: (host.locality, host.priority),
            lambda host: {
                "endpoint": {"address": address(host.address, host.port), **given(("hostname", host.hostname))},
                "health_status": "HEALTHY" if host.healthy else "UNHEALTHY",
                "load_balancing_weight": host.weight,
            },
        ),
    }


def _by_locality(
    hosts: Iterable[PlaceT],
    place: Callable[[PlaceT], tuple[str, int]],
    write: Callable[[PlaceT], Resource],
    weights: Mapping[str, int] | None = None,
) -> list[Resource]:
    groups: dict[tuple[str, int], list[Resource]] = {}
    for host in hosts:
        groups.setdefault(place(host), []).append(write(host))
    return [
        {
            **given(("locality", locality(where)), ("priority", priority)),
            **given(("load_balancing_weight", (weights or {}).get(where))),
            "lb_endpoints": members,
        }
        for (where, priority), members in groups.items()
    ]


def _endpoint(endpoint: Endpoint) -> Resource:
    return {
        "endpoint": {"address": address(endpoint.address, endpoint.port)},
        "load_balancing_weight": endpoint.weight,
        **_metadata(endpoint),
    }


def _metadata(endpoint: Endpoint) -> Resource:
    """Istio's note of the workload, and whether it takes mutual TLS."""
    about = {
        **given(("istio", given(("workload", _workload(endpoint))))),
        **given(("envoy.transport_socket_match", ABLE if endpoint.mutual_tls else {})),
    }
    return {"metadata": {"filter_metadata": about}} if about else {}


def _workload(endpoint: Endpoint) -> str:
    """Istio's short form: workload;namespace;canonical name;canonical revision;cluster id."""
    if not endpoint.workload:
        return ""
    labels = endpoint.labels
    name = labels.get("service.istio.io/canonical-name") or labels.get("app") or endpoint.workload
    revision = labels.get("service.istio.io/canonical-revision") or labels.get("version") or "latest"
    return ";".join((endpoint.workload, endpoint.namespace, name, revision, endpoint.cluster_id))
