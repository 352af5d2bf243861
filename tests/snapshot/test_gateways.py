"""What a gateway serves."""

from __future__ import annotations

from pathlib import Path

from pyproxy.core.tls import ServerTlsMode
from pyproxy.snapshot.model import Direction, Identity, Listening, Redirect, Snapshot
from tests.snapshot.documents import compilation, entry, find_in, leads, mesh, request, rules, shares
from tests.snapshot.test_registry import kubernetes

DOOR = Identity(namespace="default", labels={"istio": "ingress"}, gateway=True)
SIMPLE = "  tls: {mode: SIMPLE, serverCertificate: a, privateKey: b}\n"
REVIEWS = entry("reviews.default.svc.cluster.local", "9080/HTTP")


def gateway(servers: str, name: str = "door", namespace: str = "default", selector: str = "istio: ingress") -> str:
    return rules(f"selector: {{{selector}}}\nservers:\n{servers}", name, namespace, "Gateway")


def server(hosts: str, port: int = 8080, protocol: str = "HTTP", more: str = "") -> str:
    declared = f"{{number: {port}, name: p{port}-{protocol.lower()}, protocol: {protocol}}}"
    return f"- port: {declared}\n  hosts: [{hosts}]\n{more}"


def bound(
    hosts: str, name: str = "rule", match: str = "", namespace: str = "default", more: str = "gateways: [door]"
) -> str:
    clause = f"  match: [{match}]\n" if match else ""
    return rules(
        f"hosts: [{hosts}]\n{more}\nhttp:\n- name: {name}\n{clause}"
        "  route: [{destination: {host: reviews.default.svc.cluster.local}}]",
        name,
        namespace,
    )


def served(*texts: str, listening: Listening = Listening()) -> Snapshot:
    return compilation(REVIEWS, *texts, identity=DOOR, listening=listening).snapshot


def route_name(snapshot: Snapshot, host: str, path: str = "/", table: str = "http.8080") -> str | None:
    route = find_in(snapshot.route_tables[table], host, request(path))
    return None if route is None else route.name


def test_a_selected_server_becomes_a_listener_with_a_table() -> None:
    snapshot = served(gateway(server("'*'")), bound("shop.com"))

    (listener,) = snapshot.listeners
    assert (listener.name, listener.address, listener.port) == ("0.0.0.0_8080", "0.0.0.0", 8080)
    assert (listener.protocol, listener.route_table) == ("http", "http.8080")
    assert listener.http.direction is Direction.GATEWAY
    assert listener.http.use_remote_address
    assert listener.http.server_name == b"istio-envoy"
    assert shares(find_in(snapshot.route_tables["http.8080"], "shop.com")) == {
        "outbound|9080||reviews.default.svc.cluster.local": 1
    }


def test_a_gateway_for_other_labels_is_not_ours() -> None:
    snapshot = served(gateway(server("'*'"), selector="istio: egress"), bound("shop.com"))

    assert snapshot.listeners == ()
    assert snapshot.route_tables == {}


def test_without_a_virtual_host_every_request_finds_no_route() -> None:
    table = served(gateway(server("'*'"))).route_tables["http.8080"]

    host = table.virtual_host_for(b"shop.com")

    assert host is not None
    assert (host.name, host.routes) == ("blackhole:8080", ())


def test_an_unknown_host_has_no_virtual_host_at_all() -> None:
    snapshot = served(gateway(server("'*'")), bound("shop.com"))

    assert snapshot.route_tables["http.8080"].virtual_host_for(b"other.com") is None


def test_the_narrower_of_server_host_and_rule_host_is_served() -> None:
    snapshot = served(
        gateway(server("'*.shop.com', Exact.net")), bound("eu.shop.com, '*.us.shop.com', '*.net', other.org")
    )

    found = {host: route_name(snapshot, host) for host in ("eu.shop.com", "a.us.shop.com", "b.shop.com", "exact.net")}

    assert found == {"eu.shop.com": "rule", "a.us.shop.com": "rule", "b.shop.com": None, "exact.net": "rule"}
    assert route_name(snapshot, "other.org") is None


def test_a_servers_hosts_may_be_for_one_namespace() -> None:
    texts = (
        gateway(server("books/a.com, ./b.com, '*/c.com'")),
        bound("a.com, b.com, c.com", "mine"),
        bound("a.com, b.com, c.com", "theirs", namespace="books", more="gateways: [default/door]"),
    )

    assert [route_name(served(*texts), host) for host in ("a.com", "b.com", "c.com")] == ["theirs", "mine", "mine"]


