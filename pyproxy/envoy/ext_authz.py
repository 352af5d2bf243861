"""An external authorizer as Envoy's ext_authz filter. It asks about what an RBAC filter before it has marked.

Source: Istio pilot/pkg/security/authz/builder/extauthz.go.
"""

from __future__ import annotations

from pyproxy.envoy.values import TYPE, Resource, duration, given
from pyproxy.policy.ext_authz import ExtAuthz, HeaderNames

MARK = "istio_ext_authz_"
"""What the RBAC filter's metadata begins with (its shadow_rules_stat_prefix)."""


def ext_authz_filter(settings: ExtAuthz) -> Resource:
    """The HTTP filter."""
    response = given(
        ("allowed_upstream_headers", _names(settings.upstream_on_allow)),
        ("allowed_client_headers", _names(settings.client_on_deny)),
        ("allowed_client_headers_on_success", _names(settings.client_on_allow)),
    )
    service: Resource = {
        "server_uri": {
            "uri": f"http://{settings.host}",
            "cluster": settings.cluster,
            "timeout": duration(settings.timeout),
        },
        **given(
            ("path_prefix", settings.path_prefix.decode()),
            ("authorization_request", _additional(settings)),
            ("authorization_response", response),
        ),
    }
    config: Resource = {
        "@type": f"{TYPE}.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "http_service": service,
        "status_on_error": {"code": settings.status_on_error},
        "filter_enabled_metadata": {
            "filter": "envoy.filters.http.rbac",
            "path": [{"key": f"{MARK}shadow_effective_policy_id"}],
            "value": {"string_match": {"prefix": f"istio-ext-authz-{settings.provider}"}},
        },
        **given(
            ("failure_mode_allow", settings.fail_open),
            ("allowed_headers", _names(settings.told)),
            ("with_request_body", _body(settings)),
        ),
    }
    return {"name": "envoy.filters.http.ext_authz", "typed_config": config}


def _names(names: HeaderNames) -> Resource:
    patterns: list[Resource] = [{"exact": name.decode(), "ignore_case": True} for name in sorted(names.exact)]
    patterns += [{"prefix": name.decode(), "ignore_case": True} for name in names.prefixes]
    patterns += [{"suffix": name.decode(), "ignore_case": True} for name in names.suffixes]
    return {"patterns": patterns} if patterns else {}


def _additional(settings: ExtAuthz) -> Resource:
    names = (name.decode() for name, _ in settings.additional)
    headers = [{"key": name, "value": text} for name, text in zip(names, settings.additional_texts, strict=True)]
    return {"headers_to_add": headers} if headers else {}


def _body(settings: ExtAuthz) -> Resource:
    if not settings.max_request_bytes:
        return {}
    return {
        "max_request_bytes": settings.max_request_bytes,
        **given(("allow_partial_message", settings.allow_partial)),
    }
