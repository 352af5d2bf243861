"""Rewrites, redirects, answers of our own, CORS, faults, mirror shares."""

from __future__ import annotations

import pytest

from pyproxy.istio.networking.virtual_service import (
    CorsPolicy,
    HTTPDirectResponse,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRewrite,
    HTTPRoute,
)
from pyproxy.policy.fault import FaultPolicy
from pyproxy.snapshot.actions import (
    compile_cors,
    compile_direct_response,
    compile_fault,
    compile_redirect,
    compile_rewrite,
    compile_substitution,
    matched_prefix,
    mirror_share,
)
from pyproxy.snapshot.model import DirectResponse, Redirect


@pytest.mark.parametrize(
    ("uri", "rewrite", "path", "sent"),
    [
        ({"prefix": "/foo"}, "/", "/foo/bar", "//bar"),
        ({"prefix": "/foo/"}, "/", "/foo/bar", "/bar"),
        ({"prefix": "/foo"}, "/v2", "/foobar", "/v2bar"),
        ({"exact": "/foo"}, "/bar", "/foo", "/bar"),
        ({"regex": "/f.*"}, "/bar", "/foo/baz", "/bar"),
        (None, "/v1/", "/api", "/v1/api"),
        ({"prefix": ""}, "/v1", "/api", "/v1/api"),
        ({}, "/v1/", "/api", "/v1/api"),
    ],
)
def test_a_rewrite_replaces_the_text_that_matched(
    uri: dict[str, str] | None, rewrite: str, path: str, sent: str
) -> None:
    match = HTTPMatchRequest.model_validate({"uri": uri})

    change = compile_rewrite(HTTPRewrite(uri=rewrite), matched_prefix(match))

    assert change is not None
    assert change(path.encode()) == sent.encode()


def test_an_authority_alone_rewrites_no_path() -> None:
    assert compile_rewrite(HTTPRewrite(authority="a.com"), b"/") is None
    assert compile_rewrite(None, b"/") is None


# RE2's own rules (re2.h, GlobalReplace; Envoy's regex_rewrite documents the second and third)
@pytest.mark.parametrize(
    ("pattern", "rewrite", "path", "sent"),
    [
        ("one", "two", "/xxx/one/yyy/one/zzz", "/xxx/two/yyy/two/zzz"),
        ("^/service/([^/]+)(/.*)$", r"\2/instance/\1", "/service/foo/v1/api", "/v1/api/instance/foo"),
        ("(?i)/xxx/", "/yyy/", "/aaa/XxX/bbb", "/aaa/yyy/bbb"),
        ("b+", r"<\0>", "/abbb", "/a<bbb>"),
        ("b", r"\\", "/abc", r"/a\c"),
        ("x*", "-", "axxc", "-a-c-"),
        ("(a)|(b)", r"\1", "/ab", "/a"),
        ("a", r"\g<0>", "/a", None),
        ("a", r"\1", "/a", None),
        ("a", "\\", "/a", None),
    ],
)
def test_a_substitution_follows_re2(pattern: str, rewrite: str, path: str, sent: str | None) -> None:
    change = compile_substitution(pattern, rewrite)

    assert (change and change(path.encode())) == (sent.encode() if sent is not None else None)


@pytest.mark.parametrize(
    ("block", "port", "expected"),
    [
        ({"uri": "/new"}, 80, Redirect(301, uri=b"/new")),
        ({"authority": "b.com", "redirectCode": 308}, 80, Redirect(308, authority=b"b.com")),
        ({"scheme": "https", "port": 443}, 80, Redirect(301, scheme=b"https")),
        ({"scheme": "https", "port": 8443}, 80, Redirect(301, scheme=b"https", port=8443)),
        ({"port": 80}, 8080, Redirect(301)),
        ({"uri": "/x", "derivePort": "FROM_REQUEST_PORT"}, 8080, Redirect(301, uri=b"/x", port=8080)),
        ({"uri": "/x", "derivePort": "FROM_REQUEST_PORT"}, 80, Redirect(301, uri=b"/x")),
        ({"uri": "/x", "derivePort": "FROM_PROTOCOL_DEFAULT"}, 8080, Redirect(301, uri=b"/x")),
        ({"prefixRewrite": "/v2"}, 80, Redirect(301, prefix_rewrite=b"/v2")),
        ({"uri": "/x", "redirectCode": 304}, 80, None),
    ],
)
def test_redirects(block: dict[str, object], port: int, expected: Redirect | None) -> None:
    assert compile_redirect(HTTPRedirect.model_validate(block), port, tls=False) == expected


