from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.snapshot.model import Identity
from pyproxy.telemetry.peer_metadata import (
    MAX_LENGTH,
    Peer,
    canonical_revision,
    canonical_service,
    decode_peer,
    metadata_in,
    own_frame,
    own_metadata,
)
from pyproxy.wire.peer_exchange import FrameReader
from pyproxy.wire.protobuf import decode_struct, encode_struct

REVIEWS = Identity(
    workload="reviews-v1",
    namespace="default",
    labels={"app": "reviews", "version": "v1", "team": "books"},
    locality="eu/a/b",
    address="10.0.0.1",
)


def test_a_sidecar_says_who_it_is_in_istios_fields() -> None:
    node_id, value = own_metadata(REVIEWS)
    assert decode_struct(base64.b64decode(value)) == {
        "NAME": "reviews-v1",
        "NAMESPACE": "default",
        "WORKLOAD_NAME": "reviews-v1",
        "CLUSTER_ID": "Kubernetes",
        "REGION": "eu",
        "AVAILABILITY_ZONE": "a",
        "LABELS": {
            "service.istio.io/canonical-name": "reviews",
            "service.istio.io/canonical-revision": "v1",
            "app": "reviews",
            "version": "v1",
        },
    }
    assert node_id == b"sidecar~10.0.0.1~reviews-v1.default~default.svc.cluster.local"


def test_the_other_side_reads_it() -> None:
    assert decode_peer(own_metadata(REVIEWS)[1]) == Peer(
        "reviews-v1", "default", "Kubernetes", "reviews", "v1", "reviews", "v1"
    )


def test_a_gateway_is_a_router_and_a_bare_workload_its_own_service() -> None:
    node_id, value = own_metadata(Identity(workload="edge", namespace="istio-system", gateway=True))
    assert node_id.startswith(b"router~127.0.0.1~edge.istio-system~")
    assert decode_peer(value) == Peer("edge", "istio-system", "Kubernetes", "edge", "latest")


@pytest.mark.parametrize(
    ("labels", "name", "revision"),
    [
        ({}, "w", "latest"),
        ({"app": "a", "version": "1"}, "a", "1"),
        ({"app": "a", "app.kubernetes.io/name": "b", "app.kubernetes.io/version": "2", "version": "1"}, "b", "2"),
        (
            {
                "service.istio.io/canonical-name": "c",
                "app.kubernetes.io/name": "b",
                "service.istio.io/canonical-revision": "3",
            },
            "c",
            "3",
        ),
    ],
)
def test_canonical_names_follow_istios_order(labels: dict[str, str], name: str, revision: str) -> None:
    assert (canonical_service(labels, "w"), canonical_revision(labels)) == (name, revision)


def test_base64_without_padding_is_read_too() -> None:
    value = own_metadata(REVIEWS)[1]
    assert decode_peer(value.rstrip(b"=")) == decode_peer(value) is not None


@pytest.mark.parametrize("value", [b"!", b"abc", b"/w==", base64.b64encode(b"\x0a\x05ab"), b"A" * (MAX_LENGTH + 4)])
def test_what_is_not_metadata_is_nobody(value: bytes) -> None:
    assert decode_peer(value) is None


def test_fields_of_the_wrong_kind_are_as_if_absent() -> None:
    fields: dict[str, object] = {"WORKLOAD_NAME": 1.0, "NAMESPACE": ["x"], "LABELS": "y", "CLUSTER_ID": "c"}
    assert decode_peer(base64.b64encode(encode_struct(fields))) == Peer(cluster="c")


@given(st.binary(max_size=300))
def test_any_header_value_is_a_peer_or_nobody(value: bytes) -> None:
    decode_peer(value)
    decode_peer(base64.b64encode(value))


@given(st.dictionaries(st.sampled_from(["app", "version", "app.kubernetes.io/name", "x"]), st.text(min_size=1)))
def test_every_identity_survives_the_exchange(labels: dict[str, str]) -> None:
    peer = decode_peer(own_metadata(Identity(workload="w", labels=labels))[1])
    assert peer is not None
    assert (peer.canonical_service, peer.canonical_revision) == (
        canonical_service(labels, "w"),
        canonical_revision(labels),
    )


def test_a_frame_says_what_the_headers_say() -> None:
    reader = FrameReader()
    reader.feed(own_frame(own_metadata(REVIEWS)))
    assert reader.fields is not None
    fields = decode_struct(reader.fields)
    assert fields["x-envoy-peer-metadata-id"] == "sidecar~10.0.0.1~reviews-v1.default~default.svc.cluster.local"
    assert metadata_in(reader.fields) == own_metadata(REVIEWS)[1]


@given(st.binary(max_size=100))
def test_a_frame_of_anything_says_nothing_or_something(data: bytes) -> None:
    said = metadata_in(data)
    assert said is None or decode_peer(said) is not None


@pytest.mark.parametrize("fields", [{}, {"x-envoy-peer-metadata": "text"}, {"NAME": "reviews"}])
def test_a_frame_without_metadata(fields: dict[str, object]) -> None:
    assert metadata_in(encode_struct(fields)) is None
