"""Filter chains: what Envoy would choose for a connection is what pyproxy chooses."""

from __future__ import annotations

from typing import Any

import pytest

from pyproxy.envoy.listeners import Listeners
from pyproxy.envoy.tls import Certificates
from pyproxy.snapshot.model import Identity, Listening, Snapshot
from tests.snapshot.documents import compiled, entry, mesh, rules
from tests.snapshot.test_gateways import DOOR, gateway, named
from tests.snapshot.test_inbound import ENTRY, WEB, beside
from tests.snapshot.test_peer_authentication import policy

AT = Listening(address="127.0.0.9")
SHOP = entry("shop.com", "80/HTTP", "9000", endpoints="{address: 10.0.0.1}")
BASE = entry("db.com", "5432/TCP", addresses="10.1.1.1", endpoints="{address: 10.0.0.2}")
SHARED = entry("other.com", "5432/TCP", endpoints="{address: 10.0.0.3}")
SECURE = entry("secure.com", "443/TLS", endpoints="{address: 10.0.0.4}")
OUTBOUND = compiled(SHOP, BASE, SHARED, SECURE, listening=AT)


def listener(snapshot: Snapshot, name: str, port: int | None = None) -> dict[str, Any]:
    (found,) = [each for each in snapshot.listeners if each.name == name]
    return Listeners(snapshot).resource(found, found.port if port is None else port)


def target(chain: Any) -> str:
    """The route table or the cluster that a chain leads to."""
    config = chain["filters"][0]["typed_config"]
    if "weighted_clusters" in config:
        return str(config["stat_prefix"])
    return str(config["cluster"] if "cluster" in config else config["rds"]["route_config_name"])


def chosen(resource: dict[str, Any], address: str, port: int, *, http: bool = False, name: str = "") -> str:
    """Envoy's order: port, address, server name, transport, application protocol; no way back from any of them."""
    chains = resource["filter_chains"]
    own = [each for each in chains if match(each).get("destination_port") == port]
    found = own or [each for each in chains if "destination_port" not in match(each)]
    ranges = [each for each in found if address in str(match(each).get("prefix_ranges", ""))]
    found = ranges or [each for each in found if "prefix_ranges" not in match(each)]
    named = [each for each in found if name in match(each).get("server_names", ())]
    found = named or [each for each in found if "server_names" not in match(each)]
    transport = "tls" if name else "raw_buffer"
    told = [each for each in found if match(each).get("transport_protocol") == transport]
    found = told or [each for each in found if "transport_protocol" not in match(each)]
    spoken = [each for each in found if http and "application_protocols" in match(each)]
    found = spoken or [each for each in found if "application_protocols" not in match(each)]
    return target(found[0] if found else resource["default_filter_chain"])


def match(chain: Any) -> Any:
    return chain.get("filter_chain_match", {})


@pytest.mark.parametrize(
    ("address", "port", "http", "name", "expected"),
    [
        ("127.0.0.9", 15001, True, "", "any"),
        ("10.0.0.1", 80, True, "", "80"),
        ("10.0.0.1", 9000, True, "", "9000"),
        ("10.0.0.1", 9000, False, "", "outbound|9000||shop.com"),
        ("10.1.1.1", 5432, False, "", "outbound|5432||db.com"),
        ("10.9.9.9", 5432, False, "", "outbound|5432||other.com"),
        ("10.9.9.9", 443, False, "secure.com", "outbound|443||secure.com"),
        ("10.9.9.9", 443, False, "else.com", "PassthroughCluster"),
        ("10.9.9.9", 1, True, "", "allow_any"),
        ("10.9.9.9", 1, False, "", "PassthroughCluster"),
    ],
)
def test_where_a_captured_connection_goes(address: str, port: int, http: bool, name: str, expected: str) -> None:
    assert chosen(listener(OUTBOUND, "virtualOutbound"), address, port, http=http, name=name) == expected


def test_nothing_unknown_is_reached_where_the_registry_is_all() -> None:
    closed = compiled(SHOP, mesh("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"), listening=AT)
    assert chosen(listener(closed, "virtualOutbound"), "10.9.9.9", 1) == "BlackHoleCluster"


def test_an_unknown_own_port_takes_what_is_nobodys() -> None:
    found = listener(OUTBOUND, "virtualOutbound", 0)
    assert target(found["default_filter_chain"]) == "any"
    assert chosen(found, "10.0.0.1", 80, http=True) == "80"
    assert chosen(found, "127.0.0.9", 40000, http=True) == "any"


