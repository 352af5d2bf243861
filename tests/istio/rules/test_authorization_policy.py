from collections.abc import Callable

import pytest

from pyproxy.istio.problems import Problem


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ("action: DENY", "spec", "never acts"),
        ("action: CUSTOM\nprovider: {name: a}", "spec", "never acts"),
        ("action: CUSTOM\nrules: [{}]", "provider", "requires provider.name"),
        ("action: CUSTOM\nprovider: {}\nrules: [{}]", "provider", "requires provider.name"),
        ("provider: {name: a}", "provider", "only action CUSTOM"),
        ("rules: [{from: []}]", "rules[0].from", "is empty"),
        ("rules: [{to: []}]", "rules[0].to", "is empty"),
        ("rules: [{from: [{}]}]", "rules[0].from[0].source", "is empty"),
        ("rules: [{from: [{source: {}}]}]", "rules[0].from[0].source", "is empty"),
        ("rules: [{to: [{operation: {}}]}]", "rules[0].to[0].operation", "is empty"),
        (
            "rules: [{from: [{source: {principals: ['']}}]}]",
            "rules[0].from[0].source.principals[0]",
            "may not be empty",
        ),
        ("rules: [{from: [{source: {ipBlocks: [a]}}]}]", "rules[0].from[0].source.ipBlocks[0]", "not an IP address"),
        (
            "rules: [{from: [{source: {notRemoteIpBlocks: [1.2.3.4/99]}}]}]",
            "rules[0].from[0].source.notRemoteIpBlocks[0]",
            "IP block",
        ),
        (
            "rules: [{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}]",
            "rules[0].from[0].source",
            "it says both",
        ),
        (
            "action: CUSTOM\nprovider: {name: a}\nrules: [{from: [{source: {principals: [a]}}]}]",
            "rules[0].from[0].source.principals",
            "not supported with action CUSTOM",
        ),
        (
            "action: CUSTOM\nprovider: {name: a}\nrules: [{when: [{key: request.auth.principal, values: [a]}]}]",
            "rules[0].when[0].key",
            "not supported with action CUSTOM",
        ),
        ("rules: [{to: [{operation: {ports: ['70000']}}]}]", "rules[0].to[0].operation.ports[0]", "up to 65535"),
        ("rules: [{to: [{operation: {notPorts: [http]}}]}]", "rules[0].to[0].operation.notPorts[0]", "up to 65535"),
        ("rules: [{to: [{operation: {hosts: ['']}}]}]", "rules[0].to[0].operation.hosts[0]", "may not be empty"),
        ("rules: [{to: [{operation: {paths: ['/{*}.html']}}]}]", "rules[0].to[0].operation.paths[0]", "whole segment"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("AuthorizationPolicy", spec, path, part)


DENY = "action: DENY\nrules: [%s]"


@pytest.mark.parametrize(
    "rule",
    [
        "{to: [{operation: {methods: [GET]}}]}",
        "{from: [{source: {requestPrincipals: ['*']}}]}",
        "{from: [{source: {principals: [a]}}], to: [{operation: {paths: [/a]}}]}",
    ],
)
def test_a_denial_by_http_alone_is_warned_about(judge: Callable[..., list[Problem]], rule: str) -> None:
    assert [(one.severity, one.path) for one in judge("AuthorizationPolicy", DENY % rule)] == [
        ("warning", "spec.rules[0]")
    ]


@pytest.mark.parametrize(
    "rule", ["{}", "{to: [{operation: {ports: ['80'], methods: [GET]}}]}", "{from: [{source: {namespaces: [a]}}]}"]
)
def test_a_denial_that_tcp_understands_is_not(judge: Callable[..., list[Problem]], rule: str) -> None:
    assert judge("AuthorizationPolicy", DENY % rule) == []
