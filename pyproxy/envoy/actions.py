"""What a route does as Envoy's RouteAction, RedirectAction and DirectResponseAction.

Source: Envoy api/envoy/config/route/v3/route_components.proto; Istio pilot/pkg/networking/core/route/route.go.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from pyproxy.envoy.headers import header_operations
from pyproxy.envoy.values import TYPE, Resource, duration, fraction, given, text
from pyproxy.policy.hashing import HashKind, HashPolicy
from pyproxy.policy.retry import RetryPolicy
from pyproxy.snapshot.model import Destination, DirectResponse, Forward, Mirror, Redirect

ClusterNames = Callable[[str], str]
"""A cluster's name in the snapshot → its name in Envoy."""
NOBODY = "UnknownCluster"
"""Where a route goes that could not be compiled: Envoy takes no empty name, and answers 503 NC for one unknown."""
_REDIRECTS = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
_HASH_FIELDS = {HashKind.HEADER: "header", HashKind.COOKIE: "cookie", HashKind.QUERY: "query_parameter"}
_NAME_FIELDS = {HashKind.HEADER: "header_name", HashKind.COOKIE: "name", HashKind.QUERY: "name"}
_LARGEST_STATUS = 599
_RETRY = f"{TYPE}.extensions.retry"
_PREVIOUS_HOSTS: Resource = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {"@type": f"{_RETRY}.host.previous_hosts.v3.PreviousHostsPredicate"},
}
_PREVIOUS_PRIORITIES: Resource = {
    "name": "envoy.retry_priorities.previous_priorities",
    "typed_config": {
        "@type": f"{_RETRY}.priority.previous_priorities.v3.PreviousPrioritiesConfig",
        "update_frequency": 2,
    },
}


def forward_resource(action: Forward, names: ClusterNames) -> Resource:
    """One destination or several by weight, and everything that holds for the way there."""
    resource: Resource = {}
    first = action.destinations[0]
    if len(action.destinations) == 1 and first == Destination(first.cluster, first.weight):
        resource["cluster"] = names(first.cluster) or NOBODY
    else:  # also for one that is left of several and has operations of its own
        resource["weighted_clusters"] = {"clusters": [_weighted(one, names) for one in action.destinations]}
    if action.rewrite_authority:
        resource["host_rewrite_literal"] = text(action.rewrite_authority)
    resource |= _path_rewrite(action)
    timeout = duration(action.timeout)
    resource |= {"timeout": timeout, "max_grpc_timeout": timeout}
    if action.retry is not None:
        resource["retry_policy"] = _retry(action.retry)
    if action.mirrors:
        resource["request_mirror_policies"] = [_mirror(mirror, names) for mirror in action.mirrors]
    if action.hash_policies:
        resource["hash_policy"] = [_hash(policy) for policy in action.hash_policies]
    return resource


def redirect_resource(action: Redirect) -> Resource:
    """A Location made of the request's own parts and the given ones."""
    return given(
        ("scheme_redirect", text(action.scheme)),
        ("host_redirect", text(action.authority)),
        ("port_redirect", action.port),
        ("path_redirect", text(action.uri)),
        ("prefix_rewrite", text(action.prefix_rewrite)),
    ) | {"response_code": _REDIRECTS[action.status]}


def direct_resource(action: DirectResponse) -> Resource:
    """A fixed answer. Istio takes status 600 too, Envoy does not."""
    resource: Resource = {"status": min(action.status, _LARGEST_STATUS)}
    if action.body:
        resource["body"] = _body(action.body)
    return resource


def _body(body: bytes) -> Resource:
    try:
        return {"inline_string": body.decode()}
    except UnicodeDecodeError:
        return {"inline_bytes": b64encode(body).decode()}


def _weighted(destination: Destination, names: ClusterNames) -> Resource:
    return {
        "name": names(destination.cluster) or NOBODY,
        "weight": destination.weight,
        **given(("host_rewrite_literal", text(destination.host_rewrite))),
        **header_operations(destination.request_headers, destination.response_headers),
    }


def _path_rewrite(action: Forward) -> Resource:
    """Envoy's prefix_rewrite replaces what matched: the prefix, or of an exact path and a regex everything."""
    rewrite = action.path_rewrite
    if rewrite is None:
        return {}
    if not rewrite.pattern:
        return {"prefix_rewrite": rewrite.text}
    return {"regex_rewrite": {"pattern": {"regex": rewrite.pattern}, "substitution": rewrite.text}}


def _retry(policy: RetryPolicy) -> Resource:
    resource: Resource = {
        "retry_on": ",".join(sorted(policy.retry_on)),
        "num_retries": policy.attempts,
        "host_selection_retry_max_attempts": str(policy.host_selection_attempts),
        "retry_back_off": {
            "base_interval": duration(policy.backoff_base),
            "max_interval": duration(max(policy.backoff_max, policy.backoff_base)),
        },
    }
    if policy.per_try_timeout:
        resource["per_try_timeout"] = duration(policy.per_try_timeout)
    if policy.retriable_status_codes:
        resource["retriable_status_codes"] = sorted(policy.retriable_status_codes)
    if policy.retriable_headers:
        names = sorted(policy.retriable_headers)
        resource["retriable_headers"] = [{"name": text(name), "present_match": True} for name in names]
    if policy.avoid_previous_hosts:
        resource["retry_host_predicate"] = [_PREVIOUS_HOSTS]
    if policy.retry_remote_localities:
        resource["retry_priority"] = _PREVIOUS_PRIORITIES
    return resource


def _mirror(mirror: Mirror, names: ClusterNames) -> Resource:
    return {
        "cluster": names(mirror.cluster),
        "runtime_fraction": {"default_value": fraction(mirror.per_million)},
        "trace_sampled": False,
        "disable_shadow_host_suffix_append": True,
    }


def _hash(policy: HashPolicy) -> Resource:
    if policy.kind is HashKind.SOURCE_IP:
        return {"connection_properties": {"source_ip": True}}
    body: Resource = {_NAME_FIELDS[policy.kind]: text(policy.name)}
    if policy.kind is HashKind.COOKIE:
        body |= given(("path", policy.cookie_path))
        if policy.cookie_ttl is not None:
            body["ttl"] = duration(policy.cookie_ttl)
        attributes = [{"name": name, "value": value} for name, value in policy.cookie_attributes]
        body |= given(("attributes", attributes))
    return {_HASH_FIELDS[policy.kind]: body}
