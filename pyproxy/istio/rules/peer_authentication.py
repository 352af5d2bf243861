"""PeerAuthentication."""

from __future__ import annotations

from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.visibility import check_selector
from pyproxy.istio.security import PeerAuthentication


def check_peer_authentication(spec: PeerAuthentication, meta: ObjectMeta, place: Place) -> None:
    """Ports only for selected workloads, because they are the workload's ports."""
    at = place.at("portLevelMtls")
    selects = spec.selector is not None and bool(spec.selector.match_labels)
    if "port_level_mtls" in spec.model_fields_set and not spec.port_level_mtls:
        at.error("is empty: leave it out, or name a port")
    if spec.port_level_mtls and not selects:
        at.error("needs a selector with labels: ports belong to workloads")
    for port in spec.port_level_mtls:
        if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
            at.at(port).error(f'must be a port from 1 to 65535, not "{port}"')
    check_selector(spec.selector, place.at("selector"))
