"""What a sidecar binds."""

from __future__ import annotations

from pyproxy.snapshot.model import Direction, Identity, Listener, ListenerKind, Listening
from tests.snapshot.documents import compiled, entry, leads, mesh, rules

REVIEWS = entry("reviews.default.svc.cluster.local", "9080/HTTP")
DB = entry("db.com", "5432/TCP")


def listeners(*texts: str, listening: Listening = Listening()) -> dict[str, Listener]:
    found = compiled(*texts, identity=Identity(address="10.0.0.5"), listening=listening).listeners
    return {listener.name: listener for listener in found}


def places(found: dict[str, Listener]) -> dict[str, tuple[str, int]]:
    return {name: (listener.address, listener.port) for name, listener in found.items()}


def sidecar(spec: str) -> str:
    return rules(spec, kind="Sidecar")


def test_a_sidecar_captures_both_ways_and_is_an_http_proxy() -> None:
    found = listeners(REVIEWS)

    assert places(found) == {
        "virtualOutbound": ("127.0.0.1", 15001),
        "virtualInbound": ("0.0.0.0", 15006),
        "http_proxy": ("127.0.0.1", 15007),
    }
    assert [listener.kind for listener in found.values()] == [
        ListenerKind.OUTBOUND_CAPTURE,
        ListenerKind.INBOUND_CAPTURE,
        ListenerKind.HTTP_PROXY,
    ]
    assert [listener.route_table for listener in found.values()] == ["", "", "http_proxy"]
    assert [listener.http.direction for listener in found.values()] == [
        Direction.OUTBOUND,
        Direction.INBOUND,
        Direction.OUTBOUND,
    ]
    assert [listener.http.server_name for listener in found.values()] == [b"envoy", b"istio-envoy", b"envoy"]


def test_flags_say_where() -> None:
    found = listeners(listening=Listening(address="127.0.1.1", outbound_port=1, inbound_port=2, http_proxy_port=-1))

    assert places(found) == {"virtualOutbound": ("127.0.1.1", 1), "virtualInbound": ("127.0.1.1", 2)}
    assert "http_proxy" not in listeners(listening=Listening(http_proxy_port=None))


def test_free_ports_do_not_clash() -> None:
    found = listeners(listening=Listening(address="127.0.0.1", outbound_port=0, inbound_port=0, http_proxy_port=0))

    assert set(found) == {"virtualOutbound", "virtualInbound", "http_proxy"}


def test_ingress_listeners_without_capture_have_sockets_of_their_own() -> None:
    text = sidecar(
        """
ingress:
- port: {number: 9080, protocol: HTTP, name: a}
  captureMode: NONE
  defaultEndpoint: 127.0.0.1:8080
- port: {number: 9081, protocol: TCP, name: b}
  captureMode: NONE
  bind: 10.0.0.5
- port: {number: 9082, protocol: HTTP, name: c}
- port: {number: 9083, protocol: HTTP, name: d}
  captureMode: IPTABLES
"""
    )
    snapshot = compiled(REVIEWS, text)
    found = listeners(REVIEWS, text)

    assert {name: at for name, at in places(found).items() if "_9" in name} == {
        "0.0.0.0_9080": ("0.0.0.0", 9080),
        "10.0.0.5_9081": ("10.0.0.5", 9081),
    }
    first, second = found["0.0.0.0_9080"], found["10.0.0.5_9081"]
    assert (first.protocol, first.route_table, leads(first)) == ("http", "inbound|9080||", "")
    assert (second.protocol, second.route_table, leads(second)) == ("tcp", "", "inbound|9081||")
    assert first.http.direction is Direction.INBOUND
    assert snapshot.inbound_ports == {9082: "http", 9083: "http"}


def test_an_address_given_by_flag_is_every_listeners() -> None:
    text = sidecar(
        "ingress:\n- port: {number: 9080, protocol: HTTP, name: a}\n  captureMode: NONE\n  bind: 10.0.0.5\n"
        "egress:\n- port: {number: 9080, protocol: HTTP, name: b}\n  captureMode: NONE\n  hosts: ['*/*']"
    )

    found = listeners(REVIEWS, text, listening=Listening(address="127.0.1.1"))

    assert {at[0] for at in places(found).values()} == {"127.0.1.1"}
    assert found["127.0.1.1_9080"].http.direction is Direction.INBOUND


def test_egress_listeners_without_capture() -> None:
    text = sidecar(
        """
egress:
- port: {number: 9080, protocol: HTTP, name: a}
  captureMode: NONE
  hosts: ['*/*']
- port: {number: 5432, protocol: TCP, name: b}
  captureMode: NONE
  bind: 127.0.0.2
  hosts: ['*/*']
- port: {number: 3128, protocol: HTTP_PROXY, name: c}
  captureMode: NONE
  hosts: ['*/*']
- port: {number: 0, protocol: HTTP, name: d}
  bind: unix:///tmp/mesh.sock
  hosts: ['*/*']
- hosts: ['*/*']
"""
    )

    found = listeners(REVIEWS, DB, text)

    http, tcp, proxy, socket = (
        found[name] for name in ("127.0.0.1_9080", "127.0.0.2_5432", "127.0.0.1_3128", "unix:///tmp/mesh.sock")
    )
    assert (http.kind, http.protocol, http.route_table) == (ListenerKind.NAMED, "http", "9080")
    assert (tcp.protocol, leads(tcp)) == ("tcp", "outbound|5432||db.com")
    assert (proxy.kind, proxy.route_table) == (ListenerKind.HTTP_PROXY, "3128")
    assert (socket.address, socket.port, socket.route_table) == ("unix:///tmp/mesh.sock", 0, "unix:///tmp/mesh.sock")
    assert http.http.direction is Direction.OUTBOUND
    assert len(found) == 7


def test_without_interception_every_service_port_is_a_local_port() -> None:
    found = listeners(REVIEWS, DB, mesh("defaultConfig: {interceptionMode: NONE}"))

    assert found["127.0.0.1_9080"].route_table == "9080"
    assert leads(found["127.0.0.1_5432"]) == "outbound|5432||db.com"
