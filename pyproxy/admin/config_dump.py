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
    configs = list(_configs(served, pattern(query.get("name_regex", ""), whole=True)))
    wanted = query.get("resource", "")
    if wanted:
        found = [config[wanted] for config in configs if isinstance(config.get(wanted), Iterator)]
        return as_json({"configs": found[0]}) if found else text(f"{wanted} not found in config dump", 404)
    if "include_eds" not in query:
        configs = [config for config in configs if _ENDPOINTS not in config]
    return as_json({"configs": iter(configs)})


def _configs(served: Served, named: Matches) -> Iterator[Resource]:
    serving = served.live.serving
    snapshot = serving.snapshot
    settings = served.settings
    certificates = Certificates(_own_folder(served))
    listeners = Listeners(snapshot, certificates=certificates)
    version: Resource = {"version_info": snapshot.version}
    stamp = version | {"last_updated": timestamp(served.reload_status.succeeded_at or served.started_at)}
    yield _dump("Bootstrap") | {
        "bootstrap": {
            "node": node(snapshot.identity),
            "admin": {"address": address(settings.admin_address, settings.admin_port)},
        },
        "last_updated": timestamp(served.started_at),
    }
    yield (
        _dump("Clusters")
        | version
        | {
            "static_clusters": (
                {"cluster": _config("cluster.v3.Cluster", cluster), "last_updated": timestamp(served.started_at)}
                for cluster in collectors(snapshot)
                if named(str(cluster["name"]))
            ),
            "dynamic_active_clusters": (
                stamp | {"cluster": _config("cluster.v3.Cluster", cluster_resource(cluster, certificates))}
                for name, cluster in snapshot.clusters.items()
                if named(name)
            ),
        }
    )
    yield _dump("Endpoints") | {
        _ENDPOINTS: (
            stamp | {"endpoint_config": _config("endpoint.v3.ClusterLoadAssignment", assignment_resource(state))}
            for name, state in serving.clusters.items()
            if named(name)
        )
    }
    yield (
        _dump("Listeners")
        | version
        | {
            "dynamic_listeners": (
                {
                    "name": bound.listener.name,
                    "active_state": stamp
                    | {
                        "listener": _without_secrets(
                            _config("listener.v3.Listener", listeners.resource(bound.listener, bound.port))
                        )
                    },
                }
                for bound in list(served.listeners.values())
                if named(bound.listener.name)
            )
        }
    )
    yield _dump("ScopedRoutes")
    yield _dump("Routes") | {
        "dynamic_route_configs": (
            stamp | {"route_config": _config("route.v3.RouteConfiguration", table_resource(table))}
            for table in _tables(snapshot)
            if named(table.name)
        )
    }
    yield _dump("Secrets")
    yield (
        {"@type": "type.googleapis.com/pyproxy.admin.DocumentsDump"}
        | stamp
        | {"documents": (_without_secrets(document) for document in snapshot.documents if named(_name(document)))}
    )


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
