from __future__ import annotations

import pytest

from pyproxy.envoy.limits import left_out
from pyproxy.envoy.tls import Certificates
from tests.snapshot.documents import compiled, entry, rules
from tests.snapshot.test_gateways import DOOR, gateway, named

SHOP = entry("shop.com", "80/HTTP", endpoints="{address: 10.0.0.1}")


def test_what_only_istios_build_has_is_always_said() -> None:
    (sentence,) = left_out(compiled(SHOP))
    assert "istio_requests_total" in sentence


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (rules("hosts: [shop.com]\nhttp: [{directResponse: {status: 600}}]"), "status 600 is none to Envoy"),
        (
            rules(
                "hosts: [shop.com]\nhttp: [{fault: {abort: {httpStatus: 600, percentage: {value: 1}}},"
                " route: [{destination: {host: shop.com}}]}]"
            ),
            "rules.default: status 600 is none to Envoy",
        ),
        (entry("*.wild.com", "80/HTTP", resolution="NONE"), "a wildcard and any port"),
        (
            entry("out.com", "80/HTTP", resolution="NONE").replace("number: 80,", "number: 80, targetPort: 8080,"),
            "outbound|80||out.com: targetPort 8080",
        ),
    ],
)
def test_what_envoy_cannot_take_is_said_once(document: str, said: str) -> None:
    _, *sentences = left_out(compiled(SHOP, document))
    assert [said in sentence for sentence in sentences] == [True]


STRICT = rules("mtls: {mode: STRICT}", kind="PeerAuthentication").replace("networking.istio.io", "security.istio.io")
ABLE = entry("able.com", "80/HTTP", endpoints="{address: 10.0.0.1, serviceAccount: a}")
OWN = Certificates("/certs", lambda file: file.startswith("/there"))


def rule(tls: str) -> str:
    return rules(f"host: shop.com\ntrafficPolicy: {{tls: {{{tls}}}}}", kind="DestinationRule")


@pytest.mark.parametrize(
    ("texts", "certificates", "said"),
    [
        ((STRICT,), OWN, []),
        ((STRICT,), Certificates(), ["let nobody in"]),
        ((ABLE,), OWN, []),
        ((ABLE,), Certificates(), ["is plaintext"]),
        ((SHOP, rule("mode: ISTIO_MUTUAL")), Certificates(), ["outbound|80||shop.com: the certificates"]),
        ((SHOP, rule("mode: SIMPLE, caCertificates: /gone")), OWN, ["outbound|80||shop.com: the certificates"]),
        ((SHOP, rule("mode: SIMPLE, caCertificates: /there")), OWN, []),
    ],
)
def test_what_certificates_that_are_missing_mean(
    texts: tuple[str, ...], certificates: Certificates, said: list[str]
) -> None:
    _, *sentences = left_out(compiled(*texts), certificates)
    assert len(sentences) == len(said)
    assert all(words in sentence for words, sentence in zip(said, sentences, strict=True))


def test_a_gateways_certificates_too() -> None:
    door = gateway(named("a.com", "a", "mode: SIMPLE, credentialName: none"))
    _, sentence = left_out(compiled(SHOP, door, identity=DOOR), OWN)
    assert sentence == "0.0.0.0_8443: the certificates for a.com are not there"
