"""A scenario's mesh as an Envoy bootstrap, in the shape that Istio generates for a sidecar's outbound HTTP listener.

What differs from Istio: clusters and routes are static instead of xDS; the filters that only Istio's own build has
(istio.stats, istio.alpn, metadata exchange) are missing, so this Envoy does less for each request than a sidecar
would; Envoy's statistics are all kept, as Istio does when `proxyStatsMatcher` includes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.documents import rules_of
from bench.scenarios import HOST, SERVICE_PORT, Guards, Mesh, Retries
from bench.tokens import ISSUER, issued

_TYPE = "type.googleapis.com/envoy"
_UNLIMITED = 4294967295
Config = dict[str, Any]


def bootstrap(
    mesh: Mesh,
    ports: dict[str, int],
    *,
    listener_port: int,
    admin_port: int,
    collector_port: int,
    certificates: Path | None = None,
) -> Config:
    """The whole bootstrap. Nobody need listen on `collector_port`: no span is ever exported."""
    inbound = mesh.inbound
    listener = inbound_listener(mesh, listener_port, certificates) if inbound else _listener(mesh, listener_port)
    clusters = [_cluster(INBOUND_CLUSTER, [ports["v1"]])] if inbound else _clusters(mesh, ports, certificates)
    return {
        "node": {"id": "sidecar~127.0.0.1~client.default~default.svc.cluster.local", "cluster": "client.default"},
        "admin": {"address": _address(admin_port)},
        "stats_config": {
            "use_all_default_tags": False,
            "stats_tags": [
                {"tag_name": "cluster_name", "regex": r"^cluster\.(([^;]+);\.)"},
                {"tag_name": "response_code", "regex": r"_rq(_(\d{3}))$"},
                {"tag_name": "response_code_class", "regex": r"_rq(_(\dxx))$"},
            ],
        },
        "static_resources": {
            "listeners": [listener],
            "clusters": [*clusters, _cluster("zipkin", [collector_port])],
        },
    }


def cluster_name(host: str, subset: str = "") -> str:
    """Istio's name of an outbound cluster."""
    return f"outbound|{SERVICE_PORT}|{subset}|{host}"


# Listener


def _listener(mesh: Mesh, port: int) -> Config:
    if mesh.tcp:
        return _tcp_listener(port)
    settings = _manager(f"outbound_127.0.0.1_{SERVICE_PORT}", _route_config(mesh))
    manager = {"name": "envoy.filters.network.http_connection_manager", "typed_config": settings}
    return {
        "name": f"127.0.0.1_{SERVICE_PORT}",
        "address": _address(port),
        "traffic_direction": "OUTBOUND",
        "filter_chains": [{"filters": [manager]}],
    }


def _tcp_listener(port: int) -> Config:
    cluster = cluster_name(HOST, "v1")
    proxy = {
        "@type": f"{_TYPE}.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": cluster,
        "cluster": cluster,
        "idle_timeout": "3600s",
    }
    return {
        "name": f"127.0.0.1_{SERVICE_PORT}",
        "address": _address(port),
        "traffic_direction": "OUTBOUND",
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}],
    }


def _manager(name: str, routes: Config, first: Sequence[Config] = ()) -> Config:
    """`first`: the filters before all others."""
    return {
        "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "use_remote_address": False,
        "generate_request_id": True,
        "normalize_path": True,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "proxy_100_continue": True,
        "stream_idle_timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "request_id_extension": {
            "typed_config": {
                "@type": f"{_TYPE}.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                "use_request_id_for_trace_sampling": True,
            }
        },
        "tracing": _tracing(),
        "http_filters": [*first, *_filters()],
        "route_config": routes,
    }


def _filters() -> list[Config]:
    return [
        _filter("grpc_stats", "grpc_stats.v3.FilterConfig", emit_filter_state=True, stats_for_all_methods=False),
        _filter("fault", "fault.v3.HTTPFault"),
        _filter("cors", "cors.v3.Cors"),
        _filter("router", "router.v3.Router"),
    ]


# Before the service


