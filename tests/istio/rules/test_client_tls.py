from collections.abc import Callable

import pytest


def in_rule(tls: str) -> str:
    return f"host: a\ntrafficPolicy: {{tls: {tls}}}"


@pytest.mark.parametrize(
    ("tls", "path", "part"),
    [
        ("{mode: MUTUAL, clientCertificate: a}", "", "requires privateKey"),
        ("{mode: MUTUAL, privateKey: a}", "", "requires clientCertificate"),
        ("{mode: SIMPLE, credentialName: a, caCertificates: b}", ".caCertificates", "credentialName excludes it"),
        ("{mode: MUTUAL, credentialName: a, caCrl: b}", ".caCrl", "credentialName excludes it"),
        ("{mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]}", ".subjectAltNames", "insecureSkipVerify"),
        ("{mode: SIMPLE, insecureSkipVerify: true, credentialName: a}", ".credentialName", "insecureSkipVerify"),
        (
            "{mode: MUTUAL, insecureSkipVerify: true, clientCertificate: a, privateKey: b, caCertificates: c}",
            ".caCertificates",
            "insecureSkipVerify",
        ),
        ("{mode: SIMPLE, credentialName: 'configmap://other/a'}", ".credentialName", "configmap://default/NAME"),
        ("{mode: STRICT}", ".mode", "must be one of DISABLE"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], tls: str, path: str, part: str) -> None:
    expect("DestinationRule", in_rule(tls), f"trafficPolicy.tls{path}", part)


@pytest.mark.parametrize(
    "tls",
    [
        "{}",
        "{mode: MUTUAL, credentialName: a}",
        "{mode: MUTUAL, credentialName: a, insecureSkipVerify: true}",
        "{mode: SIMPLE, credentialName: 'configmap://default/a'}",
        "{mode: ISTIO_MUTUAL, caCertificates: ignored}",
    ],
)
def test_what_is_unusual_but_right_passes(judge: Callable[..., list[object]], tls: str) -> None:
    assert judge("DestinationRule", in_rule(tls)) == []
