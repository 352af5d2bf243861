"""Which rules are for which services of a port."""

from __future__ import annotations

from pyproxy.snapshot.attachment import Attachment
from pyproxy.snapshot.model import ServiceName
from pyproxy.snapshot.rules import Rules
from pyproxy.snapshot.services import Service, ServicePort
from pyproxy.snapshot.sidecars import EVERYTHING, Egress


def service(host: str, *ports: int) -> Service:
    return Service(host, "x", ServiceName(host, host, "x"), tuple(ServicePort(port, protocol="http") for port in ports))


def attached(port: int, services: list[Service], *rules: tuple[str, ...]) -> list[tuple[int, list[str], list[str]]]:
    """(position of the rules, hosts without a service, hosts of services)."""
    known = [Rules(str(number), "x", hosts, ("mesh",), frozenset("*")) for number, hosts in enumerate(rules)]
    found = Attachment(Egress(EVERYTHING, tuple(services), tuple(known))).on_port(port)
    return [(known.index(each.rules), list(each.hosts), [one.host for one in each.services]) for each in found]


def test_exact_hosts_attach_to_services_of_the_port() -> None:
    services = [service("a.com", 80, 81), service("b.com", 81)]

    assert attached(81, services, ("a.com", "b.com")) == [(0, [], ["a.com", "b.com"])]
    assert attached(80, services, ("a.com", "b.com")) == [(0, ["b.com"], ["a.com"])]


def test_only_port_80_hears_of_rules_without_a_service() -> None:
    services = [service("a.com", 80, 81)]

    assert attached(80, services, ("other.com",)) == [(0, ["other.com"], [])]
    assert attached(81, services, ("other.com",)) == []


def test_a_wildcard_attaches_where_nothing_is_more_specific() -> None:
    services = [service("a.com", 80), service("a.b.com", 80), service("c.net", 80)]

    assert attached(80, services, ("*.com",), ("*.b.com",), ("*.org",), ("a.com",)) == [
        (0, [], []),
        (1, [], ["a.b.com"]),
        (2, ["*.org"], []),
        (3, [], ["a.com"]),
    ]


def test_of_equal_wildcards_the_first_attaches() -> None:
    assert attached(80, [service("a.com", 80)], ("*.com",), ("*.com",)) == [(0, [], ["a.com"]), (1, [], [])]


def test_wildcard_services_and_partial_wildcards_count() -> None:
    services = [service("*.a.com", 80), service("x-b.net", 80)]

    assert attached(80, services, ("*.com",), ("*-b.net",), ("*.z.a.com",)) == [
        (0, [], ["*.a.com"]),
        (1, [], ["x-b.net"]),
        (2, [], []),
    ]
