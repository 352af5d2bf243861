from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("condition", "path", "part"),
    [
        ("{key: '', values: [a]}", ".key", "is required"),
        ("{key: source.ip}", "", "values or notValues is required"),
        ("{key: source.ip, values: [a]}", ".values[0]", "not an IP address"),
        ("{key: destination.port, notValues: [http]}", ".notValues[0]", "up to 65535"),
        ("{key: source.principal, values: ['']}", ".values[0]", "may not be empty"),
        ("{key: 'request.headers', values: [a]}", ".key", "in brackets"),
        ("{key: 'request.headers[]', values: [a]}", ".key", "in brackets"),
        ("{key: 'request.auth.claims', values: [a]}", ".key", "in brackets"),
        ("{key: 'destination.labels[a]', values: [a]}", ".key", "use the selector"),
        ("{key: destination.namespace, values: [a]}", ".key", "own namespace"),
        ("{key: source.colour, values: [a]}", ".key", "accepted are connection.sni"),
        ("{key: source.trustDomain, values: [a*b]}", ".values[0]", "at the start or at the end"),
        ("{key: source.serviceAccount, values: [a/b/c]}", ".values[0]", "NAMESPACE/ACCOUNT"),
    ],
)
def test_what_is_wrong_with_a_condition_is_named(
    expect: Callable[..., None], condition: str, path: str, part: str
) -> None:
    expect("AuthorizationPolicy", f"rules: [{{when: [{condition}]}}]", f"rules[0].when[0]{path}", part)


@pytest.mark.parametrize(
    ("source", "path", "part"),
    [
        ("serviceAccounts: ['a*']", ".serviceAccounts[0]", "no wildcards"),
        ("serviceAccounts: [/a]", ".serviceAccounts[0]", "ACCOUNT"),
        (f"serviceAccounts: [{'a' * 321}]", ".serviceAccounts[0]", "320"),
        (f"notServiceAccounts: [{', '.join('abcdefghijklmopqr')}]", ".notServiceAccounts", "16 at most"),
        ("trustDomains: [a/b]", ".trustDomains[0]", "no slash"),
        ("notTrustDomains: ['*a*']", ".notTrustDomains[0]", "only once"),
    ],
)
def test_what_is_wrong_with_a_source_is_named(expect: Callable[..., None], source: str, path: str, part: str) -> None:
    expect(
        "AuthorizationPolicy", f"rules: [{{from: [{{source: {{{source}}}}}]}}]", f"rules[0].from[0].source{path}", part
    )


@pytest.mark.parametrize("path", ["/a", "/a*", "*.html", "/{*}", "/{**}", "/a/{*}/b/{**}/c", "/%20/{*}", "{**}"])
def test_paths_and_templates(judge: Callable[..., list[object]], path: str) -> None:
    assert judge("AuthorizationPolicy", f"rules: [{{to: [{{operation: {{paths: ['{path}']}}}}]}}]") == []


@pytest.mark.parametrize("path", ["/{**}/{*}", "/{**}/{**}", "/a{*}", "/{a}", "/{", "/{*}/a*", "/{*}//b", "/{*}/ä"])
def test_what_is_no_template(judge: Callable[..., list[object]], path: str) -> None:
    assert len(judge("AuthorizationPolicy", f"rules: [{{to: [{{operation: {{paths: ['{path}']}}}}]}}]")) == 1
