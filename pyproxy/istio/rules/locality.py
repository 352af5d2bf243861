"""How regions, zones and subzones share traffic and stand in for each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyproxy.istio.networking.destination_rule import (
    Distribute,
    Failover,
    LocalityLoadBalancerSetting,
    ZoneAwareLoadBalancerSetting,
)
from pyproxy.istio.rules.place import Place

_TOPOLOGY_LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")


def check_locality(setting: LocalityLoadBalancerSetting | None, place: Place, *, has_outliers: bool) -> None:
    """Shares that make a hundred, or regions that stand in for others."""
    if setting is None:
        return
    if setting.distribute and setting.failover:
        place.error("distribute and failover exclude each other: set one of them")
    if setting.failover:
        for index, label in enumerate(setting.failover_priority):
            if label in _TOPOLOGY_LABELS:
                place.at("failoverPriority", index).error(f"failover excludes {label}, which it orders itself")
    for index, distribute in enumerate(setting.distribute):
        _check_shares(distribute, place.at("distribute", index))
    _check_overlaps([distribute.from_ or "" for distribute in setting.distribute], place.at("distribute"))
    _check_failover(setting.failover, place.at("failover"))
    _warn_without_outliers(setting, place, has_outliers=has_outliers)


def check_zone_aware(setting: ZoneAwareLoadBalancerSetting | None, place: Place, *, has_outliers: bool) -> None:
    """Regions alone: zones are handled by themselves."""
    if setting is None:
        return
    for index, label in enumerate(setting.failover_priority):
        if label in _TOPOLOGY_LABELS:
            place.at("failoverPriority", index).error(f"{label} is ordered anyway: leave it out")
    if setting.min_cluster_size == 0:
        place.at("minClusterSize").error("must be 1 or more")
    _check_failover(setting.failover, place.at("failover"))
    _warn_without_outliers(setting, place, has_outliers=has_outliers)


def _warn_without_outliers(
    setting: LocalityLoadBalancerSetting | ZoneAwareLoadBalancerSetting, place: Place, *, has_outliers: bool
) -> None:
    if (setting.failover or setting.failover_priority) and not has_outliers:
        place.warning("nothing fails over without outlierDetection")


def _check_failover(failover: Sequence[Failover], place: Place) -> None:
    for index, one in enumerate(failover):
        at = place.at(index)
        if one.from_ == one.to:
            at.error("from and to must be different regions")
        for name, region in (("from", one.from_ or ""), ("to", one.to or "")):
            if "/" in region or "*" in region:
                at.at(name).error(f'must be a region alone, without / and *, not "{region}"')


def _check_shares(distribute: Distribute, place: Place) -> None:
    for locality, share in distribute.to.items():
        if not 1 <= share <= 100:
            place.at("to", locality).error(f"must be from 1 to 100, not {share}")
    total = sum(distribute.to.values())
    if total != 100:
        place.at("to").error(f"the shares must make 100 together, not {total}")
    _check_overlaps(distribute.to, place.at("to"))


def _check_overlaps(localities: Iterable[str], place: Place) -> None:
    """Localities that are well formed, none of which holds another."""
    seen: list[list[str]] = []
    for locality in localities:
        parts = locality.split("/", 2)
        if "*" in locality and (locality.count("*") > 1 or not locality.endswith("*")):
            place.error(f'in "{locality}" * may stand only once, at the end')
        elif "" in parts:
            place.error(f'"{locality}" must be region, region/zone or region/zone/subzone, with no part empty')
        else:
            parts = parts[:-1] if parts[-1] == "*" else parts
            if any(_same_start(parts, other) for other in seen):
                place.error(f'"{locality}" overlaps with another one')
            seen.append(parts)


def _same_start(one: list[str], other: list[str]) -> bool:
    return all(a == b for a, b in zip(one, other, strict=False))
