"""The ways into a workload's port: which filter chains a mode of mutual TLS and a protocol make.

Source: Istio pilot/pkg/networking/core/filterchain_options.go; as pyproxy itself: downstream/filter_chains.py.
"""

from __future__ import annotations

from typing import NamedTuple

from pyproxy.core.tls import MtlsMode
from pyproxy.envoy.inspectors import HTTP, RAW, TLS
from pyproxy.envoy.values import Resource
from pyproxy.mtls.alpn import ISTIO, ISTIO_HTTP, ISTIO_TCP


class Way(NamedTuple):
    """One filter chain."""

    match: Resource
    http: bool
    """Requests; else bytes."""
    tls: bool = False
    """TLS ends here."""


def _offering(protocols: frozenset[bytes]) -> Resource:
    return {**TLS, "application_protocols": sorted(each.decode() for each in protocols)}


_WAYS: dict[tuple[MtlsMode, str], tuple[Way, ...]] = {
    (MtlsMode.STRICT, "http"): (Way(TLS, http=True, tls=True),),
    (MtlsMode.STRICT, "tcp"): (Way(TLS, http=False, tls=True),),
    (MtlsMode.STRICT, "auto"): (Way(_offering(ISTIO_HTTP), http=True, tls=True), Way(TLS, http=False, tls=True)),
    (MtlsMode.PERMISSIVE, "http"): (Way(_offering(ISTIO), http=True, tls=True), Way(RAW, http=True)),
    (MtlsMode.PERMISSIVE, "tcp"): (
        Way(_offering(ISTIO), http=False, tls=True),
        Way(TLS, http=False),
        Way(RAW, http=False),
    ),
    (MtlsMode.PERMISSIVE, "auto"): (
        Way(_offering(ISTIO_HTTP), http=True, tls=True),
        Way(HTTP, http=True),
        Way(_offering(ISTIO_TCP), http=False, tls=True),
        Way(TLS, http=False),
        Way(RAW, http=False),
    ),
    (MtlsMode.DISABLE, "http"): (Way({}, http=True),),
    (MtlsMode.DISABLE, "tcp"): (Way({}, http=False),),
    (MtlsMode.DISABLE, "auto"): (Way(HTTP, http=True), Way(RAW, http=False)),
}


def ways(mode: MtlsMode, protocol: str) -> tuple[Way, ...]:
    """The chains of one port; `protocol` is http, tcp or auto."""
    return _WAYS[mode, protocol]
