"""/config_dump: what serves now as Envoy's admin.v3.ConfigDump, and the documents that it was made from.

Everything comes as dynamic resources, because a reload may replace it. Lists are iterators: they are written item by
item. Source: Envoy api/envoy/admin/v3/config_dump.proto.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pyproxy.admin.pages import BadRequest, Page, Query, as_json, text
from pyproxy.admin.patterns import Matches, pattern
from pyproxy.admin.served import Served
from pyproxy.envoy.bootstrap import collectors
from pyproxy.envoy.clusters import cluster_resource
from pyproxy.envoy.endpoints import assignment_resource
from pyproxy.envoy.listeners import Listeners
from pyproxy.envoy.routes import table_resource
from pyproxy.envoy.tables import Table, inbound_table, plain_table, plaintext_finds_less
from pyproxy.envoy.tls import Certificates
from pyproxy.envoy.values import TYPE, Resource, address, node, timestamp
from pyproxy.mtls.layout import CHAIN
from pyproxy.snapshot.model import Snapshot
from pyproxy.snapshot.tables import ANY

_SECRET_FIELDS = frozenset({"accesstoken", "clientsecret", "password", "privatekey", "secretkey", "token"})
_KEY_SETS = frozenset({"jwks", "inline_string"})
_SECRET_MEMBERS = frozenset({"k", "d", "p", "q", "dp", "dq", "qi", "oth"})
"""Of a JSON web key (RFC 7518 section 6): the secret that signs tokens, and the private half of a pair."""
_REDACTED = "[redacted]"
_ENDPOINTS = "dynamic_endpoint_configs"


def config_dump(served: Served, query: Query) -> Page:
    """`?resource=` one list only, `?name_regex=` by name, `?include_eds` with the hosts of this moment."""
    if "mask" in query:
        raise BadRequest("mask is not supported; use resource, name_regex and include_eds")
    configs = list(_Dump(served, pattern(query.get("name_regex", ""), whole=True)).parts())
    wanted = query.get("resource", "")
    if wanted:
        found = [config[wanted] for config in configs if isinstance(config.get(wanted), Iterator)]
        return as_json({"configs": found[0]}) if found else text(f"{wanted} not found in config dump", 404)
    if "include_eds" not in query:
        configs = [config for config in configs if _ENDPOINTS not in config]
    return as_json({"configs": iter(configs)})


class _Dump:
    """Every part of a dump, with those resources whose names fit. One of each is made at a time, when it is written."""

    def __init__(self, served: Served, named: Matches) -> None:
        self._served = served
        self._named = named
        self._serving = served.live.serving  # a reload may come before the last part is written
        self._snapshot = self._serving.snapshot
        self._certificates = Certificates(_own_folder(served))
        self._version: Resource = {"version_info": self._snapshot.version}
        self._started: Resource = {"last_updated": timestamp(served.started_at)}
        updated = timestamp(served.reload_status.succeeded_at or served.started_at)
        self._stamp = self._version | {"last_updated": updated}

    def parts(self) -> Iterator[Resource]:
        """In Envoy's order; the documents, which Envoy has none of, at the end."""
        yield self._bootstrap()
        yield (
            _dump("Clusters")
            | self._version
            | {
                "static_clusters": self._collectors(),
                "dynamic_active_clusters": self._clusters(),
            }
        )
        yield _dump("Endpoints") | {_ENDPOINTS: self._endpoints()}
        yield _dump("Listeners") | self._version | {"dynamic_listeners": self._listeners()}
        yield _dump("ScopedRoutes")
        yield _dump("Routes") | {"dynamic_route_configs": self._routes()}
        yield _dump("Secrets")
        yield (
            {"@type": "type.googleapis.com/pyproxy.admin.DocumentsDump"}
            | self._stamp
            | {"documents": self._documents()}
        )

    def _bootstrap(self) -> Resource:
        settings = self._served.settings
        admin = {"address": address(settings.admin_address, settings.admin_port)}
        return (
            _dump("Bootstrap") | {"bootstrap": {"node": node(self._snapshot.identity), "admin": admin}} | self._started
        )

    def _collectors(self) -> Iterator[Resource]:
        for cluster in collectors(self._snapshot):
            if self._named(str(cluster["name"])):
                yield {"cluster": _config("cluster.v3.Cluster", cluster)} | self._started

    def _clusters(self) -> Iterator[Resource]:
        for name, cluster in self._snapshot.clusters.items():
            if self._named(name):
                resource = cluster_resource(cluster, self._certificates)
                yield self._stamp | {"cluster": _config("cluster.v3.Cluster", resource)}

    def _endpoints(self) -> Iterator[Resource]:
        for name, state in self._serving.clusters.items():
            if self._named(name):
                resource = assignment_resource(state)
                yield self._stamp | {"endpoint_config": _config("endpoint.v3.ClusterLoadAssignment", resource)}

    def _listeners(self) -> Iterator[Resource]:
        listeners = Listeners(self._snapshot, certificates=self._certificates)
        for bound in list(self._served.listeners.values()):
            if self._named(bound.listener.name):
                resource = _config("listener.v3.Listener", listeners.resource(bound.listener, bound.port))
                state = self._stamp | {"listener": _without_secrets(resource)}
                yield {"name": bound.listener.name, "active_state": state}

    def _routes(self) -> Iterator[Resource]:
        for table in _tables(self._snapshot):
            if self._named(table.name):
                resource = table_resource(table)
                yield self._stamp | {"route_config": _config("route.v3.RouteConfiguration", resource)}

    def _documents(self) -> Iterator[object]:
        return (_without_secrets(document) for document in self._snapshot.documents if self._named(_name(document)))


def _own_folder(served: Served) -> str:
    """Where the workload's certificate is; empty when it has none."""
    files = (Path(holding.sources.certificate) for holding in served.certificates)
    return next((str(file.parent) for file in files if file.name == CHAIN), "")


def _tables(snapshot: Snapshot) -> Iterator[Table]:
    """One at a time: a large mesh has large ones."""
    for table in snapshot.route_tables.values():
        yield plain_table(table)
    if ANY in snapshot.route_tables:
        yield inbound_table(snapshot)
        if plaintext_finds_less(snapshot):
            yield inbound_table(snapshot, plain=True)


def _dump(what: str) -> Resource:
    return {"@type": f"{TYPE}.admin.v3.{what}ConfigDump"}


def _config(kind: str, resource: Resource) -> Resource:
    return {"@type": f"{TYPE}.config.{kind}", **resource}


def _name(document: Mapping[str, object]) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, Mapping) else ""


def _without_secrets(value: object, field: str = "") -> object:
    """A document as it was written, but for what nobody should read in a dump."""
    if isinstance(value, Mapping):
        return {key: _without_secrets(member, str(key)) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(member, field) for member in value]
    if field in _KEY_SETS and isinstance(value, str):
        return _without_secret_members(value)
    secret = field.lower().replace("_", "") in _SECRET_FIELDS or (isinstance(value, str) and "PRIVATE KEY-" in value)
    return _REDACTED if secret else value


def _without_secret_members(text: str) -> str:
    """A key set, but for what signs; any other text as it is."""
    found = False

    def cleaned(members: dict[str, Any]) -> dict[str, Any]:
        nonlocal found
        found = found or not _SECRET_MEMBERS.isdisjoint(members)
        return {name: _REDACTED if name in _SECRET_MEMBERS else value for name, value in members.items()}

    try:
        document = json.loads(text, object_hook=cleaned)
    except (ValueError, RecursionError):
        return text
    return json.dumps(document) if found else text
