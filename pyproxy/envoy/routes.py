"""Route tables as Envoy's config.route.v3.RouteConfiguration.

A match was compiled to a function: where it is more than a path it stands here in words. Of header operations and
rewrites, functions too, only names are left; their text stands in the documents.
Source: Envoy api/envoy/config/route/v3/route_components.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from pyproxy.envoy.values import TYPE, Resource, duration, given, istio_metadata
from pyproxy.policy.fault import FaultPolicy
from pyproxy.policy.hashing import HashKind, HashPolicy
from pyproxy.policy.retry import RetryPolicy
from pyproxy.snapshot.model import (
    Destination,
    DirectResponse,
    Forward,
    HeaderOps,
    Mirror,
    Redirect,
    Route,
    RouteTable,
    VirtualHost,
)

EVERYTHING = "everything"
"""What `Route.description` says of a route without a match."""
_REDIRECTS = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
_PATHS: dict[str, Callable[[str], Resource]] = {
    "=": lambda path: {"path": path},
    "starts": lambda path: {"prefix": path},
    "~": lambda path: {"safe_regex": {"regex": path}},
}
_HASH_FIELDS = {HashKind.HEADER: "header", HashKind.COOKIE: "cookie", HashKind.QUERY: "query_parameter"}
_NAME_FIELDS = {HashKind.HEADER: "header_name", HashKind.COOKIE: "name", HashKind.QUERY: "name"}


def table_resource(table: RouteTable) -> Resource:
    """One table; its virtual hosts are an iterator, because there may be thousands."""
    return {
        "@type": f"{TYPE}.config.route.v3.RouteConfiguration",
        "name": table.name,
        "virtual_hosts": (_virtual_host(host) for host in virtual_hosts(table)),
    }


def virtual_hosts(table: RouteTable) -> Iterator[VirtualHost]:
    """Each one once: a virtual host stands in its table under every one of its names."""
    seen: set[int] = set()
    for host in chain(table.exact.values(), table.suffixes.values(), filter(None, (table.default,))):
        if id(host) not in seen:
            seen.add(id(host))
            yield host


def _virtual_host(host: VirtualHost) -> Resource:
    return {
        "name": host.name,
        "domains": list(host.domains),
        "routes": [_route(route) for route in host.routes],
        "include_request_attempt_count": True,
    }


def _route(route: Route) -> Resource:
    resource: Resource = {**given(("name", route.name)), "match": _match(route)}
    action = route.action
    if isinstance(action, Forward):
        resource["route"] = _forward(action)
    elif isinstance(action, Redirect):
        resource["redirect"] = _redirect(action)
    else:
        resource["direct_response"] = _direct(action)
    if route.operation:
        resource["decorator"] = {"operation": route.operation}
    resource |= _header_operations(route.request_headers, route.response_headers)
    if route.fault is not None:
        resource["typed_per_filter_config"] = {"envoy.filters.http.fault": _fault(route.fault)}
    return resource | istio_metadata("virtual-service", route.virtual_service)


def _match(route: Route) -> Resource:
    """Envoy's own match where the words say only a path, else the words."""
    words = route.description
    subject, _, value = words.partition(" ")
    verb, _, value = value.partition(" ")
    if words in (EVERYTHING, ""):
        return {"prefix": _text(route.matched_prefix) or "/"}
    if subject != "path" or " " in value or verb not in _PATHS:
        return {"description": words}
    return _PATHS[verb](value)


def _forward(action: Forward) -> Resource:
    resource: Resource = {}
    if len(action.destinations) == 1:
        resource["cluster"] = action.destinations[0].cluster
    else:
        resource["weighted_clusters"] = {"clusters": [_weighted(one) for one in action.destinations]}
    resource["timeout"] = duration(action.timeout)
    if action.retry is not None:
        resource["retry_policy"] = _retry(action.retry)
    if action.mirrors:
        resource["request_mirror_policies"] = [_mirror(mirror) for mirror in action.mirrors]
    if action.hash_policies:
        resource["hash_policy"] = [_hash(policy) for policy in action.hash_policies]
    return resource


