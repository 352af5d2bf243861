"""Listener filters: where a redirected connection was going, and, only where it matters, what its first bytes are.

A port whose protocol is declared is never inspected: servers that speak first would wait for a client that waits.
Source: Istio pilot/pkg/networking/core/listener_builder.go, listener_inbound.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pyproxy.envoy.values import TYPE, Resource
from pyproxy.snapshot.model import ListenerKind

HTTP: Resource = {"transport_protocol": "raw_buffer", "application_protocols": ["http/1.0", "http/1.1", "h2c"]}
"""The match of a chain for what looks like HTTP, as the http_inspector calls it."""


def listener_filters(kind: ListenerKind, chains: Sequence[Resource]) -> Resource:
    """What must be known before one of the chains can be chosen."""
    captured = kind in (ListenerKind.OUTBOUND_CAPTURE, ListenerKind.INBOUND_CAPTURE)
    filters = [_filter("original_dst", "OriginalDst")] if captured else []
    matches = [match for chain in chains if isinstance(match := chain.get("filter_chain_match"), Mapping)]
    by_name = [match for match in matches if "server_names" in match]
    by_bytes = [match for match in matches if "application_protocols" in match]
    if by_name:
        filters.append(_filter("tls_inspector", "TlsInspector") | _only_for(by_name))
    if by_bytes:
        anywhere = any("destination_port" not in match for match in by_bytes)
        told = [match for match in matches if match not in by_bytes and _port(match) not in map(_port, by_bytes)]
        disabled = (_unless(told) if captured else {}) if anywhere else _only_for(by_bytes)
        filters.append(_filter("http_inspector", "HttpInspector") | disabled)
    if not by_name and not by_bytes:
        return {"listener_filters": filters} if filters else {}
    return {
        "listener_filters": filters,
        "listener_filters_timeout": "0s",
        "continue_on_listener_filters_timeout": True,
    }


def _filter(name: str, message: str) -> Resource:
    config = f"{TYPE}.extensions.filters.listener.{name}.v3.{message}"
    return {"name": f"envoy.filters.listener.{name}", "typed_config": {"@type": config}}


def _port(match: Mapping[str, object]) -> object:
    return match.get("destination_port")


def _only_for(matches: Iterable[Mapping[str, object]]) -> Resource:
    """Off for every other port."""
    return {"filter_disabled": {"not_match": _ports(matches)}}


def _unless(matches: Iterable[Mapping[str, object]]) -> Resource:
    """Off for these ports."""
    ports = _ports(matches)
    return {"filter_disabled": ports} if ports else {}


def _ports(matches: Iterable[Mapping[str, object]]) -> Resource:
    """A predicate that holds for connections to one of the ports."""
    numbers = sorted({port for match in matches if isinstance(port := _port(match), int)})
    rules: list[Resource] = [{"destination_port_range": {"start": port, "end": port + 1}} for port in numbers]
    if len(rules) < 2:
        return rules[0] if rules else {}
    return {"or_match": {"rules": rules}}