def test_a_redirect_on_a_tls_listener_leaves_443_unsaid() -> None:
    assert compile_redirect(HTTPRedirect(port=443), 443, tls=True) == Redirect(301)


def test_a_direct_response_has_text_or_bytes() -> None:
    assert compile_direct_response(HTTPDirectResponse(status=503)) == DirectResponse(503)
    text = HTTPDirectResponse.model_validate({"status": 200, "body": {"string": "grüß"}})
    assert compile_direct_response(text) == DirectResponse(200, "grüß".encode())
    raw = HTTPDirectResponse.model_validate({"status": 200, "body": {"bytes": "AAE="}})
    assert compile_direct_response(raw) == DirectResponse(200, b"\x00\x01")


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (
            {"delay": {"fixedDelay": "7s", "percentage": {"value": 100}}},
            FaultPolicy(delay=7.0, delay_per_million=1_000_000),
        ),
        ({"delay": {"fixedDelay": "7s"}}, None),
        ({"delay": {"fixedDelay": "7s", "percent": 5}}, FaultPolicy(delay=7.0, delay_per_million=50_000)),
        (
            {"abort": {"httpStatus": 500, "percentage": {"value": 0.1}}},
            FaultPolicy(abort_status=500, abort_per_million=1_000),
        ),
        ({"abort": {"httpStatus": 500}}, None),
        (
            {"abort": {"grpcStatus": "UNAVAILABLE", "percentage": {"value": 50}}},
            FaultPolicy(abort_grpc_status=14, abort_per_million=500_000),
        ),
        ({"abort": {"percentage": {"value": 50}}}, None),
        (
            {
                "delay": {"fixedDelay": "1s", "percentage": {"value": 1}},
                "abort": {"httpStatus": 503, "percentage": {"value": 0}},
            },
            FaultPolicy(delay=1.0, delay_per_million=10_000),
        ),
    ],
)
def test_a_fault_without_a_percentage_never_fires(block: dict[str, object], expected: FaultPolicy | None) -> None:
    assert compile_fault(HTTPFaultInjection.model_validate(block)) == expected


def test_cors_joins_lists_and_counts_whole_seconds() -> None:
    found = compile_cors(
        CorsPolicy.model_validate(
            {
                "allowOrigins": [{"exact": "https://a.com"}, {"prefix": "https://b."}, {"regex": "https://c[0-9]"}],
                "allowMethods": ["GET", "POST"],
                "allowHeaders": ["x-a", "x-b"],
                "exposeHeaders": ["x-c"],
                "maxAge": "24h",
                "allowCredentials": True,
                "unmatchedPreflights": "IGNORE",
            }
        )
    )

    assert found is not None
    assert (found.allow_methods, found.allow_headers, found.expose_headers) == (b"GET,POST", b"x-a,x-b", b"x-c")
    assert found.max_age == b"86400"
    assert found.allow_credentials
    assert not found.forward_unmatched_preflights
    origins = [b"https://a.com", b"https://b.org", b"https://c1", b"https://c12", b"https://a.com.evil"]
    allowed = [any(test(origin) for test in found.allow_origin) for origin in origins]
    assert allowed == [True, True, True, False, False]


@pytest.mark.parametrize(
    "origins", [{"allowOrigins": [{"exact": "*"}]}, {"allowOrigins": [{"regex": ".*"}]}, {"allowOrigin": ["*"]}]
)
def test_a_star_allows_every_origin(origins: dict[str, object]) -> None:
    found = compile_cors(CorsPolicy.model_validate(origins))

    assert found is not None
    assert found.allow_origin[0](b"https://anyone.com") is True
    assert found.forward_unmatched_preflights


@pytest.mark.parametrize(
    ("route", "share"),
    [
        ({}, 1_000_000),
        ({"mirrorPercent": 10}, 100_000),
        ({"mirrorPercentage": {"value": 0.5}}, 5_000),
        ({"mirrorPercentage": {"value": 0}, "mirrorPercent": 10}, 0),
    ],
)
def test_a_mirror_without_a_percentage_gets_everything(route: dict[str, object], share: int) -> None:
    assert mirror_share(HTTPRoute.model_validate(route)) == share
