"""Localities: priorities for failover, weights for distribution."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pyproxy.istio.mesh.config import MeshConfig
from pyproxy.istio.networking.destination_rule import LoadBalancerSettings
from pyproxy.snapshot.locality import effective_setting, place_endpoints
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import Endpoint, Identity

HERE = Identity(locality="us/a/1", labels={"app": "shop", "version": "v1"}, network="net")
PLACES = ["us/a/1", "us/a/2", "us/b/1", "eu/a/1", "asia/a/1", ""]


def endpoint(locality: str, weight: int = 1, network: str = "", **labels: str) -> Endpoint:
    return Endpoint("1.1.1.1", 80, weight=weight, locality=locality, labels=labels, network=network)


def placed(
    block: Mapping[str, object] | None,
    *endpoints: Endpoint,
    failover: bool = True,
    identity: Identity = HERE,
    service: str = "",
    mesh: Mapping[str, object] | None = None,
) -> tuple[list[tuple[str, int]], Mapping[str, int] | None]:
    settings = None if block is None else LoadBalancerSettings.model_validate(block)
    setting = effective_setting(settings, service, MeshSettings(MeshConfig.model_validate(mesh or {})))
    everywhere = endpoints or tuple(endpoint(place) for place in PLACES)
    found, weights = place_endpoints(everywhere, setting, identity, failover=failover)
    return [(each.locality, each.priority) for each in found], weights


def priorities(
    block: Mapping[str, object] | None, *endpoints: Endpoint, failover: bool = True, **more: object
) -> list[int]:
    found, _ = placed(block, *endpoints, failover=failover, **more)  # type: ignore[arg-type]
    return [priority for _, priority in found]


def test_without_outlier_detection_all_localities_are_alike() -> None:
    assert priorities(None, failover=False) == [0] * 6
    failover = {"localityLbSetting": {"failover": [{"from": "us", "to": "eu"}]}}
    assert priorities(failover, failover=False) == [0] * 6


def test_with_it_the_nearest_come_first() -> None:
    assert priorities(None) == [0, 1, 2, 3, 3, 3]


def test_failover_names_the_region_that_comes_next() -> None:
    assert priorities({"localityLbSetting": {"failover": [{"from": "us", "to": "eu"}]}}) == [0, 1, 2, 3, 4, 4]


def test_priorities_have_no_gaps() -> None:
    assert priorities(None, endpoint("eu/a"), endpoint("us/b")) == [1, 0]


def test_a_proxy_without_a_locality_prefers_nobody() -> None:
    assert priorities(None, endpoint("eu/a"), endpoint("us/b"), identity=Identity()) == [0, 0]


@pytest.mark.parametrize(
    ("block", "mesh"),
    [({"localityLbSetting": {"enabled": False}}, {}), (None, {"localityLbSetting": {"enabled": False}})],
)
def test_it_can_be_turned_off(block: Mapping[str, object] | None, mesh: Mapping[str, object]) -> None:
    assert priorities(block, mesh=mesh) == [0] * 6


def test_the_rules_setting_replaces_the_meshs() -> None:
    mesh = {"localityLbSetting": {"failover": [{"from": "us", "to": "asia"}]}}

    assert priorities({"localityLbSetting": {"enabled": True}}, mesh=mesh) == [0, 1, 2, 3, 3, 3]
    assert priorities(None, mesh=mesh) == [0, 1, 2, 4, 3, 4]


def test_failover_priority_counts_labels_that_agree_in_order() -> None:
    block = {"localityLbSetting": {"failoverPriority": ["app", "version"]}}

    found = priorities(
        block,
        endpoint("", app="shop", version="v1"),
        endpoint("", app="shop", version="v2"),
        endpoint("", app="other", version="v1"),
    )

    assert found == [0, 1, 2]


def test_a_label_may_be_compared_with_a_given_value() -> None:
    block = {"localityLbSetting": {"failoverPriority": ["version=v2"]}}

    assert priorities(block, endpoint("", version="v1"), endpoint("", version="v2")) == [1, 0]


def test_another_network_counts_as_a_whole_round() -> None:
    block = {"localityLbSetting": {"failoverPriority": ["topology.istio.io/network", "topology.kubernetes.io/region"]}}

    found = priorities(
        block,
        endpoint("us", network="net"),
        endpoint("eu", network="net"),
        endpoint("us", network="far"),
        endpoint("eu", network="far"),
    )

    assert found == [0, 1, 2, 3]


def test_failover_refines_failover_priority() -> None:
    block = {"localityLbSetting": {"failoverPriority": ["app"], "failover": [{"from": "us", "to": "eu"}]}}

    found = priorities(
        block,
        endpoint("us/a/1", app="shop"),
        endpoint("eu/a/1", app="shop"),
        endpoint("us/a/1", app="other"),
        endpoint("asia", app="other"),
    )

    assert found == [0, 1, 2, 3]


def test_a_service_may_prefer_its_zone_without_outlier_detection() -> None:
    found = priorities(
        None, endpoint("us/a", network="net"), endpoint("us/b", network="net"), failover=False, service="zone"
    )

    assert found == [0, 1]


def test_zone_awareness_ranks_regions_only() -> None:
    block = {"zoneAwareLbSetting": {"failover": [{"from": "us", "to": "eu"}]}}

    assert priorities(block, failover=False) == [0, 0, 0, 1, 2, 2]
    assert priorities({"zoneAwareLbSetting": {"enabled": False}}) == [0] * 6


def test_distribution_gives_shares_and_leaves_out_what_it_does_not_list() -> None:
    block = {"localityLbSetting": {"distribute": [{"from": "us/a/*", "to": {"us/a/*": 80, "eu/*": 20}}]}}

    found, weights = placed(block, failover=False)

    assert found == [("us/a/1", 0), ("us/a/2", 0), ("eu/a/1", 0)]
    assert weights == {"us/a/1": 40, "us/a/2": 40, "eu/a/1": 20}


def test_a_share_is_split_by_the_weights_of_the_endpoints() -> None:
    block = {"localityLbSetting": {"distribute": [{"from": "us", "to": {"us": 100}}]}}

    _, weights = placed(block, endpoint("us/a", 3), endpoint("us/b"), endpoint("us/b", 2))

    assert weights == {"us/a": 50, "us/b": 50}


def test_a_distribution_for_others_changes_nothing() -> None:
    block = {"localityLbSetting": {"distribute": [{"from": "eu/*", "to": {"eu/*": 100}}]}}

    found, weights = placed(block)

    assert len(found) == 6
    assert weights is None
