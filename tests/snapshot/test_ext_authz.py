"""Which external authorizers can be used, and why the others cannot."""

from __future__ import annotations

import pytest

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.policy.ext_authz import HeaderNames
from pyproxy.snapshot.ext_authz import Authorizers, compile_authorizers
from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.registry import Registry
from tests.snapshot.documents import documents

SERVICES = """
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: one, namespace: a}
spec: {hosts: [one.test, two.test], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: two, namespace: b}
spec: {hosts: [two.test], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}]}
"""
POLICY = """
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask}
spec: {action: CUSTOM, provider: {name: %s}, rules: [{}]}
"""


def text(*providers: str) -> str:
    listed = "".join(f"\n    - {{{provider}}}" for provider in providers)
    return f"""
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  meshConfig:
    extensionProviders:{listed}
{SERVICES}"""


def compiled(*providers: str) -> Authorizers:
    found = documents(text(*providers))
    mesh = mesh_settings(found)
    return compile_authorizers(mesh, Registry(found, mesh))


def http(spec: str, name: str = "p") -> str:
    return f"name: {name}, envoyExtAuthzHttp: {{{spec}}}"


def test_the_least_and_its_defaults() -> None:
    found = compiled(http("service: one.test, port: 80"), "name: zipkin, zipkin: {service: one.test, port: 9411}")
    (authorizer,) = found.usable.values()
    assert (authorizer.provider, authorizer.cluster, authorizer.host) == ("p", "outbound|80||one.test", "one.test")
    assert (authorizer.timeout, authorizer.status_on_error, authorizer.fail_open) == (600.0, 403, False)
    assert authorizer.max_request_bytes == 0
    assert not found.unusable


def test_all_of_it() -> None:
    found = compiled(
        http(
            "service: b/two.test, port: 8000, timeout: 10s, pathPrefix: /check, failOpen: true, statusOnError: '503',"
            " includeRequestHeadersInCheck: [X-A], includeHeadersInCheck: [x-old],"
            " includeAdditionalHeadersInCheck: {X-Add: '%REQ(X-A)%'},"
            " includeRequestBodyInCheck: {maxRequestBytes: 9, allowPartialMessage: true, packAsBytes: true},"
            " headersToUpstreamOnAllow: [a], headersToDownstreamOnAllow: [b], headersToDownstreamOnDeny: [c]"
        )
    ).usable["p"]
    assert (found.cluster, found.timeout, found.path_prefix) == ("outbound|8000||two.test", 10.0, b"/check")
    assert (found.fail_open, found.status_on_error, found.told) == (True, 503, HeaderNames.of(["x-a"]))
    assert (found.max_request_bytes, found.allow_partial) == (9, True)
    assert [found.upstream_on_allow, found.client_on_allow, found.client_on_deny] == [
        HeaderNames.of([name]) for name in "abc"
    ]
    ((name, template),) = found.additional
    head = RequestHead(b"GET", b"/", b"x", [(b"x-a", b"1")])
    assert (name, template(RequestContext(head, 0.0, 0.0))) == (b"x-add", b"1")


def test_the_older_list_of_headers() -> None:
    found = compiled(http("service: one.test, port: 80, includeHeadersInCheck: [x-old]"))
    assert found.usable["p"].told == HeaderNames.of(["x-old"])


@pytest.mark.parametrize(
    ("provider", "reason"),
    [
        (http("service: none.test, port: 80"), "no service is called none.test"),
        (http("service: c/one.test, port: 80"), "no service is called c/one.test"),
        (http("service: two.test, port: 80"), "several namespaces"),
        (http("service: one.test"), "port"),
        (http("service: one.test, port: 80, pathPrefix: check"), "begin with /"),
        (http("service: one.test, port: 80, statusOnError: '999'"), "999"),
        (http("service: one.test, port: 80, timeout: -1s"), "negative"),
        (http("service: one.test, port: 80, headersToUpstreamOnAllow: ['*']"), "headersToUpstreamOnAllow"),
        (http("service: one.test, port: 80, includeRequestBodyInCheck: {}"), "maxRequestBytes"),
        (http("service: one.test, port: 80, includeAdditionalHeadersInCheck: {a: '%NONE%'}"), "NONE"),
        (http("service: one.test, port: 80, includeAdditionalHeadersInCheck: {Host: a}"), "cannot set the host"),
        (http("service: one.test, port: 80", "P_"), "DNS label"),
        ("name: p, envoyExtAuthzGrpc: {service: one.test, port: 80}", "envoyExtAuthzGrpc is not acted on"),
    ],
)
def test_what_cannot_be_used_says_why(provider: str, reason: str) -> None:
    found = compiled(provider)
    assert not found.usable
    (said,) = found.unusable.values()
    assert reason in said


def test_of_two_with_one_name_neither_is_used() -> None:
    found = compiled(http("service: one.test, port: 80"), http("service: one.test, port: 81"))
    assert (dict(found.usable), list(found.unusable)) == ({}, ["p"])


@pytest.mark.parametrize(("name", "reason"), [("p", ""), ("q", "no extension provider"), ("r", "not acted on")])
def test_policies_that_deny_are_warned_about(name: str, reason: str) -> None:
    provider = http("service: one.test, port: 80")
    grpc = "name: r, envoyExtAuthzGrpc: {service: one.test, port: 80}"
    found = documents(text(provider, grpc) + POLICY % name)
    mesh = mesh_settings(found)
    problems = list(compile_authorizers(mesh, Registry(found, mesh)).problems(found))
    assert [problem.path for problem in problems] == (["spec.provider.name"] if reason else [])
    assert all(reason in problem.message for problem in problems)
