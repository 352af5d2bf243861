from collections.abc import Callable

import pytest


def in_rule(balancer: str) -> str:
    return f"host: a\ntrafficPolicy: {{loadBalancer: {balancer}}}"


@pytest.mark.parametrize(
    ("balancer", "path", "part"),
    [
        ("{simple: RANDOM, consistentHash: {useSourceIp: true}}", "", "exclude each other"),
        ("{consistentHash: {httpHeaderName: x, useSourceIp: true}}", ".consistentHash", "exclude each other"),
        ("{consistentHash: {ringHash: {}, maglev: {tableSize: 7}}}", ".consistentHash", "exclude each other"),
        ("{consistentHash: {httpCookie: {name: ''}}}", ".consistentHash.httpCookie.name", "is required"),
        (
            "{consistentHash: {httpCookie: {name: a, attributes: [{name: b}, {name: b}]}}}",
            ".consistentHash.httpCookie.attributes[1].name",
            "there twice",
        ),
        (
            "{consistentHash: {httpCookie: {name: a, attributes: [{name: ''}]}}}",
            ".consistentHash.httpCookie.attributes[0].name",
            "is required",
        ),
        ("{consistentHash: {maglev: {}}}", ".consistentHash.maglev.tableSize", "prime"),
        ("{consistentHash: {maglev: {tableSize: 10}}}", ".consistentHash.maglev.tableSize", "prime"),
        ("{consistentHash: {maglev: {tableSize: 5000011}}}", ".consistentHash.maglev.tableSize", "below 5000011"),
        ("{localityLbSetting: {}, zoneAwareLbSetting: {}}", "", "exclude each other"),
        ("{warmup: {duration: 1s, minimumPercent: 101}}", ".warmup.minimumPercent", "0 to 100"),
        ("{warmup: {duration: 1s, aggression: 0}}", ".warmup.aggression", "above 0"),
        ("{warmup: {}}", ".warmup.duration", "is required"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], balancer: str, path: str, part: str) -> None:
    expect("DestinationRule", in_rule(balancer), f"trafficPolicy.loadBalancer{path}", part)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 65537, 4999999])
def test_primes_are_maglev_tables(judge: Callable[..., list[object]], size: int) -> None:
    assert judge("DestinationRule", in_rule(f"{{consistentHash: {{maglev: {{tableSize: {size}}}}}}}")) == []


def test_a_ring_has_a_largest_size(expect: Callable[..., None]) -> None:
    path, part = "trafficPolicy.loadBalancer.consistentHash", "more than a ring may have"
    hashing = "{useSourceIp: true, ringHash: {minimumRingSize: 8388609}}"
    expect(
        "DestinationRule",
        in_rule(f"{{consistentHash: {hashing}}}"),
        f"{path}.ringHash.minimumRingSize",
        part,
        "warning",
    )
