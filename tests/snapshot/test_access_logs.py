from __future__ import annotations

import pytest

from pyproxy.snapshot.access_logs import LogRules
from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.model import AccessLog, Identity
from pyproxy.snapshot.providers import Providers
from pyproxy.snapshot.registry import Registry
from pyproxy.snapshot.telemetry import compile_telemetry
from tests.snapshot.documents import documents, mesh

PROVIDERS = (
    "extensionProviders:\n"
    "- {name: json, envoyFileAccessLog: {path: /tmp/json, logFormat: {labels: {a: '%PROTOCOL%'}}}}\n"
    "- {name: plain, envoyFileAccessLog: {path: /tmp/plain}}\n"
    "- {name: text, envoyFileAccessLog: {logFormat: {text: '%PROTOCOL%'}, omitEmptyValues: true}}\n"
    "- {name: als, envoyHttpAls: {service: als.test, port: 9000}}\n"
)
FALLBACK = "accessLogFile: /tmp/mesh\naccessLogFormat: 'm %PROTOCOL%'\n"
JSON = AccessLog("/tmp/json", "JSON", '{"a": "%PROTOCOL%"}')
PLAIN = AccessLog("/tmp/plain")
ENVOY = AccessLog("/dev/stdout", format="m %PROTOCOL%")
MESH = AccessLog("/tmp/mesh", format="m %PROTOCOL%")


def telemetry(logging: str, namespace: str = "istio-system", name: str = "t", selector: str = "") -> str:
    selected = f"selector: {{matchLabels: {selector}}}, " if selector else ""
    return (
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{selected}accessLogging: [{logging}]}}"
    )


def logs(*texts: str, config: str = FALLBACK) -> tuple[tuple[AccessLog, ...], tuple[AccessLog, ...]]:
    found = documents("\n---\n".join((mesh(PROVIDERS + config), *texts)))
    settings = mesh_settings(found)
    identity = Identity(namespace="shop", labels={"app": "cart"})
    compiled = compile_telemetry(found, identity, settings, Registry(found, settings)).telemetry
    return compiled.client.access_logs, compiled.server.access_logs


def by(*names: str, more: str = "") -> str:
    return f"{{providers: [{', '.join(f'{{name: {name}}}' for name in names)}]{more}}}"


def test_without_a_telemetry_the_mesh_says() -> None:
    assert logs() == ((MESH,), (MESH,))
    assert logs(config="accessLogFile: ''") == ((), ())
    assert logs(config="defaultProviders: {accessLogging: [plain]}")[0] == (PLAIN,)


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("json", JSON),
        ("JSON", JSON),
        ("plain", PLAIN),
        ("envoy", ENVOY),
        ("text", AccessLog("/dev/stdout", format="%PROTOCOL%", omit_empty=True)),
    ],
)
def test_what_a_provider_writes(provider: str, expected: AccessLog) -> None:
    assert logs(telemetry(by(provider)))[0] == (expected,)


def test_several_providers_in_the_order_of_their_names() -> None:
    assert logs(telemetry(by("plain", "json"))) == ((JSON, PLAIN), (JSON, PLAIN))


def test_one_direction_alone() -> None:
    assert logs(telemetry(by("plain", more=", match: {mode: CLIENT}"))) == ((PLAIN,), (MESH,))


def test_a_level_that_names_providers_replaces_those_above() -> None:
    shop = telemetry(by("json"), "shop")
    assert logs(telemetry(by("plain")), shop)[0] == (JSON,)
    own = telemetry("{disabled: true}", "shop", "own", "{app: cart}")
    assert logs(telemetry(by("plain")), own)[0] == ()
    other = telemetry("{disabled: true}", "shop", "own", "{app: other}")
    assert logs(telemetry(by("plain")), other)[0] == (PLAIN,)


def test_a_filter_belongs_to_the_providers_beside_it() -> None:
    filtered = ", filter: {expression: 'response.code >= 500'}"
    assert [log.filter for log in logs(telemetry(by("plain", more=filtered)))[0]] == ["response.code >= 500"]
    both = telemetry(f"{by('plain', more=filtered)}, {by('json')}")
    assert [(log.path, log.filter) for log in logs(both)[0]] == [
        ("/tmp/json", ""),
        ("/tmp/plain", "response.code >= 500"),
    ]


def test_a_later_entry_of_one_document_turns_a_provider_off() -> None:
    off = telemetry(f"{by('plain')}, {by('plain', more=', match: {mode: SERVER}, disabled: true')}")
    assert logs(off) == ((PLAIN,), ())


def test_providers_that_nothing_can_be_written_to() -> None:
    # Istio has lines for a service, so what the mesh says does not count either; an unknown name is as if not there.
    assert logs(telemetry(by("als")))[0] == ()
    assert logs(telemetry(by("nobody")))[0] == (MESH,)
    found = documents(mesh(PROVIDERS))
    settings = mesh_settings(found)
    rules = LogRules(settings, Providers(settings, Registry(found, settings)))
    (document,) = documents(telemetry(by("als", "nobody", "prometheus")))
    rules.compile([document.spec.access_logging], "CLIENT")  # type: ignore[attr-defined]
    assert set(rules.troubles) == {"als", "nobody", "prometheus"}
