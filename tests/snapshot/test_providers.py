from __future__ import annotations

import pytest

from pyproxy.istio.mesh.providers import HttpHeader
from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.providers import ProviderError, Providers
from pyproxy.snapshot.registry import Registry
from tests.snapshot.documents import documents, entry, mesh


def providers(*texts: str) -> Providers:
    found = documents("\n---\n".join(texts))
    settings = mesh_settings(found)
    return Providers(settings, Registry(found, settings))


def test_istios_own_providers_are_there_and_an_operators_takes_their_place() -> None:
    built_in = providers(entry("a.com")).named("ENVOY")
    assert built_in is not None and built_in.envoy_file_access_log is not None
    assert built_in.envoy_file_access_log.path == "/dev/stdout"

    own = providers(mesh("extensionProviders: [{name: envoy, envoyFileAccessLog: {path: /tmp/x}}]")).named("envoy")
    assert own is not None and own.envoy_file_access_log is not None
    assert own.envoy_file_access_log.path == "/tmp/x"
    assert providers(entry("a.com")).named("nobody") is None


def test_a_service_is_known_by_its_host_or_with_its_namespace() -> None:
    found = providers(entry("zipkin.com", "9411/HTTP"))
    expected = ("zipkin.com", "outbound|9411||zipkin.com")
    assert found.service("zipkin.com", 9411) == expected
    assert found.service("default/zipkin.com", 9411) == expected


@pytest.mark.parametrize(
    ("service", "port", "reason"),
    [
        ("nobody.com", 80, "no service is called nobody.com"),
        ("other/a.com", 80, "no service is called other/a.com"),
        ("a.com", 0, "port must be"),
        ("twice.com", 80, "several namespaces"),
    ],
)
def test_what_cannot_be_called(service: str, port: int, reason: str) -> None:
    twice = (entry("twice.com", namespace="one"), entry("twice.com", namespace="two"))
    with pytest.raises(ProviderError, match=reason):
        providers(entry("a.com"), *twice).service(service, port)


def test_headers_come_from_the_document_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_TEST", "secret")
    headers = [
        HttpHeader(name="X-Key", value="v"),
        HttpHeader(name="x-token", envName="TOKEN_OF_TEST"),
        HttpHeader(name="x-gone", envName="NO_SUCH_VARIABLE"),
    ]
    assert providers(entry("a.com")).headers(headers) == ((b"x-key", b"v"), (b"x-token", b"secret"), (b"x-gone", b""))
