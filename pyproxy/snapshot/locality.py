"""Locality load balancing: which endpoints come first, which localities get which share, seen from one proxy.

Source: Istio pilot/pkg/networking/core/loadbalancer/loadbalancer.go, pilot/pkg/networking/util/util.go (LbPriority).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pyproxy.istio.networking.destination_rule import (
    Distribute,
    Failover,
    LoadBalancerSettings,
    LocalityLoadBalancerSetting,
    ZoneAwareLoadBalancerSetting,
)
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import Endpoint, Identity

_NETWORK = "topology.istio.io/network"
_PLACES = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")
_NEAR = {
    "zone": (_NETWORK, *_PLACES[:2]),
    "node": (_NETWORK, *_PLACES, "kubernetes.io/hostname"),
}
_ENABLED = LocalityLoadBalancerSetting.model_construct()
Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class LocalitySetting:
    """The one setting in effect for a service."""

    distribute: tuple[Distribute, ...] = ()
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    forced: bool = False
    """Failover holds without outlierDetection too."""
    regions_only: bool = False
    """zoneAwareLbSetting: zones of the own region are alike."""


def effective_setting(
    block: LoadBalancerSettings | None, traffic_distribution: str, mesh: MeshSettings
) -> LocalitySetting | None:
    """The rule's, else the service's, else the mesh's; of two the zone-aware one. None: localities are all alike."""
    if block is not None and block.zone_aware_lb_setting is not None:
        return _zone_aware(block.zone_aware_lb_setting)
    if block is not None and block.locality_lb_setting is not None:
        return _plain(block.locality_lb_setting)
    if traffic_distribution:
        return LocalitySetting(failover_priority=_NEAR[traffic_distribution], forced=True)
    if mesh.config.zone_aware_lb_setting is not None:
        return _zone_aware(mesh.config.zone_aware_lb_setting)
    return _plain(mesh.config.locality_lb_setting or _ENABLED)


def _plain(setting: LocalityLoadBalancerSetting) -> LocalitySetting | None:
    if setting.enabled is False:
        return None
    return LocalitySetting(setting.distribute, setting.failover, setting.failover_priority)


def _zone_aware(setting: ZoneAwareLoadBalancerSetting) -> LocalitySetting | None:
    if setting.enabled is False:
        return None
    return LocalitySetting(
        failover=setting.failover, failover_priority=setting.failover_priority, forced=True, regions_only=True
    )


def place_endpoints(
    endpoints: Sequence[Endpoint], setting: LocalitySetting | None, identity: Identity, *, failover: bool
) -> tuple[tuple[Endpoint, ...], Mapping[str, int] | None]:
    """The endpoints with their priorities, and the weights of localities where `distribute` gives some.

    `failover`: the service has outlierDetection, without which priorities would never change hands.
    """
    if setting is None or not endpoints:
        return tuple(endpoints), None
    if setting.distribute:
        return _distributed(endpoints, setting.distribute, _place(identity.locality))
    if not (failover or setting.forced):
        return tuple(endpoints), None
    priorities = [0] * len(endpoints)
    if setting.failover_priority and identity.labels:
        priorities = _label_priorities(endpoints, setting.failover_priority, identity)
    if not setting.failover_priority or setting.failover or setting.regions_only:
        ours = _place(identity.locality)
        rank = _region_rank if setting.regions_only else _place_rank
        priorities = [
            priority * 5 + rank(ours, _place(endpoint.locality), setting.failover)
            for priority, endpoint in zip(priorities, endpoints, strict=True)
        ]
    return _with_priorities(endpoints, priorities), None


def _with_priorities(endpoints: Sequence[Endpoint], priorities: Sequence[int]) -> tuple[Endpoint, ...]:
    """Numbers from 0 without gaps, as Envoy wants them."""
    order = {priority: index for index, priority in enumerate(sorted(set(priorities)))}
    return tuple(
        endpoint if order[priority] == 0 else replace(endpoint, priority=order[priority])
        for endpoint, priority in zip(endpoints, priorities, strict=True)
    )


# Failover


def _place(locality: str) -> Place:
    region, _, rest = locality.partition("/")
    zone, _, subzone = rest.partition("/")
    return region, zone, subzone


def _place_rank(ours: Place, theirs: Place, failover: Iterable[Failover]) -> int:
    """0 same subzone, 1 same zone, 2 same region, 3 elsewhere, 4 elsewhere though our region fails over to another."""
    if ours[0] == theirs[0]:
        return 2 if ours[1] != theirs[1] else int(ours[2] != theirs[2])
    for each in failover:
        if each.from_ == ours[0]:
            return 3 if theirs[0] == each.to else 4
    return 3


def _region_rank(ours: Place, theirs: Place, failover: Iterable[Failover]) -> int:
    """0 same region, 1 the region that ours fails over to, 2 elsewhere."""
    if ours[0] == theirs[0]:
        return 0
    for each in failover:
        if each.from_ == ours[0]:
            return 1 if theirs[0] == each.to else 2
    return 2


def _label_priorities(endpoints: Iterable[Endpoint], wanted: Sequence[str], identity: Identity) -> list[int]:
    """By how many of the wanted labels agree with ours, in order; another network counts as a whole round more."""
    ours = _topology(identity.labels, identity.locality, identity.network)
    pairs = []
    for entry in wanted:
        label, equals, value = entry.partition("=")
        pairs.append((label, value if equals else ours.get(label, "")))
    return [_label_priority(endpoint, pairs) for endpoint in endpoints]


def _label_priority(endpoint: Endpoint, wanted: Sequence[tuple[str, str]]) -> int:
    theirs = _topology(endpoint.labels, endpoint.locality, endpoint.network)
    extra = 0
    for index, (label, value) in enumerate(wanted):
        if theirs.get(label, "") != value:
            if index == 0 and label == _NETWORK:
                extra = len(wanted)
                continue
            return len(wanted) - index + extra
    return extra


def _topology(labels: Mapping[str, str], locality: str, network: str) -> dict[str, str]:
    """The labels with those that Istio adds for the place of a workload."""
    added = dict(zip(_PLACES, _place(locality), strict=True)) | {_NETWORK: network}
    return {name: value for name, value in added.items() if value} | dict(labels)


# Distribution


def _distributed(
    endpoints: Sequence[Endpoint], distribute: Iterable[Distribute], ours: Place
) -> tuple[tuple[Endpoint, ...], Mapping[str, int] | None]:
    """Shares from the first entry for our place. Endpoints in localities that it does not list are left out."""
    for entry in distribute:
        if _covers(entry.from_ or "", ours):
            break
    else:
        return tuple(endpoints), None
    sizes: dict[str, int] = {}
    for endpoint in endpoints:
        sizes[endpoint.locality] = sizes.get(endpoint.locality, 0) + endpoint.weight
    weights: dict[str, int] = {}
    for pattern, share in entry.to.items():
        chosen = [each for each in sizes if each not in weights and _covers(pattern, _place(each))]
        total = sum(sizes[each] for each in chosen)
        weights |= {each: math.ceil(sizes[each] * share / total) for each in chosen}
    return tuple(endpoint for endpoint in endpoints if endpoint.locality in weights), weights


def _covers(pattern: str, place: Place) -> bool:
    """`region/zone/subzone`, each part a name, `*`, or left out below the region."""
    region, zone, subzone = _place(pattern)
    return region in ("*", place[0]) and zone in ("*", "", place[1]) and subzone in ("*", "", place[2])