def _weighted(destination: Destination) -> Resource:
    operations = _header_operations(destination.request_headers, destination.response_headers)
    return {"name": destination.cluster, "weight": destination.weight, **operations}


def _retry(policy: RetryPolicy) -> Resource:
    resource: Resource = {
        "retry_on": ",".join(sorted(policy.retry_on)),
        "num_retries": policy.attempts,
        "host_selection_retry_max_attempts": str(policy.host_selection_attempts),
        "retry_back_off": {
            "base_interval": duration(policy.backoff_base),
            "max_interval": duration(policy.backoff_max),
        },
    }
    if policy.per_try_timeout:
        resource["per_try_timeout"] = duration(policy.per_try_timeout)
    if policy.retriable_status_codes:
        resource["retriable_status_codes"] = sorted(policy.retriable_status_codes)
    if policy.avoid_previous_hosts:
        kind = f"{TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
        name = "envoy.retry_host_predicates.previous_hosts"
        resource["retry_host_predicate"] = [{"name": name, "typed_config": {"@type": kind}}]
    return resource


def _mirror(mirror: Mirror) -> Resource:
    return {"cluster": mirror.cluster, "runtime_fraction": {"default_value": _fraction(mirror.per_million)}}


def _fraction(per_million: int) -> Resource:
    return {"numerator": per_million, "denominator": "MILLION"}


def _hash(policy: HashPolicy) -> Resource:
    if policy.kind is HashKind.SOURCE_IP:
        return {"connection_properties": {"source_ip": True}}
    body: Resource = {_NAME_FIELDS[policy.kind]: _text(policy.name)}
    if policy.kind is HashKind.COOKIE:
        body |= given(("path", policy.cookie_path))
        if policy.cookie_ttl is not None:
            body["ttl"] = duration(policy.cookie_ttl)
    return {_HASH_FIELDS[policy.kind]: body}


def _redirect(action: Redirect) -> Resource:
    return given(
        ("scheme_redirect", _text(action.scheme)),
        ("host_redirect", _text(action.authority)),
        ("port_redirect", action.port),
        ("path_redirect", _text(action.uri)),
        ("prefix_rewrite", _text(action.prefix_rewrite)),
    ) | {"response_code": _REDIRECTS.get(action.status, str(action.status))}


def _direct(action: DirectResponse) -> Resource:
    body = {"body": {"inline_string": action.body.decode(errors="replace")}} if action.body else {}
    return {"status": action.status, **body}


def _fault(policy: FaultPolicy) -> Resource:
    resource: Resource = {"@type": f"{TYPE}.extensions.filters.http.fault.v3.HTTPFault"}
    if policy.delay_per_million:
        resource["delay"] = {
            "fixed_delay": duration(policy.delay),
            "percentage": _fraction(policy.delay_per_million),
        }
    if policy.abort_per_million:
        status = given(("http_status", policy.abort_status), ("grpc_status", policy.abort_grpc_status))
        resource["abort"] = {**status, "percentage": _fraction(policy.abort_per_million)}
    return resource


def _header_operations(request: HeaderOps | None, response: HeaderOps | None) -> Resource:
    resource: Resource = {}
    for which, operations in (("request", request), ("response", response)):
        if operations is None:
            continue
        added = [("OVERWRITE_IF_EXISTS_OR_ADD", name) for name, _ in operations.set]
        added += [("APPEND_IF_EXISTS_OR_ADD", name) for name, _ in operations.add]
        if added:
            resource[f"{which}_headers_to_add"] = [
                {"header": {"key": _text(name)}, "append_action": action} for action, name in added
            ]
        if operations.remove:
            resource[f"{which}_headers_to_remove"] = [_text(name) for name in operations.remove]
    return resource


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