def test_rules_for_one_host_are_merged_and_catch_alls_come_last() -> None:
    snapshot = served(
        gateway(server("'*'")),
        bound("shop.com", "all"),
        bound("shop.com", "a", "{uri: {prefix: /a}}"),
        bound("shop.com", "late"),
        bound("shop.com", "b", "{uri: {prefix: /b}}"),
    )

    host = snapshot.route_tables["http.8080"].virtual_host_for(b"shop.com")

    assert host is not None
    assert [route.name for route in host.routes] == ["a", "b", "all", "late"]


def test_rules_must_name_the_gateway_and_matches_may() -> None:
    snapshot = served(
        gateway(server("'*'")),
        bound("mesh.com", "mesh", more="gateways: [mesh]"),
        bound(
            "shop.com",
            "other",
            "{gateways: [mesh]}, {gateways: [door], uri: {prefix: /door}}",
            more="gateways: [mesh, door]",
        ),
    )

    assert route_name(snapshot, "mesh.com") is None
    assert route_name(snapshot, "shop.com") is None
    assert route_name(snapshot, "shop.com", "/door") == "other"


def test_https_redirect_holds_for_hosts_without_rules_too() -> None:
    snapshot = served(gateway(server("'*'", more="  tls: {httpsRedirect: true}")), bound("shop.com"))
    table = snapshot.route_tables["http.8080"]

    for host in ("shop.com", "nobody.com"):
        route = find_in(table, host)
        assert route is not None
        assert route.action == Redirect(301, scheme=b"https")
    secure = find_in(table, "shop.com", request(scheme="https"))
    assert secure is not None
    assert secure.name == "rule"


def test_http_servers_of_one_port_live_together() -> None:
    snapshot = served(
        gateway(server("a.com")),
        gateway(server("b.com", protocol="HTTP2"), "second"),
        bound("a.com, b.com", "rule", more="gateways: [door, second]"),
    )

    assert len(snapshot.listeners) == 1
    assert [route_name(snapshot, host) for host in ("a.com", "b.com")] == ["rule", "rule"]


def test_what_cannot_be_served_is_said() -> None:
    found = compilation(
        REVIEWS,
        gateway(
            server("'*'", 8443, "HTTPS", SIMPLE)
            + server("shop.com, '*'", 8443, "TLS", SIMPLE)
            + server("'*'", 8080)
            + server("'*'", 8080, "TCP")
        ),
        identity=DOOR,
    )

    assert [listener.port for listener in found.snapshot.listeners] == [8443, 8080]
    assert [(problem.path, problem.message) for problem in found.problems] == [
        ("spec.servers[1]", "port 8443 already has a server for *"),
        ("spec.servers[3]", "port 8080 already belongs to another server"),
    ]
    assert {problem.severity for problem in found.problems} == {"warning"}


def test_tcp_goes_where_the_first_route_says() -> None:
    snapshot = served(
        gateway(server("'*'", 5432, "TCP")),
        rules(
            "hosts: ['*']\ngateways: [door]\ntcp:\n- match: [{port: 1}]\n  route: [{destination: {host: a.com}}]\n"
            "- match: [{port: 5432}]\n  route: [{destination: {host: reviews}}]"
        ),
    )

    (listener,) = snapshot.listeners
    assert (listener.protocol, leads(listener)) == ("tcp", "outbound|9080||reviews.default.svc.cluster.local")


def test_binds_have_tables_of_their_own_and_a_flag_has_the_last_word() -> None:
    texts = (gateway(server("'*'", more="  bind: 127.0.0.2")), bound("shop.com"))

    snapshot = served(*texts)

    assert [(listener.name, listener.route_table) for listener in snapshot.listeners] == [
        ("127.0.0.2_8080", "http.8080.127.0.0.2")
    ]
    assert route_name(snapshot, "shop.com", table="http.8080.127.0.0.2") == "rule"
    assert served(*texts, listening=Listening(address="127.0.1.1")).listeners[0].address == "127.0.1.1"


def test_the_gateways_service_says_which_port_is_bound() -> None:
    service = kubernetes("ingress", "selector: {istio: ingress}, ports: [{name: http, port: 80, targetPort: 8080}]")

    snapshot = served(service, gateway(server("'*'", 80)), bound("shop.com", "rule", "{port: 80}"))

    assert [listener.name for listener in snapshot.listeners] == ["0.0.0.0_8080"]
    host = snapshot.route_tables["http.8080"].virtual_host_for(b"shop.com")
    assert host is not None
    assert host.name == "shop.com:80"


