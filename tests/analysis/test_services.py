from __future__ import annotations

from collections.abc import Callable

from tests.analysis.conftest import REVIEWS, Find

ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME}
spec: {hosts: [api.example.com], exportTo: EXPORT, resolution: DNS, ports: [{number: 80, name: a, protocol: PROTOCOL}]}
---
"""


def entry(name: str, protocol: str, export: str) -> str:
    return ENTRY.replace("NAME", name).replace("PROTOCOL", protocol).replace("EXPORT", export)


def test_protocols_clash_where_an_audience_sees_both(told: Callable[[str], list[str]]) -> None:
    clash = ["IST0177 metadata.name"] * 2
    assert told(entry("one", "HTTP", "['*']") + entry("two", "HTTPS", "[.]")) == clash
    assert told(entry("one", "HTTP", "[shop]") + entry("two", "HTTPS", "[.]")) == []
    assert told(entry("one", "HTTP", "['*']") + entry("two", "http", "['*']")) == []


def test_a_duplicate_says_where_the_first_one_is(find: Find) -> None:
    [found] = [each for each in find(REVIEWS) if each.code == "PYP0107"]
    assert "a.yaml:1: a cluster would keep one of them" in found.message


def test_a_service_in_front_of_a_gateways_proxies_needs_no_endpoints(told: Callable[[str], list[str]]) -> None:
    service = """\
apiVersion: v1
kind: Service
metadata: {name: edge}
spec: {selector: {istio: edge}, ports: [{name: http, port: 80}]}
---
"""
    gateway = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec: {selector: {istio: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example.com]}]}
"""
    assert told(service) == ["PYP0108 spec.selector"]
    assert told(service + gateway) == []
