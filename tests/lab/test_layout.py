import socket

import pytest

from pyproxy.core.errors import CommandError
from pyproxy.lab import layout
from pyproxy.lab.layout import INSTANCES, Workload, choose_layout, require_free


def test_each_instance_has_a_loopback_address_and_the_standard_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_can_bind", lambda address: True)
    workloads = choose_layout("127.0.9")
    assert [workload.address for workload in workloads] == [f"127.0.9.{n}" for n in range(1, 7)]
    assert workloads[3] == Workload("reviews", "v2", "127.0.9.4")
    assert workloads[3].name == "reviews-v2"
    assert {15001, 15006, 15007, 15000, 15021, 15090, 8080, 9080} == set(workloads[3].ports())


@pytest.mark.parametrize(("subnet", "bindable"), [("none", True), ("127.0.1", False)])
def test_one_address_means_distinct_ports(monkeypatch: pytest.MonkeyPatch, subnet: str, bindable: bool) -> None:
    monkeypatch.setattr(layout, "_can_bind", lambda address: bindable)
    workloads = choose_layout(subnet)
    assert {workload.address for workload in workloads} == {"127.0.0.1"}
    ports = [port for workload in workloads for port in workload.ports()]
    assert len(set(ports)) == len(ports) == 8 * len(INSTANCES)


@pytest.mark.parametrize("subnet", ["10.0.0", "127.0", "127.0.1.1", "lan", ""])
def test_only_loopback_subnets_are_accepted(subnet: str) -> None:
    with pytest.raises(CommandError, match="loopback"):
        choose_layout(subnet)


@pytest.mark.integration
def test_a_port_that_somebody_listens_on_is_named_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CommandError) as caught:
            require_free([("127.0.0.1", port)])
    assert f"127.0.0.1:{port} is taken" in str(caught.value)
    assert "--port" in str(caught.value)
    assert caught.value.exit_code == 2
    require_free([("127.0.0.1", port)])
