from __future__ import annotations

from typing import Any

from pyproxy.envoy.inspectors import HTTP, TLS, listener_filters
from pyproxy.snapshot.model import ListenerKind

OUTBOUND, NAMED = ListenerKind.OUTBOUND_CAPTURE, ListenerKind.NAMED


def chain(**match: Any) -> dict[str, Any]:
    return {"filter_chain_match": match} if match else {}


def filters(kind: ListenerKind, *chains: dict[str, Any]) -> dict[str, Any]:
    """Filter → where it is off."""
    found: Any = listener_filters(kind, chains).get("listener_filters", [])
    return {each["name"].rpartition(".")[2]: each.get("filter_disabled") for each in found}


def ports(*numbers: int) -> Any:
    rules = [{"destination_port_range": {"start": number, "end": number + 1}} for number in numbers]
    return rules[0] if len(rules) == 1 else {"or_match": {"rules": rules}}


def test_declared_ports_are_not_looked_into() -> None:
    assert filters(OUTBOUND, chain(destination_port=80), chain()) == {"original_dst": None}
    assert listener_filters(NAMED, [chain()]) == {}


def test_a_port_to_be_told_by_its_bytes_is_the_only_one_that_is() -> None:
    sniffed = chain(destination_port=81, **HTTP)
    found = filters(OUTBOUND, chain(destination_port=80), sniffed, chain(destination_port=81), chain())
    assert found["http_inspector"] == {"not_match": ports(81)}


def test_where_the_unknown_is_looked_into_the_declared_is_not() -> None:
    found = filters(OUTBOUND, chain(destination_port=80), chain(destination_port=82), chain(**HTTP), chain())
    assert found["http_inspector"] == ports(80, 82)
    assert filters(OUTBOUND, chain(**HTTP), chain())["http_inspector"] is None


def test_server_names_are_looked_for_where_there_are_some() -> None:
    found = filters(OUTBOUND, chain(destination_port=443, server_names=["a.com"]), chain())
    assert found["tls_inspector"] == {"not_match": ports(443)}


def test_tls_is_looked_for_where_a_chain_tells_of_it() -> None:
    mutual = chain(destination_port=80, transport_protocol="tls", application_protocols=["istio"])
    found = filters(OUTBOUND, mutual, chain(destination_port=80, transport_protocol="raw_buffer"), chain())
    assert found == {"original_dst": None, "tls_inspector": {"not_match": ports(80)}}
    assert filters(NAMED, chain(**TLS)) == {"tls_inspector": None}


def test_where_tls_to_any_port_is_told_apart_the_declared_is_not() -> None:
    found = filters(OUTBOUND, chain(destination_port=80), chain(destination_port=81, **TLS), chain(**TLS), chain())
    assert found["tls_inspector"] == ports(80)


def test_a_listener_of_its_own_is_looked_into_whole() -> None:
    assert filters(NAMED, chain(**HTTP), chain()) == {"http_inspector": None}


def test_nobody_is_hurried() -> None:
    found = listener_filters(NAMED, [chain(**HTTP), chain()])
    assert found["listener_filters_timeout"] == "0s"
    assert found["continue_on_listener_filters_timeout"] is True
