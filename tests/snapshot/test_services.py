"""Protocols of ports, and who may see a service."""

from __future__ import annotations

import pytest

from pyproxy.snapshot.services import ServicePort, kubernetes_protocol, parse_protocol, visible


@pytest.mark.parametrize(
    ("word", "protocol"),
    [
        ("HTTP", "http"),
        ("grpc-web", "grpc-web"),
        ("HTTP2", "http2"),
        ("tls", "tls"),
        ("", "auto"),
        (None, "auto"),
        ("x", "auto"),
    ],
)
def test_a_protocol_is_a_word_in_any_case(word: str | None, protocol: str) -> None:
    assert parse_protocol(word) == protocol


@pytest.mark.parametrize(
    ("port", "name", "transport", "app_protocol", "protocol"),
    [
        (80, "http", None, None, "http"),
        (80, "http-web", "TCP", None, "http"),
        (80, "HTTP2-x", None, None, "http2"),
        (80, "grpc-web-x", None, None, "grpc-web"),
        (80, "grpc-x", None, None, "grpc"),
        (80, "httpx", None, None, "auto"),
        (80, "http", None, "tcp", "tcp"),
        (80, "http", None, "unknown", "auto"),
        (80, "x", None, "kubernetes.io/h2c", "http2"),
        (80, "x", None, "kubernetes.io/ws", "http"),
        (80, "x", None, "kubernetes.io/wss", "https"),
        (3306, "x", None, None, "tcp"),
        (3306, "http", None, None, "http"),
        (53, "dns", "UDP", None, "udp"),
        (80, None, None, None, "auto"),
    ],
)
def test_a_kubernetes_port_is_what_it_says_it_is(
    port: int, name: str | None, transport: str | None, app_protocol: str | None, protocol: str
) -> None:
    assert kubernetes_protocol(port, name, transport, app_protocol) == protocol


@pytest.mark.parametrize(
    ("protocol", "kind", "http"),
    [
        ("http", "http", True),
        ("grpc", "http", True),
        ("auto", "auto", True),
        ("tcp", "tcp", False),
        ("https", "tcp", False),
    ],
)
def test_listeners_know_three_kinds(protocol: str, kind: str, http: bool) -> None:
    port = ServicePort(80, protocol=protocol)

    assert (port.kind, port.http) == (kind, http)


@pytest.mark.parametrize(
    ("export_to", "seen"),
    [({"*"}, True), ({"."}, False), ({"books"}, True), ({"other"}, False), ({"~"}, False), ({".", "books"}, True)],
)
def test_visibility(export_to: set[str], seen: bool) -> None:
    assert visible(frozenset(export_to), "shop", "books") is seen


def test_a_dot_is_the_own_namespace() -> None:
    assert visible(frozenset({"."}), "shop", "shop")
