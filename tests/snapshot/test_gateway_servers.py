"""Which servers a gateway runs."""

from __future__ import annotations

import pytest

from pyproxy.snapshot.gateway_servers import GatewayServer, gateway_servers
from tests.snapshot.documents import documents
from tests.snapshot.test_gateways import DOOR, gateway, named, server

TLS = "mode: SIMPLE, serverCertificate: a, privateKey: b"


def run(*texts: str) -> tuple[list[GatewayServer], list[str]]:
    kept, left = gateway_servers(documents("\n---\n".join(texts)), DOOR, {})
    return kept, [f"{document.name}[{index}] {reason}" for document, index, reason in left]


@pytest.mark.parametrize(
    ("servers", "left"),
    [
        pytest.param(server("a.com") + server("a.com", protocol="HTTP2"), [], id="two of HTTP"),
        pytest.param(server("a.com") + server("'*'", 8080, "TCP"), ["belongs"], id="TCP after HTTP"),
        pytest.param(server("'*'", 8080, "TCP") + server("'*'", 8080, "MONGO"), ["belongs"], id="TCP twice"),
        pytest.param(named("a.com", "a", TLS) + named("b.com", "b", TLS, "TLS"), [], id="HTTPS and TLS"),
        pytest.param(named("a.com", "a", TLS) + named("x/a.com", "b", TLS), [], id="one host in two namespaces"),
        pytest.param(named("default/a.com", "a", TLS) + named("./a.com", "b", TLS), ["a.com"], id="one host twice"),
        pytest.param(named("a.com", "a", TLS) + server("b.com", 8443), ["belongs"], id="HTTP after HTTPS"),
        pytest.param(server("b.com", 8443) + named("a.com", "a", TLS), ["belongs"], id="HTTPS after HTTP"),
    ],
)
def test_who_shares_a_port(servers: str, left: list[str]) -> None:
    _, reasons = run(gateway(servers))

    assert len(reasons) == len(left)
    assert all(word in reason for word, reason in zip(left, reasons, strict=True))


def test_addresses_of_their_own_keep_servers_apart() -> None:
    tls = f"  bind: 127.0.0.2\n  tls: {{{TLS}}}\n"
    kept, left = run(gateway(named("a.com", "a", TLS) + server("a.com", 8443, "HTTPS", tls)))

    assert left == []
    assert [each.bind for each in kept] == ["", "127.0.0.2"]


def test_what_a_server_is() -> None:
    kept, _ = run(
        gateway(
            server("a.com")
            + named("b.com", "web", TLS)
            + named("c.com", "raw", "mode: PASSTHROUGH")
            + named("d.com", "db", TLS, "TLS")
            + server("'*'", 5432, "TCP")
        )
    )

    assert [(each.kind, each.http, each.mode and each.mode.value) for each in kept] == [
        ("http", True, None),
        ("tls", True, "SIMPLE"),
        ("tls", False, "PASSTHROUGH"),
        ("tls", False, "SIMPLE"),
        ("tcp", False, None),
    ]
    assert [each.table for each in kept[:2]] == ["http.8080", "https.8443.web.door.default"]


def test_hosts_are_for_the_namespaces_that_they_name() -> None:
    ((found,), _) = run(gateway(server("a.com, ./b.com, other/c.com, '*/d.com'")))

    assert found.hosts == ["a.com", "b.com", "c.com", "d.com"]
    assert found.hosts_for("default") == ["a.com", "b.com", "d.com"]
    assert found.hosts_for("other") == ["a.com", "c.com", "d.com"]