INBOUND_CLUSTER = f"inbound|{SERVICE_PORT}||"


def inbound_listener(mesh: Mesh, port: int, certificates: Path | None) -> Config:
    """Istio's inbound listener for one HTTP port: mutual TLS and nothing else with `mesh.mutual_tls`."""
    rules = [_filter("rbac", "rbac.v3.RBAC", rules=_rbac(mesh))] if mesh.rules else []
    rules += _tokens() if mesh.tokens else []
    manager = _manager("inbound_0.0.0.0_15006", _inbound_routes(), rules) | {
        "server_name": "istio-envoy",
        "forward_client_cert_details": "APPEND_FORWARD",
        "set_current_client_cert_details": {"subject": True, "dns": True, "uri": True},
    }
    chain: Config = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    listener: Config = {
        "name": "virtualInbound",
        "address": _address(port),
        "traffic_direction": "INBOUND",
        "filter_chains": [chain],
    }
    if mesh.mutual_tls and certificates is not None:
        chain["filter_chain_match"] = {"transport_protocol": "tls"}
        chain["transport_socket"] = _tls(
            "Downstream",
            certificates,
            {"match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/"}}]},
            ["h2", "http/1.1"],
            {"require_client_certificate": True},
        )
        listener["listener_filters"] = [
            _listener_filter("original_dst", "OriginalDst"),
            _listener_filter("tls_inspector", "TlsInspector"),
        ]
    return listener


def _listener_filter(name: str, kind: str) -> Config:
    config = {"@type": f"{_TYPE}.extensions.filters.listener.{name}.v3.{kind}"}
    return {"name": f"envoy.filters.listener.{name}", "typed_config": config}


def _inbound_routes() -> Config:
    route = {"match": {"prefix": "/"}, "route": {"cluster": INBOUND_CLUSTER, "timeout": "0s"}}
    route["decorator"] = {"operation": f"{HOST}:{SERVICE_PORT}/*"}
    host = {"name": f"inbound|http|{SERVICE_PORT}", "domains": ["*"], "routes": [route]}
    return {"name": INBOUND_CLUSTER, "validate_clusters": False, "virtual_hosts": [host]}


def _rbac(mesh: Mesh) -> Config:
    """As Istio writes an ALLOW policy: a policy for each rule, in the order of their names."""
    policies = {}
    for number, (method, path, team) in enumerate(rules_of(mesh)):
        matcher = {"prefix": path[:-1]} if path != "*" else {"safe_regex": {"regex": ".+"}}
        permissions = [
            {"or_rules": {"rules": [{"header": {"name": ":method", "string_match": {"exact": method}}}]}},
            {"or_rules": {"rules": [{"url_path": {"path": matcher}}]}},
        ]
        header = {"header": {"name": "x-team", "string_match": {"exact": team}}}
        principals = [{"or_ids": {"ids": [header]}}] if team else [{"any": True}]
        policies[f"ns[default]-policy[allow]-rule[{number:03}]"] = {
            "permissions": [{"and_rules": {"rules": permissions}}],
            "principals": [{"and_ids": {"ids": principals}}],
        }
    return {"action": "ALLOW", "policies": policies}


def _tokens() -> list[Config]:
    """As istiod writes a RequestAuthentication, and an ALLOW policy for every principal of a token."""
    provider = {
        "issuer": ISSUER,
        "forward": True,
        "local_jwks": {"inline_string": issued().jwks},
        "payload_in_metadata": "payload",
        "normalize_payload_in_metadata": {"space_delimited_claims": ["permission", "scope"]},
    }
    either = {"requires_any": {"requirements": [{"provider_name": "origins-0"}, {"allow_missing": {}}]}}
    principals = [{"and_ids": {"ids": [_claim("iss"), _claim("sub")]}}]
    policies = {"ns[default]-policy[tokens]-rule[0]": {"permissions": [{"any": True}], "principals": principals}}
    return [
        _filter(
            "jwt_authn",
            "jwt_authn.v3.JwtAuthentication",
            providers={"origins-0": provider},
            rules=[{"match": {"prefix": "/"}, "requires": either}],
            bypass_cors_preflight=True,
        ),
        _filter("rbac", "rbac.v3.RBAC", rules={"action": "ALLOW", "policies": policies}),
    ]