def test_topology_and_edge_settings_are_the_meshs() -> None:
    settings = mesh("defaultConfig: {gatewayTopology: {numTrustedProxies: 2}, connectionSettings: {profile: EDGE}}")

    (listener,) = served(gateway(server("'*'")), settings).listeners

    assert listener.http.xff_trusted_hops == 2
    assert (listener.http.stream_idle_timeout, listener.http.request_headers_timeout) == (300.0, 60.0)


# TLS


def https(hosts: str, port: int = 8443, tls: str = "mode: SIMPLE, serverCertificate: a.pem, privateKey: a.key") -> str:
    return server(hosts, port, "HTTPS", f"  tls: {{{tls}}}\n")


def named(hosts: str, name: str, tls: str, protocol: str = "HTTPS") -> str:
    port = f"{{number: 8443, name: {name}, protocol: {protocol}}}"
    return f"- port: {port}\n  hosts: [{hosts}]\n  tls: {{{tls}}}\n"


def test_each_https_server_of_a_port_has_a_table_of_its_own() -> None:
    pair = "mode: SIMPLE, serverCertificate: {0}.pem, privateKey: {0}.key"
    snapshot = served(
        gateway(named("a.com", "a", pair.format("a")) + named("'*.b.com'", "b", pair.format("b"))),
        bound("a.com, x.b.com"),
    )

    (listener,) = snapshot.listeners
    assert (listener.protocol, listener.route_table, leads(listener)) == ("http", "", "")
    assert [(each.hosts, each.certificate_file, each.key_file, each.route_table) for each in listener.server_tls] == [
        (("a.com",), "a.pem", "a.key", "https.8443.a.door.default"),
        (("*.b.com",), "b.pem", "b.key", "https.8443.b.door.default"),
    ]
    assert route_name(snapshot, "a.com", table="https.8443.a.door.default") == "rule"
    assert route_name(snapshot, "x.b.com", table="https.8443.b.door.default") == "rule"
    assert route_name(snapshot, "a.com", table="https.8443.b.door.default") is None


def test_the_same_https_host_twice_leaves_the_younger_out() -> None:
    found = compilation(REVIEWS, gateway(https("a.com")), gateway(https("a.com"), "second"), identity=DOOR)

    assert len(found.snapshot.listeners[0].server_tls) == 1
    assert [problem.resource for problem in found.problems] == ["Gateway/default/second"]


def test_plain_http_and_tls_do_not_share_a_port() -> None:
    found = compilation(REVIEWS, gateway(https("a.com") + server("a.com", 8443)), identity=DOOR)

    assert [problem.path for problem in found.problems] == ["spec.servers[1]"]


def test_passthrough_goes_by_server_name_to_what_tls_routes_say() -> None:
    snapshot = served(
        gateway(named("'*.shop.com'", "tls", "mode: PASSTHROUGH", "TLS")),
        rules(
            "hosts: [a.shop.com, b.shop.com]\ngateways: [door]\ntls:\n"
            "- match: [{sniHosts: [a.shop.com]}]\n  route: [{destination: {host: reviews}}]\n"
            "- match: [{sniHosts: [b.shop.com], port: 1}]\n  route: [{destination: {host: b.com}}]\n"
            "- match: [{sniHosts: [a.shop.com]}, {sniHosts: [b.shop.com], sourceLabels: {app: x}}]\n"
            "  route:\n  - {destination: {host: c.com, port: {number: 1}}, weight: 1}\n"
            "  - {destination: {host: reviews}, weight: 3}"
        ),
    )

    (listener,) = snapshot.listeners
    assert [(each.mode, each.hosts) for each in listener.server_tls] == [
        (ServerTlsMode.PASSTHROUGH, ("a.shop.com", "b.shop.com"))
    ]
    assert leads(listener, "a.shop.com") == "outbound|9080||reviews.default.svc.cluster.local"
    divided = listener.tcp.find("b.shop.com")
    assert divided is not None
    assert divided.name == "rules.default"
    assert divided.clusters == (("outbound|1||c.com", 1), ("outbound|9080||reviews.default.svc.cluster.local", 3))


