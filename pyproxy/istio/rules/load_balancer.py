"""Load balancers: consistent hashing, warm-up, and how localities share the traffic."""

from __future__ import annotations

from math import isqrt

from pyproxy.istio.networking.destination_rule import (
    ConsistentHashLB,
    HTTPCookie,
    LoadBalancerSettings,
    WarmupConfiguration,
)
from pyproxy.istio.problems import WITHOUT_EFFECT
from pyproxy.istio.rules.locality import check_locality, check_zone_aware
from pyproxy.istio.rules.place import Place

_LARGEST_MAGLEV_TABLE = 5_000_011
_LARGEST_RING = 8_388_608
"""Envoy's bound on it (cluster.proto); Istio has none."""


def check_load_balancer(settings: LoadBalancerSettings | None, place: Place, *, has_outliers: bool) -> None:
    """`has_outliers` when outlier detection is set beside it, without which nothing fails over."""
    if settings is None:
        return
    if settings.consistent_hash is not None:
        _check_hash(settings.consistent_hash, place.at("consistentHash"))
    if settings.locality_lb_setting is not None and settings.zone_aware_lb_setting is not None:
        place.error("localityLbSetting and zoneAwareLbSetting exclude each other: set one of them")
    check_locality(settings.locality_lb_setting, place.at("localityLbSetting"), has_outliers=has_outliers)
    check_zone_aware(settings.zone_aware_lb_setting, place.at("zoneAwareLbSetting"), has_outliers=has_outliers)
    if settings.warmup is not None:
        _check_warmup(settings.warmup, place.at("warmup"))


def _check_hash(settings: ConsistentHashLB, place: Place) -> None:
    if settings.http_cookie is not None:
        _check_cookie(settings.http_cookie, place.at("httpCookie"))
    if settings.minimum_ring_size and (settings.ring_hash is not None or settings.maglev is not None):
        place.at("minimumRingSize").error("ringHash and maglev exclude it")
    ring = settings.ring_hash.minimum_ring_size if settings.ring_hash is not None else settings.minimum_ring_size
    if ring and ring > _LARGEST_RING:
        at = place.at("ringHash", "minimumRingSize") if settings.ring_hash is not None else place.at("minimumRingSize")
        at.warning(f"is more than a ring may have: {_LARGEST_RING}", WITHOUT_EFFECT)
    if settings.maglev is not None:
        size = settings.maglev.table_size or 0
        if not 0 < size < _LARGEST_MAGLEV_TABLE or not _is_prime(size):
            place.at("maglev", "tableSize").error(f"must be a prime below {_LARGEST_MAGLEV_TABLE}, not {size}")


def _check_cookie(cookie: HTTPCookie, place: Place) -> None:
    if not cookie.name:
        place.at("name").error("is required")
    seen: set[str] = set()
    for index, attribute in enumerate(cookie.attributes):
        at = place.at("attributes", index, "name")
        if not attribute.name:
            at.error("is required")
        elif attribute.name in seen:
            at.error(f"{attribute.name} is there twice")
        seen.add(attribute.name)


def _is_prime(number: int) -> bool:
    """As Envoy sees it, for which 1 is one too."""
    if number < 4:
        return number > 0
    return number % 2 == 1 and all(number % factor for factor in range(3, isqrt(number) + 1, 2))


def _check_warmup(warmup: WarmupConfiguration, place: Place) -> None:
    percent, aggression = warmup.minimum_percent, warmup.aggression
    if percent is not None and not 0 <= percent <= 100:
        place.at("minimumPercent").error(f"must be from 0 to 100, not {percent:g}")
    if aggression is not None and aggression <= 0:
        place.at("aggression").error(f"must be above 0, not {aggression:g}")
