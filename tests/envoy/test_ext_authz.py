from __future__ import annotations

from pyproxy.envoy.ext_authz import ext_authz_filter
from pyproxy.policy.ext_authz import ExtAuthz, HeaderNames


def test_the_least() -> None:
    found = ext_authz_filter(ExtAuthz("p", "outbound|80||a.test", "a.test"))
    assert found == {
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "http_service": {
                "server_uri": {"uri": "http://a.test", "cluster": "outbound|80||a.test", "timeout": "600s"},
            },
            "status_on_error": {"code": 403},
            "filter_enabled_metadata": {
                "filter": "envoy.filters.http.rbac",
                "path": [{"key": "istio_ext_authz_shadow_effective_policy_id"}],
                "value": {"string_match": {"prefix": "istio-ext-authz-p"}},
            },
        },
    }


def test_the_most() -> None:
    names = HeaderNames.of(["X-a", "b-*", "*-c"])
    settings = ExtAuthz(
        "p",
        "c",
        "a.test",
        timeout=0.5,
        path_prefix=b"/check",
        fail_open=True,
        status_on_error=503,
        told=names,
        additional=((b"x-add", lambda ctx: b"v"),),
        additional_texts=("v",),
        max_request_bytes=10,
        allow_partial=True,
        upstream_on_allow=names,
        client_on_allow=names,
        client_on_deny=names,
    )
    patterns = {
        "patterns": [
            {"exact": "x-a", "ignore_case": True},
            {"prefix": "b-", "ignore_case": True},
            {"suffix": "-c", "ignore_case": True},
        ]
    }
    found = ext_authz_filter(settings)["typed_config"]
    assert isinstance(found, dict)
    assert found["http_service"] == {
        "server_uri": {"uri": "http://a.test", "cluster": "c", "timeout": "0.5s"},
        "path_prefix": "/check",
        "authorization_request": {"headers_to_add": [{"key": "x-add", "value": "v"}]},
        "authorization_response": {
            "allowed_upstream_headers": patterns,
            "allowed_client_headers": patterns,
            "allowed_client_headers_on_success": patterns,
        },
    }
    assert found["status_on_error"] == {"code": 503}
    assert found["failure_mode_allow"] is True
    assert found["allowed_headers"] == patterns
    assert found["with_request_body"] == {"max_request_bytes": 10, "allow_partial_message": True}
