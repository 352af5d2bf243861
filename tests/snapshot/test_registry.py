"""Services of the registry: ServiceEntries, Kubernetes Services, their ports and endpoints."""

from __future__ import annotations

from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.registry import Registry
from pyproxy.snapshot.services import Resolution, Service
from tests.snapshot.documents import documents, entry, mesh
from tests.snapshot.test_workloads import workload


def registry(*texts: str) -> Registry:
    found = documents("\n---\n".join(texts))
    return Registry(found, mesh_settings(found))


def only(*texts: str) -> Service:
    (found,) = registry(*texts).services
    return found


def addresses(service: Service, port: int) -> list[tuple[str, int]]:
    return [(each.address, each.port) for each in service.endpoints.get(port, ())]


def kubernetes(name: str, spec: str, namespace: str = "default", meta: str = "") -> str:
    return f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}{meta}}}\nspec: {{{spec}}}"


# ServiceEntry


def test_an_entry_is_external_and_without_resolution_unless_it_says_otherwise() -> None:
    found = only(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: x}\n"
        "spec: {hosts: [x.com], ports: [{number: 443, name: tls, protocol: TLS, targetPort: 8443}]}"
    )

    assert found.external
    assert found.resolution is Resolution.NONE
    assert (found.ports[0].protocol, found.ports[0].target) == ("tls", 8443)
    assert (found.name.host, found.name.name, found.name.namespace) == ("x.com", "x.com", "default")
    assert found.endpoints == {443: ()}


def test_every_host_is_a_service() -> None:
    found = registry(entry("a.com").replace('["a.com"]', "[a.com, b.com]"))

    assert [service.host for service in found.services] == ["a.com", "b.com"]


def test_an_endpoints_port_is_its_own_then_the_target_port_then_the_number() -> None:
    text = entry(
        "a.com",
        "80/HTTP",
        endpoints="{address: 1.1.1.1, ports: {p80: 8081}}, {address: 1.1.1.2}, {address: 'unix:///tmp/a'}",
    )

    assert addresses(only(text), 80) == [("1.1.1.1", 8081), ("1.1.1.2", 80), ("unix:///tmp/a", 0)]
    target = text.replace("name: p80", "name: p80, targetPort: 8080")
    assert addresses(only(target), 80)[:2] == [("1.1.1.1", 8081), ("1.1.1.2", 8080)]


def test_inline_endpoints_are_named_after_the_entry() -> None:
    found = only(entry("a.com", endpoints="{address: 1.1.1.1}, {address: 1.1.1.2}", name="shop"))

    assert [each.workload for each in found.endpoints[80]] == ["shop-0", "shop-1"]


def test_dns_without_endpoints_looks_the_host_itself_up() -> None:
    found = only(entry("a.com", resolution="DNS", name="shop"))

    (endpoint,) = found.endpoints[80]
    assert (endpoint.address, endpoint.port, endpoint.workload, endpoint.mutual_tls) == ("a.com", 80, "shop", False)


def test_dns_with_endpoints_looks_those_up() -> None:
    found = only(entry("a.com", resolution="DNS", endpoints="{address: b.com}, {address: c.com}"))

    assert addresses(found, 80) == [("b.com", 80), ("c.com", 80)]


def test_a_workload_selector_picks_entries_of_the_same_namespace() -> None:
    found = registry(
        entry("a.com", more="workloadSelector: {labels: {app: a}}"),
        workload("a-1", "1.1.1.1", "app: a", more=", ports: {p80: 8080}"),
        workload("a-2", "a-2", "app: a"),
        workload("b", "1.1.1.3", "app: b"),
        workload("a-3", "1.1.1.4", "app: a", "other"),
    ).services[0]

    assert addresses(found, 80) == [("1.1.1.1", 8080), ("a-2", 80)]
    assert found.selector == {"app": "a"}


def test_two_entries_of_one_host_and_namespace_are_one_service() -> None:
    found = only(
        entry("a.com", "80/HTTP", endpoints="{address: 1.1.1.1}", name="one", addresses="10.0.0.1"),
        entry("a.com", "80/TCP", "81/HTTP", endpoints="{address: 1.1.1.2}", name="two", addresses="10.0.0.2"),
    )

    assert [(port.number, port.protocol) for port in found.ports] == [(80, "http"), (81, "http")]
    assert addresses(found, 80) == [("1.1.1.1", 80), ("1.1.1.2", 80)]
    assert found.addresses == ("10.0.0.1", "10.0.0.2")


