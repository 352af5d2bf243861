"""Who is on the other side: what Istio's sidecars tell each other in two headers, or in a frame where there are none.

`x-envoy-peer-metadata` is base64 of a google.protobuf.Struct, `x-envoy-peer-metadata-id` the proxy's node id; in a
frame (wire/peer_exchange.py) both are fields of one Struct. Source: Envoy contrib/istio/filters,
common/source/metadata_object.cc, http/peer_metadata/source/peer_metadata.cc and
network/metadata_exchange/source/metadata_exchange.cc.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from pyproxy.snapshot.canonical import canonical_revision, canonical_service, first_label
from pyproxy.snapshot.model import Identity
from pyproxy.wire.peer_exchange import encode_frame
from pyproxy.wire.protobuf import decode_struct, encode_struct

PEER_METADATA = b"x-envoy-peer-metadata"
PEER_METADATA_ID = b"x-envoy-peer-metadata-id"
MAX_LENGTH = 8192
"""A longer value is nobody's metadata: not decoded, and not kept."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A workload as its sidecar describes it; empty where it says nothing."""

    workload: str = ""
    namespace: str = ""
    cluster: str = ""
    canonical_service: str = ""
    canonical_revision: str = ""
    app: str = ""
    version: str = ""
    identity: str = ""


def own_metadata(identity: Identity) -> tuple[bytes, bytes]:
    """The values of PEER_METADATA_ID and PEER_METADATA that this proxy sends; computed once."""
    labels = identity.labels
    about_service = {
        "service.istio.io/canonical-name": canonical_service(labels, identity.workload),
        "service.istio.io/canonical-revision": canonical_revision(labels),
        "app": first_label(labels, ("app.kubernetes.io/name", "app")),
        "version": first_label(labels, ("app.kubernetes.io/version", "version")),
    }
    region, _, rest = identity.locality.partition("/")
    fields: dict[str, object] = {
        "NAME": identity.workload,
        "NAMESPACE": identity.namespace,
        "WORKLOAD_NAME": identity.workload,
        "CLUSTER_ID": identity.cluster_id,
        "REGION": region,
        "AVAILABILITY_ZONE": rest.partition("/")[0],
        "LABELS": {name: value for name, value in about_service.items() if value},
    }
    value = base64.b64encode(encode_struct({name: field for name, field in fields.items() if field != ""}))
    return _node_id(identity), value


def _node_id(identity: Identity) -> bytes:
    kind = "router" if identity.gateway else "sidecar"
    name, namespace = identity.workload, identity.namespace
    return f"{kind}~{identity.address}~{name}.{namespace}~{namespace}.svc.cluster.local".encode()


@lru_cache(maxsize=256)
def decode_peer(value: bytes) -> Peer | None:
    """The peer that a PEER_METADATA value describes; None when it is no such thing. Never raises."""
    if len(value) > MAX_LENGTH:
        return None
    try:
        fields = decode_struct(binascii.a2b_base64(value + b"=" * (-len(value) % 4), strict_mode=True))
    except ValueError:  # not base64, not a Struct, not UTF-8
        return None
    labels = fields.get("LABELS")
    texts = _texts(labels if isinstance(labels, dict) else {})
    about = _texts(fields)
    return Peer(
        workload=about.get("WORKLOAD_NAME", ""),
        namespace=about.get("NAMESPACE", ""),
        cluster=about.get("CLUSTER_ID", ""),
        canonical_service=texts.get("service.istio.io/canonical-name", ""),
        canonical_revision=texts.get("service.istio.io/canonical-revision", ""),
        app=first_label(texts, ("app.kubernetes.io/name", "app")),
        version=first_label(texts, ("app.kubernetes.io/version", "version")),
        identity=about.get("IDENTITY", ""),
    )


@lru_cache(maxsize=8)
def own_frame(own: tuple[bytes, bytes]) -> bytes:
    """The frame that says what `own_metadata` says."""
    node_id, value = own
    fields = decode_struct(binascii.a2b_base64(value))
    return encode_frame(encode_struct({PEER_METADATA.decode(): fields, PEER_METADATA_ID.decode(): node_id.decode()}))


def metadata_in(fields: bytes) -> bytes | None:
    """What a frame's Struct says, as the value of PEER_METADATA; None when it says nothing. Never raises."""
    try:
        said = decode_struct(fields).get(PEER_METADATA.decode())
    except ValueError:  # not a Struct, not UTF-8
        return None
    return base64.b64encode(encode_struct(said)) if isinstance(said, dict) else None


def _texts(fields: Mapping[str, object]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if isinstance(value, str)}
