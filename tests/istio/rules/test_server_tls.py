from collections.abc import Callable

import pytest


def with_tls(tls: str) -> str:
    return f"servers: [{{port: {{number: 443, name: a, protocol: HTTPS}}, hosts: ['*'], tls: {tls}}}]"


@pytest.mark.parametrize(
    ("tls", "path", "part"),
    [
        ("{mode: SIMPLE, serverCertificate: a}", "", "requires privateKey"),
        ("{mode: SIMPLE, privateKey: a}", "", "requires serverCertificate"),
        ("{mode: MUTUAL, serverCertificate: a, privateKey: b}", "", "requires caCertificates"),
        ("{mode: OPTIONAL_MUTUAL, serverCertificate: a, privateKey: b}", "", "requires caCertificates"),
        ("{mode: ISTIO_MUTUAL, credentialName: a}", ".credentialName", "ISTIO_MUTUAL excludes it"),
        ("{mode: SIMPLE, credentialName: a, credentialNames: [b]}", "", "exclude each other"),
        ("{mode: SIMPLE, credentialNames: [a, b, c]}", ".credentialNames", "two at most"),
        ("{mode: SIMPLE, tlsCertificates: [{serverCertificate: a}]}", ".tlsCertificates[0]", "requires privateKey"),
        ("{mode: SIMPLE, serverCertificate: a, privateKey: b, caCrl: c}", ".caCrl", "SIMPLE"),
        ("{mode: MUTUAL, credentialName: a, caCrl: c}", ".caCrl", "credentialName excludes it"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], tls: str, path: str, part: str) -> None:
    expect("Gateway", with_tls(tls), f"servers[0].tls{path}", part)


@pytest.mark.parametrize(
    ("tls", "path", "part"),
    [
        ("{credentialName: a}", ".credentialName", "PASSTHROUGH, the default"),
        ("{mode: AUTO_PASSTHROUGH, caCrl: a}", ".caCrl", "no effect"),
        ("{mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_0}", ".minProtocolVersion", "cipherSuites"),
        ("{mode: SIMPLE, credentialName: a, cipherSuites: [RC4]}", ".cipherSuites[0]", "not known"),
        (
            "{mode: SIMPLE, credentialName: a, cipherSuites: [AES128-SHA, AES128-SHA]}",
            ".cipherSuites",
            "more than once",
        ),
    ],
)
def test_what_istio_takes_but_warns_about(expect: Callable[..., None], tls: str, path: str, part: str) -> None:
    expect("Gateway", with_tls(tls), f"servers[0].tls{path}", part, "warning")


@pytest.mark.parametrize(
    "tls", ["{}", "{mode: ISTIO_MUTUAL}", "{mode: SIMPLE, credentialName: a, cipherSuites: [ALL, '+HIGH']}"]
)
def test_what_is_unusual_but_right_passes(judge: Callable[..., list[object]], tls: str) -> None:
    assert judge("Gateway", with_tls(tls)) == []
