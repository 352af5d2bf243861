"""The metadata of a document: who it is; what a cluster adds to it is accepted and left alone."""

from __future__ import annotations

import re

from pyproxy.istio.fields import Json, Map, Message
from pyproxy.istio.rules.names import label_problem
from pyproxy.istio.rules.place import Place

DEFAULT_NAMESPACE = "default"

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


class ObjectMeta(Message):
    """A Kubernetes object's metadata (meta/v1 ObjectMeta)."""

    name: str | None = None
    namespace: str | None = None
    labels: Map[str] = {}
    annotations: Map[str] = {}

    cluster_name: Json = None
    creation_timestamp: Json = None
    deletion_grace_period_seconds: Json = None
    deletion_timestamp: Json = None
    finalizers: Json = None
    generate_name: Json = None
    generation: Json = None
    managed_fields: Json = None
    owner_references: Json = None
    resource_version: Json = None
    self_link: Json = None
    uid: Json = None


def check_metadata(meta: ObjectMeta, place: Place, *, named: bool) -> None:
    """Kubernetes' rules for names and labels: Istio's documents obey them because a cluster does not take others."""
    if not meta.name:
        place.at("name").error("is required: a document is known by its name" if named else None)
    elif len(meta.name) > 253 or not _SUBDOMAIN.fullmatch(meta.name):
        place.at("name").error("must be lower-case letters, digits, - and ., 253 characters at most")
    if meta.namespace and (len(meta.namespace) > 63 or not _LABEL.fullmatch(meta.namespace)):
        place.at("namespace").error("must be lower-case letters, digits and -, 63 characters at most")
    for key, value in meta.labels.items():
        place.at("labels", key).error(label_problem(key, value))
