"""Listener filters: where a redirected connection was going, and, only where it matters, what its first bytes are.

A port whose protocol is declared is never inspected: servers that speak first would wait for a client that waits.
Source: Istio pilot/pkg/networking/core/listener_builder.go, listener_inbound.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pyproxy.envoy.values import TYPE, Resource
from pyproxy.snapshot.model import ListenerKind

TLS: Resource = {"transport_protocol": "tls"}
"""The match of a chain for TLS, as the tls_inspector calls it."""
RAW: Resource = {"transport_protocol": "raw_buffer"}
"""For what is not."""
HTTP: Resource = {"transport_protocol": "raw_buffer", "application_protocols": ["http/1.0", "http/1.1", "h2c"]}
"""The match of a chain for what looks like HTTP, as the http_inspector calls it."""


def listener_filters(kind: ListenerKind, chains: Sequence[Resource]) -> Resource:
    """What must be known before one of the chains can be chosen."""
    captured = kind in (ListenerKind.OUTBOUND_CAPTURE, ListenerKind.INBOUND_CAPTURE)
    filters = [_filter("original_dst", "OriginalDst")] if captured else []
    matches = [match for chain in chains if isinstance(match := chain.get("filter_chain_match"), Mapping)]
    by_tls = [match for match in matches if "server_names" in match or match.get("transport_protocol") == "tls"]
    by_bytes = [match for match in matches if "application_protocols" in match and match not in by_tls]
    if by_tls:
        filters.append(_filter("tls_inspector", "TlsInspector") | _where(by_tls, matches, captured=captured))
    if by_bytes:
        filters.append(_filter("http_inspector", "HttpInspector") | _where(by_bytes, matches, captured=captured))
    if not by_tls and not by_bytes:
        return {"listener_filters": filters} if filters else {}
    return {
        "listener_filters": filters,
        "listener_filters_timeout": "0s",
        "continue_on_listener_filters_timeout": True,
    }


def _where(
    inspecting: Sequence[Mapping[str, object]], matches: Iterable[Mapping[str, object]], *, captured: bool
) -> Resource:
    """Off for ports without a chain that asks; a listener of its own has one port, and is looked into whole."""
    ports = [_port(match) for match in inspecting]
    if None not in ports:
        return _only_for(inspecting)
    return _unless([match for match in matches if _port(match) not in ports]) if captured else {}


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