def _claim(name: str) -> Config:
    """A claim that says anything at all."""
    path = [{"key": "payload"}, {"key": name}]
    value = {"string_match": {"safe_regex": {"regex": ".+"}}}
    return {"metadata": {"filter": "envoy.filters.http.jwt_authn", "path": path, "value": value}}


def _tls(side: str, certificates: Path, validation: Config, alpn: list[str], more: Config) -> Config:
    """Mutual TLS as istiod asks for it, with files in the place of secrets from its agent."""
    chain, key = ({"filename": str(certificates / name)} for name in ("cert-chain.pem", "key.pem"))
    trusted = {"trusted_ca": {"filename": str(certificates / "root-cert.pem")}}
    context = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [{"certificate_chain": chain, "private_key": key}],
        "validation_context": trusted | validation,
        "alpn_protocols": alpn,
    }
    message = f"{_TYPE}.extensions.transport_sockets.tls.v3.{side}TlsContext"
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": message, "common_tls_context": context, **more},
    }


def _filter(name: str, message: str, **fields: object) -> Config:
    config = {"@type": f"{_TYPE}.extensions.filters.http.{message}", **fields}
    return {"name": f"envoy.filters.http.{name}", "typed_config": config}


def _tracing() -> Config:
    """B3 headers on every request, none sampled: what is measured is propagation, not export."""
    return {
        "client_sampling": {"value": 100},
        "random_sampling": {"value": 0},
        "overall_sampling": {"value": 100},
        "custom_tags": [
            {"tag": f"istio.{name}", "literal": {"value": value}}
            for name, value in (
                ("canonical_service", "client"),
                ("canonical_revision", "latest"),
                ("mesh_id", "cluster.local"),
                ("namespace", "default"),
                ("cluster_id", "Kubernetes"),
            )
        ],
        "provider": {
            "name": "envoy.tracers.zipkin",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
                "collector_cluster": "zipkin",
                "collector_endpoint": "/api/v2/spans",
                "collector_endpoint_version": "HTTP_JSON",
                "trace_id_128bit": True,
                "shared_span_context": False,
            },
        },
    }


# Routes


def _route_config(mesh: Mesh) -> Config:
    return {
        "name": str(SERVICE_PORT),
        "ignore_port_in_host_matching": True,
        "max_direct_response_body_size_bytes": 1048576,
        "validate_clusters": False,
        "virtual_hosts": [
            _virtual_host(HOST, _routes(mesh)),
            *(_virtual_host(host, _routes(mesh)) for host in mesh.hosts()),
            _virtual_host("*", [{"match": {"prefix": "/"}, "direct_response": {"status": 502}}], name="block_all"),
        ],
    }


def _virtual_host(host: str, routes: list[Config], *, name: str = "") -> Config:
    return {
        "name": name or f"{host}:{SERVICE_PORT}",
        "domains": [host],
        "routes": routes,
        "include_request_attempt_count": True,
    }


def _routes(mesh: Mesh) -> list[Config]:
    first, _ = mesh.split[0]
    if mesh.header_match is None:
        return [_route(mesh, {"cluster": cluster_name(HOST, first)})]
    name, value = mesh.header_match
    matched = {"prefix": "/", "headers": [{"name": name, "string_match": {"exact": value}}], "case_sensitive": True}
    weighted = [{"name": cluster_name(HOST, subset), "weight": weight} for subset, weight in mesh.split]
    return [
        _route(mesh, {"weighted_clusters": {"clusters": weighted}}, match=matched),
        _route(mesh, {"cluster": cluster_name(HOST, first)}),
    ]


def _route(mesh: Mesh, destination: Config, *, match: Config | None = None) -> Config:
    faults = {} if mesh.guards is None else {"typed_per_filter_config": _faults(mesh.guards)}
    return {
        "match": match or {"prefix": "/"},
        "route": {
            **destination,
            "timeout": "0s",
            "max_stream_duration": {"max_stream_duration": "0s", "grpc_timeout_header_max": "0s"},
            "retry_policy": _retry_policy(mesh.retries),
        },
        "decorator": {"operation": f"{HOST}:{SERVICE_PORT}/*"},
        **faults,
    }


