"""Which host gets what: hashing, weights, localities and their failover, as with a real Envoy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.differential.istio_as_envoy import Host
from tests.differential.resilience import Ask, Comparison, Scenario, Seen, Wait
from tests.differential.scripted_hosts import answer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
FLAGS = ("--workload", "client", "--seed", "3")

KEYS = [f"key-{number}" for number in range(40)]
FIVE = [Host(index) for index in range(5)]
BAD = [answer(500)]
LONG = {"interval": "60s", "baseEjectionTime": "60s", "consecutive5xxErrors": 1, "maxEjectionPercent": 100}
NO_RETRIES = {"retries": {"attempts": 0}}


def by(what: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A trafficPolicy of consistent hashing."""
    return {"loadBalancer": {"consistentHash": {**what, **more}}}


def hashed(policy: dict[str, Any], asks: Sequence[Any], hosts: Sequence[Host] = FIVE, **more: Any) -> Scenario:
    return Scenario(policy=policy, asks=asks, hosts=hosts, placed=True, **more)


HEADER = {"httpHeaderName": "x-key"}
WITH_HEADER = [Ask(headers={"x-key": key}) for key in KEYS]
EJECTING = {"outlierDetection": LONG}
HASHED = {
    "ring by header": hashed(by(HEADER), WITH_HEADER),
    "ring by header, once more": hashed(by({"httpHeaderName": "X-Key"}), WITH_HEADER),
    "ring of 10": hashed(by(HEADER, ringHash={"minimumRingSize": 10}), WITH_HEADER),
    "ring of 5000": hashed(by(HEADER, ringHash={"minimumRingSize": 5000}), WITH_HEADER),
    "maglev by header": hashed(by(HEADER, maglev={"tableSize": 65537}), WITH_HEADER),
    "maglev of 101": hashed(by(HEADER, maglev={"tableSize": 101}), WITH_HEADER),
    "ring with weights": hashed(by(HEADER), WITH_HEADER, [Host(0, weight=1), Host(1, weight=5), Host(2, weight=2)]),
    "maglev with weights": hashed(
        by(HEADER, maglev={"tableSize": 65537}), WITH_HEADER, [Host(0, weight=1), Host(1, weight=5), Host(2, weight=2)]
    ),
    "ring by query parameter": hashed(
        by({"httpQueryParameterName": "user"}), [Ask(path=f"/x?a=b&user={key}&user=other") for key in KEYS]
    ),
    "ring by cookie": hashed(
        by({"httpCookie": {"name": "user"}}), [Ask(headers={"cookie": f"a=b; user={key}"}) for key in KEYS]
    ),
    "ring by cookie with a ttl": hashed(
        by({"httpCookie": {"name": "user", "ttl": "60s"}}), [Ask(headers={"cookie": f"user={key}"}) for key in KEYS]
    ),
    "ring by source address": hashed(by({"useSourceIp": True}), [Ask(times=5)]),
    "ring by source address that was forwarded": hashed(
        by({"useSourceIp": True}), [Ask(headers={"x-forwarded-for": f"10.0.0.{number}"}) for number in range(20)]
    ),
    "ring by authority": hashed(by({"httpHeaderName": ":authority"}), [Ask(times=3)]),
    "ring, one ejected": hashed(
        {**by(HEADER), **EJECTING},
        [action for each in WITH_HEADER for action in (each, Wait(0.03))] + WITH_HEADER,
        script={0: BAD},
        route=NO_RETRIES,
    ),
    "maglev, one ejected": hashed(
        {**by(HEADER, maglev={"tableSize": 65537}), **EJECTING},
        [action for each in WITH_HEADER for action in (each, Wait(0.03))] + WITH_HEADER,
        script={0: BAD},
        route=NO_RETRIES,
    ),
    "ring, tried again": hashed(
        by(HEADER), WITH_HEADER, script={0: BAD, 3: BAD}, route={"retries": {"attempts": 3, "retryOn": "5xx"}}
    ),
    "maglev, tried again": hashed(
        by(HEADER, maglev={"tableSize": 65537}),
        WITH_HEADER,
        script={0: BAD, 3: BAD},
        route={"retries": {"attempts": 3, "retryOn": "5xx", "backoff": "1ms"}},
    ),
    "ring, refused": hashed(by(HEADER), WITH_HEADER, [Host(0), Host("refuses"), Host(2)]),
}


# Chance


def spread(*expected: float) -> Callable[[Seen], None]:
    """The shares of the hosts, within five standard deviations."""

    def check(seen: Seen) -> None:
        found, total = seen.by_host, sum(seen.by_host.values())
        for host, share in enumerate(expected):
            bound = 5 * (total * share * (1 - share)) ** 0.5
            assert abs(found[host] - total * share) <= bound, found

    return check


