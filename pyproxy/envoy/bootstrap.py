"""One snapshot as a whole Envoy bootstrap: everything static, with Istio's names for statistics and ports for people.

Source: Istio tools/packaging/common/envoy_bootstrap.json, pkg/bootstrap/config.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from pyproxy.envoy.clusters import NO_CERTIFICATE, by_name, by_name_resource, cluster_resource
from pyproxy.envoy.listeners import Listeners
from pyproxy.envoy.observability import COLLECTORS
from pyproxy.envoy.routes import same_names, table_resource, virtual_hosts
from pyproxy.envoy.tables import Table, tables_of
from pyproxy.envoy.tls import Certificates
from pyproxy.envoy.values import TYPE, Resource, address, node
from pyproxy.snapshot.model import Discovery, Listener, Snapshot

_ADMIN = "admin"
"""The cluster of Envoy's own admin port."""
_STATS_TAGS = {
    "cluster_name": r"^cluster\.(([^;]+);?\.)",
    "http_conn_manager_prefix": r"^http\.(((?:in|out)bound_.+?_\d+|gateway_.+?_\d+)\.)",
    "listener_address": r"^listener\.((.+?_\d+)\.)",
    "tcp_prefix": r"^tcp\.(((?:in|out)bound\|[^.]*\|\|?.*?|[A-Z]\w+Cluster)\.)\w+$",
    "response_code": r"_rq(_(\d{3}))$",
    "response_code_class": r"_rq(_(\dxx))$",
    "authz_enforce_result": r"rbac(\.(allowed|denied))",
    "authz_dry_run_action": r"(\.istio_dry_run_(allow|deny)_)",
    "authz_dry_run_result": r"(\.shadow_(allowed|denied))",
}


@dataclass(frozen=True, slots=True)
class Process:
    """What flags say: the ports beside traffic, where 0 picks a free one, and how long a head may take."""

    admin_address: str = "127.0.0.1"
    admin_port: int = 15000
    status_address: str = "0.0.0.0"
    status_port: int = 15021
    metrics_port: int = 15090
    request_headers_timeout: float = 0.0
    """Seconds, where no document says; 0: none."""
    certificates: Certificates = NO_CERTIFICATE


def bootstrap(snapshot: Snapshot, process: Process) -> Resource:
    """The document that `envoy -c` takes."""
    return {
        "node": node(snapshot.identity),
        "admin": {"address": address(process.admin_address, process.admin_port)},
        "stats_config": {
            "use_all_default_tags": False,
            "stats_tags": [{"tag_name": name, "regex": regex} for name, regex in _STATS_TAGS.items()],
        },
        "static_resources": {
            "listeners": [*_listeners(snapshot, process), *_ports(process)],
            "clusters": [*_clusters(snapshot, process.certificates), *collectors(snapshot), *_own_clusters(process)],
        },
    }


# Traffic


def _listeners(snapshot: Snapshot, process: Process) -> Iterator[Resource]:
    tables = tables_of(snapshot)

    def routes_of(listener: Listener, table: str, by_name_: bool) -> Resource:
        names = partial(by_name, snapshot) if by_name_ else same_names
        found = tables.get(table) or Table(table, {})  # as here: nothing is found in a table that is not there
        hosts = virtual_hosts(found, names, attempt_count=listener.http.attempt_count_header)
        return {"route_config": table_resource(found, list(hosts))}

    rendering = Listeners(snapshot, routes_of, process.certificates)
    for listener in snapshot.listeners:
        http = listener.http
        if not http.request_headers_timeout:
            http = replace(http, request_headers_timeout=process.request_headers_timeout)
        yield rendering.resource(replace(listener, http=http), listener.port)


def _clusters(snapshot: Snapshot, certificates: Certificates) -> Iterator[Resource]:
    for cluster in snapshot.clusters.values():
        yield cluster_resource(cluster, certificates)
        if cluster.discovery is Discovery.ORIGINAL_DST:
            yield by_name_resource(cluster, certificates)


# The process


def collectors(snapshot: Snapshot) -> list[Resource]:
    """Where spans of a mesh without a collector would go: a cluster without hosts, because a tracer must name one."""
    sides = (snapshot.telemetry.client.tracing, snapshot.telemetry.server.tracing)
    wanted = {COLLECTORS[each.propagation]: None for each in sides if each.enabled and each.export is None}
    return [_static(name, []) for name in wanted if name not in snapshot.clusters]


def _own_clusters(process: Process) -> Iterator[Resource]:
    """The admin port, for those who ask on other ports."""
    if process.admin_port:
        yield _static(_ADMIN, [{"endpoint": {"address": address(process.admin_address, process.admin_port)}}])


def _static(name: str, endpoints: list[Resource]) -> Resource:
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment}


def _ports(process: Process) -> Iterator[Resource]:
    """Where readiness and metrics are asked for. Without a known admin port there is nobody to answer."""
    if not process.admin_port:
        return
    yield _page("status", process, process.status_port, "/healthz/ready", "/ready")
    yield _page("metrics", process, process.metrics_port, "/stats/prometheus", "/stats/prometheus")


def _page(name: str, process: Process, port: int, path: str, asked: str) -> Resource:
    manager = {
        "@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": name,
                    "domains": ["*"],
                    "routes": [{"match": {"path": path}, "route": {"cluster": _ADMIN, "prefix_rewrite": asked}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": name, "address": address(process.status_address, port), "filter_chains": [chain]}