def _retry_policy(retries: Retries | None) -> Config:
    """Istio's default policy, or the given one on the same base; a status among `retryOn` becomes a retriable one."""
    predicate = "envoy.retry_host_predicates.previous_hosts"
    message = f"{_TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    base = {
        "host_selection_retry_max_attempts": "5",
        "retry_host_predicate": [{"name": predicate, "typed_config": {"@type": message}}],
    }
    if retries is None:
        words = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
        return {"retry_on": words, "num_retries": 2, **base}
    if retries.on.isdecimal():
        statuses = [int(retries.on)]
        words = "retriable-status-codes"
        return {"retry_on": words, "num_retries": retries.attempts, "retriable_status_codes": statuses, **base}
    return {"retry_on": retries.on, "num_retries": retries.attempts, **base}


def _faults(guards: Guards) -> Config:
    percentage = {"numerator": round(guards.fault_percent * 10_000), "denominator": "MILLION"}
    fault = {
        "@type": f"{_TYPE}.extensions.filters.http.fault.v3.HTTPFault",
        "delay": {"percentage": percentage, "fixed_delay": "0.1s"},
        "abort": {"percentage": percentage, "http_status": 500},
    }
    return {"envoy.filters.http.fault": fault}


# Clusters


def _clusters(mesh: Mesh, ports: dict[str, int], certificates: Path | None) -> list[Config]:
    everywhere = list(ports.values())
    clusters = [
        _cluster(cluster_name(HOST), everywhere, mesh.guards),
        *(_cluster(cluster_name(HOST, subset), [port], mesh.guards) for subset, port in ports.items()),
        *(_cluster(cluster_name(host), everywhere) for host in mesh.hosts()),
    ]
    if mesh.http2:
        for cluster in clusters:
            (options,) = cluster["typed_extension_protocol_options"].values()
            options["explicit_http_config"] = {"http2_protocol_options": {}}
    if mesh.mutual_tls and certificates is not None:
        for cluster in clusters:
            cluster["transport_socket"] = _upstream_tls(cluster["name"], certificates)
    return clusters


def _upstream_tls(cluster: str, certificates: Path) -> Config:
    server = {"san_type": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/default/sa/reviews"}}
    names = {"match_typed_subject_alt_names": [server]}
    # The ALPN that Istio's own filter, istio.alpn, puts in for HTTP/1.1; nginx refuses to talk without http/1.1.
    sni = cluster.replace("|", "_.", 1).replace("|", "_.", 1).replace("|", "_.", 1)
    return _tls("Upstream", certificates, names, ["istio-http/1.1", "istio", "http/1.1"], {"sni": sni})


def _cluster(name: str, ports: list[int], guards: Guards | None = None) -> Config:
    endpoints = [{"endpoint": {"address": _address(port)}, "load_balancing_weight": 1} for port in ports]
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    ceiling = _UNLIMITED if guards is None else guards.ceiling
    threshold = {f"max_{what}": ceiling for what in ("connections", "pending_requests", "requests", "retries")}
    return {
        "name": name,
        "alt_stat_name": name + ";",
        "type": "STATIC",
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "circuit_breakers": {"thresholds": [threshold | {"track_remaining": True}]},
        "common_lb_config": {"healthy_panic_threshold": {}},
        "typed_extension_protocol_options": {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": "300s"},
            }
        },
        **({} if guards is None else {"outlier_detection": _outlier_detection(guards)}),
    }


def _outlier_detection(guards: Guards) -> Config:
    return {
        "consecutive_5xx": guards.errors,
        "enforcing_consecutive_5xx": 100,
        "enforcing_success_rate": 0,
        "interval": "10s",
        "base_ejection_time": "30s",
        "max_ejection_percent": 100,
    }


def _address(port: int) -> Config:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
