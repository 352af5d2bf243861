from __future__ import annotations

import pytest

from pyproxy.envoy.values import address, duration, fraction, given, istio_metadata, locality, node, text, timestamp
from pyproxy.snapshot.model import Identity


@pytest.mark.parametrize(("seconds", "said"), [(0, "0s"), (10, "10s"), (0.025, "0.025s"), (1e-9, "0.000000001s")])
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_time_is_utc() -> None:
    assert timestamp(1_800_000_000) == "2027-01-15T08:00:00.000Z"


def test_addresses() -> None:
    assert address("127.0.0.1", 80) == {"socket_address": {"address": "127.0.0.1", "port_value": 80}}
    assert address("unix:///run/a.sock", 0) == {"pipe": {"path": "/run/a.sock"}}


def test_a_locality_is_what_there_is_of_it() -> None:
    assert locality("r/z") == {"region": "r", "zone": "z"}
    assert locality("") == {}


def test_small_parts() -> None:
    assert fraction(5) == {"numerator": 5, "denominator": "MILLION"}
    assert (text(b"\xc3\xbc"), text(None)) == ("ü", None)
    assert given(("a", 0), ("b", 1), ("c", "")) == {"b": 1}


def test_who_we_are() -> None:
    found = node(Identity(workload="web-v1", namespace="shop", labels={"app": "web"}, locality="r", address="10.0.0.1"))
    assert found["id"] == "sidecar~10.0.0.1~web-v1.shop~shop.svc.cluster.local"
    assert (found["cluster"], found["locality"]) == ("web.shop", {"region": "r"})
    assert str(node(Identity(gateway=True))["id"]).startswith("router~")


def test_where_a_resource_came_from() -> None:
    note = istio_metadata("virtual-service", "my.rules.shop", {"subset": "v1"})
    assert note["metadata"]["filter_metadata"]["istio"] == {  # type: ignore[index]  # a mapping
        "config": "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/my.rules",
        "subset": "v1",
    }
    assert istio_metadata("virtual-service", "") == {}
