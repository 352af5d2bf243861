"""Chains into a workload's port, asked as Envoy asks: what is served is what pyproxy's own listener serves."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from pyproxy.core.tls import MtlsMode
from pyproxy.downstream.filter_chains import Chain, inbound_chain
from pyproxy.envoy.ways import Way, ways
from pyproxy.wire.client_hello import ClientHello

OFFERS: dict[str, tuple[str, ...] | None] = {
    "plaintext": None,
    "TLS without ALPN": (),
    "an application's TLS": ("h2", "http/1.1"),
    "HTTP from the mesh": ("istio-http/1.1", "istio", "http/1.1"),
    "HTTP/2 from the mesh": ("istio-h2", "istio", "h2"),
    "bytes from the mesh": ("istio-peer-exchange", "istio"),
}


def chosen(found: tuple[Way, ...], offer: tuple[str, ...] | None, *, http: bool) -> Way | None:
    """Envoy's order: transport protocol before application protocols, of these the client's first that somebody has."""
    transport = "raw_buffer" if offer is None else "tls"
    spoken = (("http/1.1",) if http else ()) if offer is None else offer
    matches: list[tuple[Way, Any]] = [(way, way.match) for way in found]
    told = [each for each in matches if each[1].get("transport_protocol") == transport]
    told = told or [each for each in matches if "transport_protocol" not in each[1]]
    for protocol in spoken:
        for way, match in told:
            if protocol in match.get("application_protocols", ()):
                return way
    return next((way for way, match in told if "application_protocols" not in match), None)


@pytest.mark.parametrize(("mode", "protocol"), list(product(MtlsMode, ("http", "tcp", "auto"))))
def test_what_envoy_would_serve_is_what_we_serve(mode: MtlsMode, protocol: str) -> None:
    for name, offer in OFFERS.items():
        if offer is not None and mode is MtlsMode.DISABLE:
            continue  # nobody looks whether it is TLS
        hello = None if offer is None else ClientHello("", tuple(each.encode() for each in offer), ())
        for http in (False, True):
            theirs = chosen(ways(mode, protocol), offer, http=http)
            assert as_ours(theirs) == settled(inbound_chain(mode, protocol, hello), http=http), (name, http)


def as_ours(way: Way | None) -> Chain | None:
    return Chain(tls=way.tls, protocol="http" if way.http else "tcp") if way is not None else None


def settled(chain: Chain | None, *, http: bool) -> Chain | None:
    """What the first bytes make of `auto`."""
    if chain is None or chain.protocol != "auto":
        return chain
    return Chain(tls=chain.tls, protocol="http" if http else "tcp")
