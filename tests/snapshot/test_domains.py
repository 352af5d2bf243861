"""Names of services, and tables built of them."""

from __future__ import annotations

from pyproxy.snapshot.domains import TableBuilder, domains_of
from pyproxy.snapshot.model import ServiceName, VirtualHost
from pyproxy.snapshot.services import Resolution, Service


def service(host: str, **more: object) -> Service:
    return Service(host, "books", ServiceName(host, host, "books"), (), **more)  # type: ignore[arg-type]


def names(host: str, namespace: str = "books", **more: object) -> list[str]:
    return domains_of(service(host, **more), namespace, "cluster.local")[0]


def test_a_name_of_the_cluster_has_short_forms() -> None:
    host = "a.books.svc.cluster.local"

    assert names(host) == [host, f"{host}.", "a", "a.books.svc", "a.books"]
    assert names(host, "other") == [host, f"{host}.", "a.books.svc", "a.books"]


def test_any_other_name_has_its_absolute_form_and_an_address_none() -> None:
    assert names("shop.com") == ["shop.com", "shop.com."]
    assert names("a.b.books.svc.cluster.local")[2:] == []
    assert names("10.0.0.1") == ["10.0.0.1"]


def test_aliases_and_addresses_are_names_too() -> None:
    found = names("shop.com", aliases=("b.books.svc.cluster.local",), addresses=("10.0.0.1", "0.0.0.0", "10.0.0.0/8"))

    assert found[2:] == [
        "b.books.svc.cluster.local",
        "b.books.svc.cluster.local.",
        "b",
        "b.books.svc",
        "b.books",
        "10.0.0.1",
    ]


def test_a_headless_service_has_names_below_each() -> None:
    found = names("a.books.svc.cluster.local", kubernetes=True, resolution=Resolution.NONE)

    assert found[5:] == [f"*.{name}" for name in found[:5]]


def test_a_domain_belongs_to_whoever_asks_first() -> None:
    builder = TableBuilder(known=["a.com"])
    first = VirtualHost("one", builder.free("one", ("x", "*.y", "*")), ())
    builder.add(first)
    second = VirtualHost("two", builder.free("two", ("x", "z", "a.com"), derived=("a.com",)), ())
    builder.add(second)

    assert second.domains == ("z",)
    assert builder.free("two", ("w",)) == ()
    table = builder.build("t", None)
    assert (table.exact, table.suffixes, table.suffix_lengths) == ({b"x": first, b"z": second}, {b".y": first}, (2,))
    assert table.default is first