@pytest.mark.parametrize(
    ("port", "http", "expected"),
    [
        (15006, True, "virtualInbound"),
        (8080, True, "inbound|8080||"),
        (82, False, "inbound|82||"),
        (83, True, "inbound|83||"),
        (83, False, "inbound|83||"),
        (1, True, "InboundPassthroughCluster"),
    ],
)
def test_where_a_connection_to_the_workload_goes(port: int, http: bool, expected: str) -> None:
    found = listener(beside("web-1", WEB, ENTRY, listening=AT), "virtualInbound")
    assert found["traffic_direction"] == "INBOUND"
    assert chosen(found, "10.0.0.5", port, http=http) == expected


def test_only_what_is_not_declared_is_looked_into() -> None:
    names = {each["name"]: each for each in listener(OUTBOUND, "virtualOutbound")["listener_filters"]}
    assert list(names) == [
        f"envoy.filters.listener.{name}" for name in ("original_dst", "tls_inspector", "http_inspector")
    ]
    told = str(names["envoy.filters.listener.http_inspector"]["filter_disabled"])
    assert all(f"'start': {port}," in told for port in (80, 443, 5432, 15001))
    assert "'start': 9000," not in told


def test_named_listeners_have_one_table_or_one_cluster() -> None:
    sidecar = rules(
        """
egress:
- {port: {number: 9000, protocol: HTTP, name: a}, bind: 127.0.0.1, captureMode: NONE, hosts: ["*/*"]}
- {port: {number: 5432, protocol: TCP, name: b}, bind: 127.0.0.1, captureMode: NONE, hosts: ["*/*"]}
- {hosts: ["*/*"]}
""",
        kind="Sidecar",
    )
    snapshot = compiled(SHOP, BASE, sidecar)
    http, tcp = listener(snapshot, "127.0.0.1_9000"), listener(snapshot, "127.0.0.1_5432")
    assert [target(chain) for chain in http["filter_chains"]] == ["9000"]
    assert [target(chain) for chain in tcp["filter_chains"]] == ["outbound|5432||db.com"]
    assert "listener_filters" not in http
    assert "default_filter_chain" not in http
    assert target(listener(snapshot, "http_proxy")["filter_chains"][0]) == "http_proxy"


def test_a_gateways_listener_leads_out_as_istios_do() -> None:
    door = rules(
        "selector: {}\nservers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com]}]", kind="Gateway"
    )
    snapshot = compiled(SHOP, door, identity=Identity(gateway=True))
    found = listener(snapshot, snapshot.listeners[0].name)
    assert found["traffic_direction"] == "OUTBOUND"
    assert target(found["filter_chains"][0]) == "http.80"


def test_tcp_routes_by_subnet_name_and_weight() -> None:
    keeping = rules(
        "host: other.com\ntrafficPolicy:\n  connectionPool: {tcp: {idleTimeout: 7s, maxConnectionDuration: 9s}}\n"
        "  loadBalancer: {consistentHash: {useSourceIp: true}}",
        kind="DestinationRule",
    )
    shift = rules(
        "hosts: [other.com]\ntcp:\n- match: [{destinationSubnets: [10.9.0.0/16]}]\n"
        "  route: [{destination: {host: other.com}, weight: 3}, {destination: {host: db.com}, weight: 1}]"
    )
    named_too = rules(
        "hosts: [secure.com]\ntls:\n- match: [{sniHosts: [secure.com], destinationSubnets: [10.9.0.0/16]}]\n"
        "  route: [{destination: {host: shop.com, port: {number: 80}}}]",
        "secure",
    )
    found = listener(compiled(SHOP, BASE, SHARED, SECURE, keeping, shift, named_too, listening=AT), "virtualOutbound")
    (divided,) = [each for each in found["filter_chains"] if "weighted_clusters" in str(each)]
    assert match(divided)["prefix_ranges"] == [{"address_prefix": "10.9.0.0", "prefix_len": 16}]
    proxy = divided["filters"][0]["typed_config"]
    assert (proxy["stat_prefix"], proxy["idle_timeout"], proxy["max_downstream_connection_duration"]) == (
        "rules.default",
        "7s",
        "9s",
    )
    assert proxy["hash_policy"] == [{"source_ip": {}}]
    assert chosen(found, "10.1.1.1", 5432) == "outbound|5432||db.com"
    assert chosen(found, "10.8.1.1", 5432) == "outbound|5432||other.com"
    by_name = [each for each in found["filter_chains"] if "server_names" in match(each)]
    assert [(match(each)["prefix_ranges"], target(each)) for each in by_name] == [
        ([{"address_prefix": "10.9.0.0", "prefix_len": 16}], "outbound|80||shop.com")
    ]


