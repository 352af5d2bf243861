from pyproxy.console.names import short, target_of


def test_a_cluster_is_told_as_people_say_it() -> None:
    target = target_of("outbound|9080|v1|reviews.default.svc.cluster.local")
    assert (target.direction, target.port, target.title) == ("outbound", 9080, "reviews v1")


def test_what_has_no_such_name_is_its_own() -> None:
    assert target_of("PassthroughCluster").title == "PassthroughCluster"
    assert target_of("inbound|8080||").title == "port 8080"


def test_hosts_are_shortened_by_what_goes_without_saying() -> None:
    hosts = ("a.default.svc.cluster.local", "a.shop.svc.cluster.local", "www.example.com")
    assert [short(host) for host in hosts] == ["a", "a.shop", "www.example.com"]
