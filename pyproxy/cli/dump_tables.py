"""Admin dumps → istioctl's tables: the same columns, in the same order, with the same words.

Source: Istio istioctl/pkg/writer/envoy/configdump (cluster.go, route.go, listener.go), clusters/clusters.go,
istioctl/pkg/util/configdump/secret.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Resource = Mapping[str, Any]
Row = Sequence[str]
_PROTOCOLS = {
    ("http/1.0", "http/1.1", "h2c", "istio-http/1.0", "istio-http/1.1", "istio-h2"): "App: HTTP TLS",
    ("istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"): "App: Istio HTTP Plain",
    ("istio-peer-exchange", "istio"): "App: TCP TLS",
    ("http/1.0", "http/1.1", "h2c"): "App: HTTP",
}
_HTTP, _TCP = "envoy.filters.network.http_connection_manager", "envoy.filters.network.tcp_proxy"
_MOST_DOMAINS = 2


@dataclass(frozen=True, slots=True)
class Only:
    """What is asked for; empty and 0 ask for nothing. As istioctl: names of clusters by their parts."""

    port: int = 0
    fqdn: str = ""
    subset: str = ""
    direction: str = ""
    name: str = ""
    address: str = ""
    cluster: str = ""
    status: str = ""
    type: str = ""


def table(header: Row, rows: Iterable[Row]) -> str:
    """Columns five spaces apart, as Go's tabwriter sets them."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) + 5 for column in range(len(header))]
    return "\n".join(
        "".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def config_of(dump: Resource, kind: str) -> Resource:
    """One of the dump's parts by the name of its type, such as `ClustersConfigDump`."""
    return next((each for each in dump["configs"] if each["@type"].endswith("." + kind)), {})


# Clusters

CLUSTER_COLUMNS = ("SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE")


def clusters(dump: Resource, only: Only) -> list[Resource]:
    """The clusters asked for, by name, subset and port."""
    config = config_of(dump, "ClustersConfigDump")
    every = [
        each["cluster"] for each in (*config.get("dynamic_active_clusters", ()), *config.get("static_clusters", ()))
    ]
    return sorted((each for each in every if _wanted_cluster(each["name"], only)), key=_cluster_order)


def _wanted_cluster(name: str, only: Only) -> bool:
    port = f"|{only.port}|" if only.port else ""
    return all(part in name for part in (only.fqdn, only.subset, only.direction, port))


def _cluster_order(cluster: Resource) -> tuple[str, str, int, str]:
    parts = cluster["name"].split("|")
    if len(parts) < 4:
        return cluster["name"], "", 0, ""
    return parts[3], parts[2], _number(parts[1]), parts[0]


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def cluster_rows(found: Iterable[Resource]) -> Iterator[Row]:
    """One line a cluster."""
    for each in found:
        parts = each["name"].split("|")
        if len(parts) > 3:
            direction, port, subset, fqdn = parts[:4]
            yield fqdn, port, subset or "-", direction, each.get("type", "STATIC"), managed_by(each)
        else:
            yield each["name"], "-", "-", "-", each.get("type", "STATIC"), managed_by(each)


def managed_by(resource: Resource) -> str:
    """`name.namespace` of the document that a resource's metadata names."""
    path = resource.get("metadata", {}).get("filter_metadata", {}).get("istio", {}).get("config", "")
    pieces = path.split("/")
    return f"{pieces[7]}.{pieces[5]}" if len(pieces) == 8 else ""


# Routes

ROUTE_COLUMNS = ("NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE")


def routes(dump: Resource, only: Only) -> list[Resource]:
    """The route tables asked for; ports first, by number."""
    config = config_of(dump, "RoutesConfigDump")
    every = [each["route_config"] for each in config.get("dynamic_route_configs", ())]
    found = [each for each in every if not only.name or each["name"] == only.name]
    return sorted(found, key=lambda each: (not each["name"].isdigit(), _number(each["name"]), each["name"]))


def route_rows(found: Iterable[Resource]) -> Iterator[Row]:
    """One line a route, without those that only pass traffic through."""
    for config in found:
        for host in config.get("virtual_hosts", ()):
            domains = _domains(host.get("domains", ()))
            for route in host.get("routes", ()):
                if route.get("route", {}).get("cluster") != "PassthroughCluster":
                    match = _route_match(route.get("match", {}))
                    yield config["name"], host["name"], domains, match, managed_by(route)
            if not host.get("routes"):
                yield config["name"], host["name"], domains, "/*", "404"


def _domains(domains: Sequence[str]) -> str:
    """The first two that say most: neither with a port nor a longer form of another."""
    if len(domains) == 1:
        return domains[0]
    plain = [each for each in domains if ":" not in each or (each.count(":") > 2 and each.endswith("]"))]
    known = set(plain)
    longer = {
        each
        for each in plain
        for suffix in (".svc.cluster.local", ".svc")
        if each.endswith(suffix) and each.removesuffix(suffix) in known
    }
    shown = [each for each in plain if each not in longer]
    if len(shown) > _MOST_DOMAINS:
        return f"{', '.join(shown[:_MOST_DOMAINS])} + {len(shown) - _MOST_DOMAINS} more..."
    return ", ".join(shown)


def _route_match(match: Resource) -> str:
    """The path alone, as istioctl has it."""
    words = []
    if match.get("prefix"):
        words.append(f"{match['prefix']}*")
    if match.get("path_separated_prefix"):
        words.append(f"PathPrefix:{match['path_separated_prefix']}")
    if match.get("path"):
        words.append(match["path"])
    if "safe_regex" in match:
        words.append(f"regex {match['safe_regex']['regex']}")
    return " ".join(words)


# Listeners

LISTENER_COLUMNS = ("ADDRESSES", "PORT", "MATCH", "DESTINATION")


def listeners(dump: Resource, only: Only) -> list[Resource]:
    """The listeners asked for, by port and address."""
    config = config_of(dump, "ListenersConfigDump")
    every = [each["active_state"]["listener"] for each in config.get("dynamic_listeners", ())]
    return sorted((each for each in every if _wanted_listener(each, only)), key=lambda each: _place(each)[::-1])


def _wanted_listener(listener: Resource, only: Only) -> bool:
    address, port = _place(listener)
    return (
        (not only.port or port == only.port)
        and (not only.address or address.lower() == only.address.lower())
        and (not only.type or _kind(listener) == only.type.upper())
        and (not only.direction or listener.get("traffic_direction", "").lower() == only.direction)
        and (not only.name or listener["name"] == only.name)
    )


def _place(listener: Resource) -> tuple[str, int]:
    address = listener["address"]
    if "pipe" in address:
        return str(address["pipe"]["path"]), 0
    return str(address["socket_address"]["address"]), int(address["socket_address"].get("port_value", 0))


def _chains(listener: Resource) -> list[Resource]:
    last = listener.get("default_filter_chain")
    return [*listener.get("filter_chains", ()), *([last] if last else ())]


def _kind(listener: Resource) -> str:
    names = {found["name"] for chain in _chains(listener) for found in chain.get("filters", ())}
    kinds = [word for word, name in (("HTTP", _HTTP), ("TCP", _TCP)) if name in names]
    return "+".join(kinds) or "UNKNOWN"


def listener_rows(found: Iterable[Resource]) -> Iterator[Row]:
    """One line a filter chain, by destination from the last of the alphabet on."""
    for each in found:
        address, port = _place(each)
        chains = [(_chain_match(chain.get("filter_chain_match", {})), _destination(chain)) for chain in _chains(each)]
        for match, destination in sorted(chains, key=lambda chain: chain[1], reverse=True):
            yield address, str(port), match, destination


def _chain_match(match: Resource) -> str:
    words = []
    if match.get("server_names"):
        words.append(f"SNI: {','.join(match['server_names'])}")
    if match.get("transport_protocol"):
        words.append(f"Trans: {match['transport_protocol']}")
    protocols = tuple(match.get("application_protocols", ()))
    if protocols:
        words.append(_PROTOCOLS.get(protocols, f"App: {','.join(protocols)}"))
    port = f":{match['destination_port']}" if "destination_port" in match else ""
    ranges = match.get("prefix_ranges", ())
    if ranges:
        shown = ",".join(f"{each['address_prefix']}/{_length(each)}" for each in ranges)
        words.append(f"Addr: {shown}{port}")
    elif port:
        words.append(f"Addr: *{port}")
    return "; ".join(words) or "ALL"


def _length(block: Resource) -> int:
    length = block.get("prefix_len", 0)
    return int(length["value"] if isinstance(length, Mapping) else length)


def _destination(chain: Resource) -> str:
    for each in chain.get("filters", ()):
        config = each.get("typed_config", {})
        if each["name"] == _HTTP:
            if "route_config" in config:
                return _inline(config["route_config"])
            name = config.get("rds", {}).get("route_config_name", "")
            return f"Route: {name}" if name else "HTTP"
        if each["name"] == _TCP:
            weighted = config.get("weighted_clusters", {}).get("clusters", ())
            names = [config["cluster"]] if "cluster" in config else [one["name"] for one in weighted]
            return ",".join(_to_cluster(name) for name in names)
    return "Non-HTTP/Non-TCP"


def _to_cluster(name: str) -> str:
    return name if "Cluster" in name else f"Cluster: {name}"


def _inline(config: Resource) -> str:
    hosts = config.get("virtual_hosts", ())
    if len(hosts) == 1 and list(hosts[0]["domains"]) == ["*"] and len(hosts[0].get("routes", ())) == 1:
        [route] = hosts[0]["routes"]
        if route.get("match", {}).get("prefix") == "/" and "cluster" in route.get("route", {}):
            return _to_cluster(route["route"]["cluster"])
    shown = []
    for host in hosts:
        domains = "" if list(host["domains"]) == ["*"] else "/".join(host["domains"]) + " "
        shown.append(domains + ", ".join(_route_match(route.get("match", {})) for route in host.get("routes", ())))
    return f"Inline Route: {'; '.join(shown)}"


# Endpoints, out of /clusters

ENDPOINT_COLUMNS = ("ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER")


def endpoints(statuses: Resource, only: Only) -> list[Resource]:
    """Clusters with those of their hosts that are asked for."""
    found: list[Resource] = []
    for each in statuses.get("cluster_statuses", ()):
        hosts = [host for host in each.get("host_statuses", ()) if _wanted_host(host, each["name"], only)]
        if hosts:
            found.append({**each, "host_statuses": hosts})
    return found


def _wanted_host(host: Resource, cluster: str, only: Only) -> bool:
    address, port = _place(host)
    health = host.get("health_status", {})
    return (
        (not only.port or port == only.port)
        and (not only.address or address.lower() == only.address.lower())
        and (not only.cluster or cluster.lower() == only.cluster.lower())
        and _wanted_cluster(cluster, Only(fqdn=only.fqdn, subset=only.subset, direction=only.direction))
        and (not only.status or health.get("eds_health_status", "UNKNOWN").lower() == only.status.lower())
    )


def endpoint_rows(found: Iterable[Resource]) -> Iterator[Row]:
    """One line a host, by address, port and cluster. FAILED is an ejected one."""
    rows: list[tuple[tuple[str, int, str], Row]] = []
    for each in found:
        for host in each["host_statuses"]:
            address, port = _place(host)
            health = host.get("health_status", {})
            shown = f"{address}:{port}" if port else f"unix://{address}" if address.startswith("/") else address
            check = "FAILED" if health.get("failed_outlier_check") else "OK"
            row = (shown, health.get("eds_health_status", "UNKNOWN"), check, each["name"])
            rows.append(((address, port, each["name"]), row))
    yield from (row for _, row in sorted(rows))


# Secrets, out of /certs

SECRET_COLUMNS = (
    "RESOURCE NAME",
    "TYPE",
    "STATUS",
    "VALID CERT",
    "SERIAL NUMBER",
    "NOT AFTER",
    "NOT BEFORE",
)


def secrets(certs: Resource, only: Only) -> list[Resource]:
    """The certificates asked for: `default`, `ROOTCA`, and those of credentials by their names."""
    found: list[Resource] = []
    for each in certs.get("certificates", ()):
        for kind, entries in (("Cert Chain", each.get("cert_chain", ())[:1]), ("CA", each.get("ca_cert", ()))):
            for entry in entries:
                name = _secret_name(kind, entry["path"])
                if not only.name or name == only.name:
                    found.append({"name": name, "type": kind, **entry})
    return found


def _secret_name(kind: str, path: str) -> str:
    folder, _, _ = path.rpartition("/")
    parent, _, name = folder.rpartition("/")
    if parent.rpartition("/")[2] == "credentials":
        return f"kubernetes://{name}"
    return "default" if kind == "Cert Chain" else "ROOTCA"


def secret_rows(found: Iterable[Resource], now: str) -> Iterator[Row]:
    """One line a certificate; `now` is a time as certificates have it, `2026-01-31T12:00:00Z`."""
    for each in found:
        valid = each["valid_from"] <= now <= each["expiration_time"]
        yield (
            each["name"],
            each["type"],
            "ACTIVE",
            "true" if valid else "false",
            each["serial_number"],
            each["expiration_time"],
            each["valid_from"],
        )