# TLS


OWN = Certificates("/certs")


def with_certificate(snapshot: Snapshot, name: str) -> dict[str, Any]:
    (found,) = [each for each in snapshot.listeners if each.name == name]
    return Listeners(snapshot, certificates=OWN).resource(found, found.port)


def ends(chains: list[Any], **wanted: Any) -> list[tuple[str, bool]]:
    """What chains lead to, and whether they end TLS; those whose match says this."""
    return [
        (target(chain), "transport_socket" in chain)
        for chain in chains
        if all(match(chain).get(key) == value for key, value in wanted.items())
    ]


def workload(mode: str, more: str = "") -> Snapshot:
    return beside("web-1", WEB, ENTRY, policy(f"mtls: {{mode: {mode}}}\n{more}"), listening=AT)


def test_a_strict_port_takes_mutual_tls_alone() -> None:
    found = with_certificate(workload("STRICT"), "virtualInbound")
    assert ends(found["filter_chains"], destination_port=8080) == [("inbound|8080||", True)]
    assert ends(found["filter_chains"], destination_port=15006) == [("virtualInbound", True)]
    assert ends([found["default_filter_chain"]]) == [("BlackHoleCluster", False)]
    assert ends([each for each in found["filter_chains"] if "destination_port" not in match(each)]) == [
        ("InboundPassthroughCluster", True)
    ]


def test_a_permissive_port_takes_both() -> None:
    found = with_certificate(workload("PERMISSIVE"), "virtualInbound")
    assert ends(found["filter_chains"], destination_port=8080) == [
        ("inbound|8080||", True),
        ("inbound|8080||", False),
    ]
    assert ends([found["default_filter_chain"]]) == [("InboundPassthroughCluster", False)]


def test_without_a_certificate_a_strict_port_takes_nobody() -> None:
    found = listener(workload("STRICT"), "virtualInbound")
    assert ends(found["filter_chains"], destination_port=8080) == [("BlackHoleCluster", False)]
    assert ends(found["filter_chains"], destination_port=15006) == [("BlackHoleCluster", False)]
    found = listener(workload("PERMISSIVE"), "virtualInbound")
    assert ends(found["filter_chains"], destination_port=8080) == [("inbound|8080||", False)]


def test_who_speaks_plaintext_to_the_port_itself_finds_what_takes_it() -> None:
    ports = 'portLevelMtls: {"8080": {mode: STRICT}}\nselector: {matchLabels: {app: web}}'
    found = with_certificate(workload("PERMISSIVE", ports), "virtualInbound")
    assert ends(found["filter_chains"], destination_port=15006) == [
        ("virtualInbound", True),
        ("virtualInbound;plaintext", False),
    ]


def test_a_gateways_servers_by_name() -> None:
    tls = "mode: SIMPLE, serverCertificate: /a.pem, privateKey: /a.key"
    door = gateway(
        named("a.com", "a", tls) + named("'*'", "any", tls) + named("c.com", "c", "mode: PASSTHROUGH", "TLS")
    )
    passed = rules(
        "hosts: [c.com]\ngateways: [door]\ntls:\n- match: [{sniHosts: [c.com]}]\n"
        "  route: [{destination: {host: shop.com}}]"
    )
    snapshot = compiled(SHOP, door, passed, identity=DOOR)
    found = with_certificate(snapshot, "0.0.0.0_8443")
    assert [(match(each).get("server_names"), *ends([each])[0]) for each in found["filter_chains"]] == [
        (["a.com"], "https.8443.a.door.default", True),
        (None, "https.8443.any.door.default", True),
        (["c.com"], "outbound|8443||shop.com", False),
    ]
    assert {match(each)["transport_protocol"] for each in found["filter_chains"]} == {"tls"}
    absent = Listeners(snapshot, certificates=Certificates(exists=lambda _: False))
    assert ends(absent.resource(snapshot.listeners[0], 8443)["filter_chains"])[0] == ("BlackHoleCluster", False)  # type: ignore[arg-type]
