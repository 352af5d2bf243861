"""The annotation istio.io/dry-run: only an AuthorizationPolicy that allows or denies can be tried out."""

from __future__ import annotations

from pyproxy.istio.fields import Message
from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.rules.place import Place
from pyproxy.istio.security import AuthorizationPolicy

ANNOTATION = "istio.io/dry-run"

_BOOLEANS = frozenset(("1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"))


def check_dry_run(spec: Message, meta: ObjectMeta, place: Place) -> None:
    """For any of Istio's kinds."""
    value = meta.annotations.get(ANNOTATION)
    if value is None:
        return
    at = place.top("metadata", "annotations", ANNOTATION)
    if not isinstance(spec, AuthorizationPolicy) or spec.action not in (None, "ALLOW", "DENY"):
        at.error("is accepted only on an AuthorizationPolicy whose action is ALLOW or DENY")
    elif value not in _BOOLEANS:
        at.error(f'must be "true" or "false", not "{value}"')