def test_entries_of_one_host_that_do_not_agree_leave_the_oldest() -> None:
    found = only(entry("a.com", name="one"), entry("a.com", "81/HTTP", name="two", resolution="DNS"))

    assert [port.number for port in found.ports] == [80]


def test_a_host_may_be_in_several_namespaces() -> None:
    found = registry(entry("a.com"), entry("a.com", namespace="other"))

    assert set(found.by_host["a.com"]) == {"default", "other"}


def test_the_mesh_says_who_sees_services_that_do_not() -> None:
    assert only(mesh("defaultServiceExportTo: ['.']"), entry("a.com")).export_to == {"."}
    assert only(entry("a.com", more="exportTo: ['~']")).export_to == {"~"}
    assert only(entry("a.com")).export_to == {"*"}


# Kubernetes


def test_a_service_picks_workloads_and_their_ports() -> None:
    found = registry(
        kubernetes(
            "web",
            "selector: {app: web}, clusterIP: 10.9.9.9, ports: [{name: http, port: 80, targetPort: 8080},"
            " {name: admin, port: 81, targetPort: manage}, {name: plain, port: 82}]",
        ),
        workload("w1", "1.1.1.1", "app: web", more=", ports: {http: 9999, manage: 7777}"),
        workload("w2", "1.1.1.2", "app: web"),
    ).services[0]

    assert found.host == "web.default.svc.cluster.local"
    assert (found.name.name, found.addresses, found.external) == ("web", ("10.9.9.9",), False)
    assert addresses(found, 80) == [("1.1.1.1", 9999), ("1.1.1.2", 8080)]
    assert addresses(found, 81) == [("1.1.1.1", 7777)]
    assert addresses(found, 82) == [("1.1.1.1", 82), ("1.1.1.2", 82)]


def test_a_service_without_a_selector_picks_nothing() -> None:
    found = registry(kubernetes("web", "ports: [{port: 80}]"), workload("w1", "1.1.1.1", "app: web")).services[0]

    assert addresses(found, 80) == []


def test_a_service_with_the_address_none_is_headless() -> None:
    found = only(kubernetes("db", "clusterIP: None, ports: [{port: 80}]"))

    assert found.headless
    assert found.addresses == ()


def test_endpoints_and_slices_list_addresses_by_port_name() -> None:
    found = registry(
        kubernetes("web", "ports: [{name: http, port: 80}, {name: admin, port: 81}]"),
        "apiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\n"
        "subsets: [{addresses: [{ip: 1.1.1.1}], notReadyAddresses: [{ip: 1.1.1.9}],"
        " ports: [{name: http, port: 8080}]}]",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        "metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\n"
        "endpoints: [{addresses: [1.1.1.2], zone: z1}, {addresses: [1.1.1.3], conditions: {ready: false}}]\n"
        "ports: [{name: http, port: 8080}, {name: admin, port: 8081}]",
        workload("w2", "1.1.1.2", "version: v2"),
    ).services[0]

    assert addresses(found, 80) == [("1.1.1.1", 8080), ("1.1.1.2", 8080)]
    assert addresses(found, 81) == [("1.1.1.2", 8081)]
    assert [each.labels for each in found.endpoints[80]] == [{}, {"version": "v2"}]


def test_a_kubernetes_service_comes_before_an_entry_of_its_name() -> None:
    found = only(entry("web.default.svc.cluster.local"), kubernetes("web", "ports: [{port: 81}]"))

    assert found.kubernetes


def test_an_external_name_is_another_name_of_a_service() -> None:
    found = registry(
        kubernetes("old", "type: ExternalName, externalName: middle.default.svc.cluster.local"),
        kubernetes("middle", "type: ExternalName, externalName: new.com"),
        kubernetes("loop", "type: ExternalName, externalName: loop.default.svc.cluster.local"),
        entry("new.com"),
    )

    (service,) = found.services
    assert service.aliases == ("old.default.svc.cluster.local", "middle.default.svc.cluster.local")
    assert set(found.aliases) == {f"{name}.default.svc.cluster.local" for name in ("old", "middle", "loop")}


def test_annotations_say_who_sees_it_and_which_endpoints_are_preferred() -> None:
    meta = (
        ", annotations: {networking.istio.io/exportTo: 'a, b', networking.istio.io/traffic-distribution: PreferClose}"
    )
    found = only(kubernetes("web", "ports: [{port: 80}]", meta=meta))

    assert found.export_to == {"a", "b"}
    assert found.traffic_distribution == "zone"
