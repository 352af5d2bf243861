from collections.abc import Callable

import pytest

from pyproxy.istio.problems import Problem


def in_rule(setting: str, field: str = "localityLbSetting") -> str:
    return f"host: a\ntrafficPolicy: {{loadBalancer: {{{field}: {setting}}}, outlierDetection: {{}}}}"


@pytest.mark.parametrize(
    ("setting", "path", "part"),
    [
        ("{distribute: [{from: a, to: {b: 100}}], failover: [{from: a, to: b}]}", "", "exclude each other"),
        ("{distribute: [{from: a, to: {b: 60, c: 50}}]}", ".distribute[0].to", "100 together, not 110"),
        ("{distribute: [{from: a, to: {b: 0, c: 100}}]}", ".distribute[0].to.b", "1 to 100"),
        ("{distribute: [{from: a, to: {'b/*': 50, b/c: 50}}]}", ".distribute[0].to", "overlaps"),
        ("{distribute: [{from: a, to: {'*/b': 100}}]}", ".distribute[0].to", "at the end"),
        ("{distribute: [{from: a//b, to: {b: 100}}]}", ".distribute", "no part empty"),
        ("{distribute: [{from: a/b, to: {b: 100}}, {from: a/b/*, to: {b: 100}}]}", ".distribute", "overlaps"),
        ("{failover: [{from: a, to: a}]}", ".failover[0]", "different regions"),
        ("{failover: [{from: a/b, to: c}]}", ".failover[0].from", "region alone"),
        ("{failover: [{from: a, to: '*'}]}", ".failover[0].to", "region alone"),
        (
            "{failover: [{from: a, to: b}], failoverPriority: [topology.istio.io/subzone]}",
            ".failoverPriority[0]",
            "excludes",
        ),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], setting: str, path: str, part: str) -> None:
    expect("DestinationRule", in_rule(setting), f"trafficPolicy.loadBalancer.localityLbSetting{path}", part)


@pytest.mark.parametrize(
    ("setting", "path", "part"),
    [
        ("{failoverPriority: [topology.kubernetes.io/zone]}", ".failoverPriority[0]", "ordered anyway"),
        ("{minClusterSize: 0}", ".minClusterSize", "1 or more"),
        ("{failover: [{from: a, to: a}]}", ".failover[0]", "different regions"),
    ],
)
def test_zones_have_rules_of_their_own(expect: Callable[..., None], setting: str, path: str, part: str) -> None:
    where = f"trafficPolicy.loadBalancer.zoneAwareLbSetting{path}"
    expect("DestinationRule", in_rule(setting, "zoneAwareLbSetting"), where, part)


def test_nothing_fails_over_without_outlier_detection(judge: Callable[..., list[Problem]]) -> None:
    spec = "host: a\ntrafficPolicy: {loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}}"
    assert [(one.severity, one.message) for one in judge("DestinationRule", spec)] == [
        ("warning", "nothing fails over without outlierDetection")
    ]


def test_localities_apart_and_a_wildcard_at_the_end_are_right(judge: Callable[..., list[object]]) -> None:
    setting = "{distribute: [{from: eu/*, to: {eu/a/1: 20, eu/a/2: 20, 'eu/b/*': 60}}, {from: us/*, to: {us: 100}}]}"
    assert judge("DestinationRule", in_rule(setting)) == []