def exactly(*expected: int) -> Callable[[Seen], None]:
    """So many requests for each host, give or take one, whose turn is next."""

    def check(seen: Seen) -> None:
        for host, count in enumerate(expected):
            assert abs(seen.by_host[host] - count) <= 1, seen.by_host

    return check


def chance(check: Callable[[Seen], None], **more: Any) -> Scenario:
    return Scenario(**{"asks": [Ask(at_once=8, times=50)], "check": check, "compared": False, **more})


def simple(kind: str) -> dict[str, Any]:
    return {"loadBalancer": {"simple": kind}}


THREE = [Host(0), Host(1), Host(2)]
WEIGHTED = [Host(0, weight=1), Host(1, weight=2), Host(2, weight=5)]


def the_fast_gets_more(seen: Seen) -> None:
    found = seen.by_host
    assert found[1] > 1.15 * found[0], found


SPREAD = {
    "round robin": chance(exactly(40, 40, 40), hosts=THREE, policy=simple("ROUND_ROBIN"), asks=[Ask(times=120)]),
    "round robin with weights": chance(
        exactly(20, 40, 100), hosts=WEIGHTED, policy=simple("ROUND_ROBIN"), asks=[Ask(times=160)]
    ),
    "random": chance(spread(1 / 3, 1 / 3, 1 / 3), hosts=THREE, policy=simple("RANDOM")),
    "random pays no heed to weights": chance(spread(1 / 3, 1 / 3, 1 / 3), hosts=WEIGHTED, policy=simple("RANDOM")),
    "least request, all idle": chance(spread(1 / 3, 1 / 3, 1 / 3), hosts=THREE, asks=[Ask(times=300)]),
    "least request with weights": chance(exactly(20, 40, 100), hosts=WEIGHTED, asks=[Ask(times=160)]),
    "least request avoids the busy": chance(
        the_fast_gets_more,
        hosts=[Host(0), Host(1)],
        script={0: [answer(wait=0.3)], 1: [answer(wait=0.005)]},
        asks=[Ask(at_once=8, times=12)],
    ),
    "a hash that is not there": chance(spread(1 / 3, 1 / 3, 1 / 3), hosts=THREE, policy=by(HEADER)),
    "weight 80 to 20": chance(spread(0.8, 0.2), hosts=[Host(0), Host(1)], route={"weights": {"a": 80, "b": 20}}),
    "weight 99 to 1": chance(spread(0.99, 0.01), hosts=[Host(0), Host(1)], route={"weights": {"a": 99, "b": 1}}),
    "weight 0": chance(spread(1.0, 0.0), hosts=[Host(0), Host(1)], route={"weights": {"a": 100, "b": 0}}),
    "three weights": chance(spread(0.5, 0.3, 0.2), hosts=THREE, route={"weights": {"a": 50, "b": 30, "c": 20}}),
}


# Places


def here(*kinds: int, priority: int = 0) -> list[Host]:
    return [Host(kind, locality="here/a/1", priority=priority) for kind in kinds]


def near(*kinds: int, priority: int = 1) -> list[Host]:
    return [Host(kind, locality="here/b/1", priority=priority) for kind in kinds]


def far(*kinds: int, priority: int = 2) -> list[Host]:
    return [Host(kind, locality="there/a/1", priority=priority) for kind in kinds]


def failing(*kinds: int) -> dict[int, Any]:
    return dict.fromkeys(kinds, BAD)


def only_after_ejections(*expected: float, ejections: int) -> Callable[[Seen], None]:
    """The shares of the answers once every bad host is out."""

    def check(seen: Seen) -> None:
        assert seen.statuses.count(500) == ejections, seen.statuses
        hosts = Counter(attempt.host for attempt in seen.attempts if attempt.ask >= "0040")
        total = sum(hosts.values())
        for host, share in enumerate(expected):
            bound = 5 * (total * share * (1 - share)) ** 0.5
            assert abs(hosts[host] - total * share) <= bound, hosts

    return check


def placed(hosts: list[Host], check: Callable[[Seen], None], script: Any = None, **locality: Any) -> Scenario:
    """Forty requests that eject who is bad, and three hundred more."""
    setting = {"localityLbSetting": locality} if locality else {}
    policy = {"loadBalancer": {"simple": "ROUND_ROBIN", **setting}, "outlierDetection": LONG}
    first = [action for _ in range(40) for action in (Ask(), Wait(0.02))]
    asks = [*first, Ask(at_once=5, times=60)]
    return Scenario(
        hosts=hosts,
        script=script or {},
        route=NO_RETRIES,
        policy=policy,
        asks=asks,
        check=check,
        compared=False,
    )


