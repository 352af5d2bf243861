"""Route tables as Envoy's config.route.v3.RouteConfiguration.

Source: Envoy api/envoy/config/route/v3/route.proto; Istio pilot/pkg/networking/core/httproute.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyproxy.envoy.actions import ClusterNames, direct_resource, forward_resource, redirect_resource
from pyproxy.envoy.filters import filter_settings
from pyproxy.envoy.headers import header_operations
from pyproxy.envoy.matches import match_resource
from pyproxy.envoy.tables import BLOCKED, Table
from pyproxy.envoy.values import Resource, given, istio_metadata
from pyproxy.snapshot.model import Destination, Forward, HashKind, HashPolicy, Redirect, Route
from pyproxy.snapshot.tcp_routes import TcpRoute

_LARGEST_BODY = 1024 * 1024


def same_names(name: str) -> str:
    """Clusters are called in Envoy as in the snapshot."""
    return name


def table_resource(table: Table, hosts: Iterable[Resource] | None = None) -> Resource:
    """One table; its virtual hosts are an iterator unless they are given, because there may be thousands."""
    return {
        "name": table.name,
        "virtual_hosts": virtual_hosts(table) if hosts is None else hosts,
        "ignore_port_in_host_matching": not table.names_ports,
        "validate_clusters": False,
        "max_direct_response_body_size_bytes": _LARGEST_BODY,
    }


def virtual_hosts(table: Table, names: ClusterNames = same_names, *, attempt_count: bool = True) -> Iterator[Resource]:
    """Each with all its names. Where CONNECT is served the same host may lead to several places, by its port."""
    for host, tunnel, domains in table.grouped():
        routes = [_route(route, names) for route in host.routes]
        if tunnel is not None:
            routes.insert(0, _tunnel(tunnel, names))
        yield {
            "name": host.name,
            "domains": domains,
            "routes": routes,
            **given(("include_request_attempt_count", attempt_count)),
        }


def _route(route: Route, names: ClusterNames) -> Resource:
    resource: Resource = {**given(("name", route.name)), "match": match_resource(route.conditions)}
    action = route.action
    if isinstance(action, Forward):
        resource["route"] = forward_resource(action, names)
    elif isinstance(action, Redirect):
        resource["redirect"] = redirect_resource(action)
    else:
        resource["direct_response"] = direct_resource(action)
    if route.operation:
        resource["decorator"] = {"operation": route.operation}
    resource |= header_operations(route.request_headers, route.response_headers)
    resource |= filter_settings(route)
    return resource | istio_metadata("virtual-service", route.virtual_service)


def _tunnel(tunnel: TcpRoute, names: ClusterNames) -> Resource:
    """CONNECT: to the cluster, byte for byte; refused where nothing unknown may be reached."""
    match: Resource = {"connect_matcher": {}}
    if tunnel == BLOCKED:
        return {"match": match, "direct_response": {"status": 502}}
    hashed = (HashPolicy(HashKind.SOURCE_IP),) if tunnel.by_source else ()
    forward = Forward(tuple(Destination(*each) for each in tunnel.clusters), hash_policies=hashed)
    upgrade = {"upgrade_type": "CONNECT", "connect_config": {}}
    return {"match": match, "route": {**forward_resource(forward, names), "upgrade_configs": [upgrade]}}