def test_tls_that_ends_here_goes_on_as_tcp() -> None:
    tls = "mode: SIMPLE, serverCertificate: a.pem, privateKey: a.key"
    snapshot = served(
        gateway(named("db.com", "db", tls, "TLS") + named("none.com", "none", tls, "TLS")),
        rules("hosts: [db.com]\ngateways: [door]\ntcp:\n- route: [{destination: {host: reviews}}]"),
    )

    (listener,) = snapshot.listeners
    assert listener.protocol == "tcp"
    assert leads(listener) == ""
    assert [(each.hosts, each.route_table) for each in listener.server_tls] == [(("db.com",), "")]
    assert leads(listener, "db.com") == "outbound|9080||reviews.default.svc.cluster.local"


def test_a_client_without_a_server_name_meets_the_server_for_all() -> None:
    snapshot = served(
        gateway(named("'*'", "db", "mode: SIMPLE, serverCertificate: a.pem, privateKey: a.key", "TLS")),
        rules("hosts: [db.com]\ngateways: [door]\ntcp:\n- route: [{destination: {host: reviews}}]"),
    )

    assert leads(snapshot.listeners[0]) == "outbound|9080||reviews.default.svc.cluster.local"


def test_automatic_passthrough_knows_every_cluster_of_the_mesh_by_istios_name() -> None:
    able = "{address: 10.0.0.1, serviceAccount: a, labels: {v: '1'}}, {address: 10.0.0.2}"
    snapshot = served(
        entry("shop.mesh", "80/HTTP", endpoints=able),
        entry("other.com", "80/HTTP"),
        rules("host: shop.mesh\nsubsets: [{name: v1, labels: {v: '1'}}]", kind="DestinationRule"),
        gateway(named("'*.mesh'", "tls", "mode: AUTO_PASSTHROUGH", "TLS")),
    )

    (tls,) = snapshot.listeners[0].server_tls
    assert (tls.mode, tls.hosts) == (
        ServerTlsMode.AUTO_PASSTHROUGH,
        ("outbound_.80_._.shop.mesh", "outbound_.80_.v1_.shop.mesh"),
    )
    cluster = snapshot.clusters[leads(snapshot.listeners[0], "outbound_.80_._.shop.mesh")]
    assert cluster.tls is None
    assert [each.address for each in cluster.endpoints] == ["10.0.0.1"]
    assert snapshot.clusters["outbound|80||shop.mesh"].tls is not None


def test_a_tls_port_with_nothing_behind_it_is_not_bound() -> None:
    assert served(gateway(named("a.com", "tls", "mode: PASSTHROUGH", "TLS"))).listeners == ()


def test_a_credential_without_files_is_warned_about(tmp_path: Path) -> None:
    texts = gateway(https("a.com", tls="mode: MUTUAL, credentialName: shop"))
    listening = Listening(certs=str(tmp_path))
    (problem,) = compilation(REVIEWS, texts, identity=DOOR, listening=listening).problems

    assert (problem.code, problem.path) == ("IST0161", "spec.servers[0].tls")
    folder = tmp_path / "credentials" / "shop"
    assert all(str(folder / name) in problem.message for name in ("tls.crt", "tls.key", "ca.crt"))

    folder.mkdir(parents=True)
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (folder / name).touch()
    assert compilation(REVIEWS, texts, identity=DOOR, listening=listening).problems == ()


def test_a_credential_towards_a_service_too(tmp_path: Path) -> None:
    level = "tls: {mode: MUTUAL, credentialName: shop}"
    rule = rules(
        "host: reviews\n"
        f"trafficPolicy: {{portLevelSettings: [{{port: {{number: 9080}}, {level}}}]}}\n"
        "subsets:\n- {name: v1, trafficPolicy: {tls: {mode: SIMPLE, credentialName: shop}}}\n"
        "- {name: v2, trafficPolicy: {tls: {mode: SIMPLE, credentialName: shop, caCertificates: ''}}}",
        kind="DestinationRule",
    )
    found = compilation(REVIEWS, rule, identity=DOOR, listening=Listening(certs=str(tmp_path))).problems

    assert [(problem.code, problem.path) for problem in found] == [
        ("IST0161", "spec.trafficPolicy.portLevelSettings[0].tls.credentialName"),
        ("IST0161", "spec.subsets[0].trafficPolicy.tls.credentialName"),
        ("IST0161", "spec.subsets[1].trafficPolicy.tls.credentialName"),
    ]
    assert compilation(REVIEWS, rule, listening=Listening(certs=str(tmp_path))).problems == ()