PLACES = {
    "all at home": placed(here(0, 1) + near(2) + far(3), only_after_ejections(0.5, 0.5, 0, 0, ejections=0)),
    "nobody at home": placed(near(0, priority=0) + far(1, priority=1), only_after_ejections(1, 0, ejections=0)),
    "home fails, the next zone takes over": placed(
        here(0) + near(1) + far(2), only_after_ejections(0, 1, 0, ejections=1), failing(0)
    ),
    "the region fails, another takes over": placed(
        here(0) + near(1) + far(2), only_after_ejections(0, 0, 1, ejections=2), failing(0, 1)
    ),
    "half of home fails": placed(  # 140 % of a half is 70 %
        here(0, 1) + near(2), only_after_ejections(0, 0.7, 0.3, ejections=1), failing(0)
    ),
    "a third of home fails": placed(  # 140 % of two thirds is 93 %
        here(0, 1, 2) + near(3), only_after_ejections(0, 0.465, 0.465, 0.07, ejections=1), failing(0)
    ),
    "a quarter of home fails": placed(  # 140 % of three quarters is enough
        here(0, 1, 2, 3) + near(4), only_after_ejections(0, 1 / 3, 1 / 3, 1 / 3, 0, ejections=1), failing(0)
    ),
    "three quarters of home fail": placed(
        here(0, 1, 2, 3) + near(4), only_after_ejections(0, 0, 0, 0.35, 0.65, ejections=3), failing(0, 1, 2)
    ),
    "half of both fail": placed(
        here(0, 1) + near(2, 3), only_after_ejections(0, 0.7, 0, 0.3, ejections=2), failing(0, 2)
    ),
    "locality off": placed(
        here(0, priority=0) + near(1, priority=0) + far(2, priority=0),
        only_after_ejections(1 / 3, 1 / 3, 1 / 3, ejections=0),
        enabled=False,
    ),
    "failover to a region of one's choice": placed(
        [*here(0), Host(1, locality="elsewhere/a/1", priority=2), *far(2, priority=1)],
        only_after_ejections(0, 0, 1, ejections=1),
        failing(0),
        failover=[{"from": "here", "to": "there"}],
    ),
    "failoverPriority, a label that two places share": placed(
        here(0) + near(1, priority=0) + far(2, priority=1),
        only_after_ejections(0.5, 0.5, 0, ejections=0),
        failoverPriority=["topology.kubernetes.io/region"],
    ),
    "failoverPriority, who shares more comes first": placed(
        here(0) + near(1, priority=1) + far(2, priority=2),
        only_after_ejections(0, 1, 0, ejections=1),
        failing(0),
        failoverPriority=["topology.kubernetes.io/region", "topology.kubernetes.io/zone"],
    ),
    "failoverPriority, all that share fail": placed(
        here(0) + near(1, priority=0) + far(2, priority=1),
        only_after_ejections(0, 0, 1, ejections=2),
        failing(0, 1),
        failoverPriority=["topology.kubernetes.io/region"],
    ),
    "distribute": placed(
        here(0, priority=0) + near(1, priority=0) + far(2, priority=0),
        only_after_ejections(0.6, 0.3, 0.1, ejections=0),
        distribute=[{"from": "here/*", "to": {"here/a/*": 60, "here/b/*": 30, "there/*": 10}}],
    ),
    "distribute leaves a place out": placed(
        here(0, priority=0) + near(1, priority=0),
        only_after_ejections(0.8, 0.2, ejections=0),
        distribute=[{"from": "here/*", "to": {"here/a/*": 80, "here/b/*": 20}}],
    ),
    "distribute, a place fails": placed(
        here(0, priority=0) + near(1, priority=0),
        only_after_ejections(0, 1.0, ejections=1),
        failing(0),
        distribute=[{"from": "here/*", "to": {"here/a/*": 80, "here/b/*": 20}}],
    ),
    "distribute, half a place fails": placed(  # 80 times 0.7 to 20
        here(0, 1, priority=0) + near(2, priority=0),
        only_after_ejections(0, 56 / 76, 20 / 76, ejections=1),
        failing(0),
        distribute=[{"from": "here/*", "to": {"here/a/*": 80, "here/b/*": 20}}],
    ),
    "retryRemoteLocalities": Scenario(
        hosts=here(0) + near(1),
        script={0: BAD},
        route={"retries": {"attempts": 3, "retryOn": "5xx", "backoff": "1ms", "retryRemoteLocalities": True}},
        policy={"outlierDetection": {**LONG, "consecutive5xxErrors": 0}},
        asks=[Ask(times=10)],
        placed=True,
    ),
    "retries stay at home": Scenario(
        hosts=here(0) + near(1),
        script={0: BAD},
        route={"retries": {"attempts": 3, "retryOn": "5xx", "backoff": "1ms"}},
        policy={"outlierDetection": {**LONG, "consecutive5xxErrors": 0}},
        asks=[Ask(times=5)],
        placed=True,
    ),
}

SCENARIOS = {**HASHED, **SPREAD, **PLACES}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_hosts_are_chosen(name: str, comparison: Comparison) -> None:
    assert not comparison.trouble(name)
