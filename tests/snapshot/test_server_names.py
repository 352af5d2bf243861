"""Names under which TLS passes through a gateway."""

from __future__ import annotations

from pyproxy.core.tls import ClientTls, ClientTlsMode
from pyproxy.snapshot.model import Cluster, Endpoint, ServiceName
from pyproxy.snapshot.server_names import ServerNames
from pyproxy.snapshot.tcp_routes import route_to

SHOP = ServiceName("shop.mesh", "shop", "default")


def cluster(name: str, subset: str = "", **more: bool) -> Cluster:
    return Cluster(
        f"outbound|80|{subset}|{name}",
        endpoints=(Endpoint("10.0.0.1", 80, mutual_tls=True), Endpoint("10.0.0.2", 80)),
        service=SHOP,
        port=80,
        subset=subset,
        tls=ClientTls(ClientTlsMode.ISTIO_MUTUAL),
        mesh_external=more.get("external", False),
    )


def test_the_first_of_two_destinations_of_a_name_holds() -> None:
    names = ServerNames()
    names.add(443, ["a.com", "*.b.com"], route_to("one"))
    names.add(443, ["a.com"], route_to("two"))

    assert names.knows(443, ["x.com", "a.com"])
    assert not names.knows(444, ["a.com"])
    routes = names.routes(443)
    assert routes.find("a.com") == routes.find("x.b.com") == route_to("one")
    assert routes.find("other") is None


def test_any_name_at_all() -> None:
    names = ServerNames()
    names.add(443, ["*"], route_to("one"))

    assert names.routes(443).find("whatever") == names.routes(443).find("") == route_to("one")


def test_mutual_tls_passes_on_to_those_alone_who_end_it() -> None:
    names = ServerNames()
    passed = names.pass_on(
        15443,
        ["*.mesh"],
        [
            cluster("shop.mesh"),
            cluster("shop.mesh", "v1"),
            cluster("far.mesh", external=True),
            cluster("shop.com"),
            Cluster("PassthroughCluster"),
        ],
    )

    assert passed == ("outbound_.80_._.shop.mesh", "outbound_.80_.v1_.shop.mesh")
    twin = names.clusters[passed[1]]
    assert twin.tls is None
    assert [each.address for each in twin.endpoints] == ["10.0.0.1"]
    assert names.routes(15443).find(passed[0]) == route_to(passed[0])
