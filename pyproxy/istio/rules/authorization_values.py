"""The values that the attributes of an AuthorizationPolicy take."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyproxy.istio.rules.names import ip_block_problem
from pyproxy.istio.rules.place import Place
from pyproxy.istio.security import Condition

_ONE_SEGMENT = "{*}"
_ANY_SEGMENTS = "{**}"
_SEGMENT = re.compile(r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]+")  # RFC 3986 pchar, without *


def check_not_empty(values: Sequence[str], place: Place) -> None:
    """Values that say something."""
    for index, value in enumerate(values):
        if value == "":
            place.at(index).error("may not be empty")


def check_ip_blocks(values: Sequence[str], place: Place) -> None:
    """Addresses and blocks."""
    for index, value in enumerate(values):
        place.at(index).error(ip_block_problem(value) if value else None)


def check_ports(values: Sequence[str], place: Place) -> None:
    """Numbers, as text."""
    for index, value in enumerate(values):
        if not (value.isascii() and value.isdigit() and int(value) <= 65535):
            place.at(index).error(f'must be a port number up to 65535, not "{value}"')


def check_service_accounts(values: Sequence[str], place: Place) -> None:
    """`account` or `namespace/account`."""
    if len(values) > 16:
        place.error(f"16 at most, not {len(values)}")
    for index, value in enumerate(values):
        if "*" in value:
            place.at(index).error("takes no wildcards")
        elif len(value) > 320:
            place.at(index).error(f"320 characters at most, not {len(value)}")
        elif "" in value.split("/") or value.count("/") > 1:
            place.at(index).error(f'must be ACCOUNT or NAMESPACE/ACCOUNT, not "{value}"')


def check_trust_domains(values: Sequence[str], place: Place) -> None:
    """Names without a slash, perhaps with one wildcard at either end."""
    check_wildcards(values, place)
    for index, value in enumerate(values):
        if "/" in value:
            place.at(index).error(f'a trust domain has no slash, but "{value}" has')


def check_wildcards(values: Sequence[str], place: Place) -> None:
    """Exact, `prefix*`, `*suffix` or `*`."""
    check_not_empty(values, place)
    for index, value in enumerate(values):
        if "*" in value[1:-1] or (value.count("*") > 1):
            place.at(index).error(f'in "{value}" * may stand only once, at the start or at the end')


def check_paths(values: Sequence[str], place: Place) -> None:
    """Paths, and templates with {*} and {**} for segments."""
    for index, path in enumerate(values):
        place.at(index).error(_path_problem(path))


def _path_problem(path: str) -> str | None:
    is_template = _ONE_SEGMENT in path or _ANY_SEGMENTS in path
    any_segments = False
    for segment in path.strip("/").split("/"):
        if segment in (_ONE_SEGMENT, _ANY_SEGMENTS):
            if any_segments:
                return f'in "{path}" no operator may follow {{**}}'
            any_segments = segment == _ANY_SEGMENTS
        elif "{" in segment or "}" in segment:
            return f'in "{path}" {{ and }} may stand only as a whole segment {{*}} or {{**}}'
        elif is_template and not _SEGMENT.fullmatch(segment):
            return f'in the template "{path}" the segment "{segment}" is not plain text'
    return None


# Conditions

_PLAIN_KEYS = frozenset(
    (
        "source.namespace",
        "source.principal",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "connection.sni",
    )
)
_VALUE_CHECKS = {
    "source.ip": check_ip_blocks,
    "remote.ip": check_ip_blocks,
    "destination.ip": check_ip_blocks,
    "source.serviceAccount": check_service_accounts,
    "source.trustDomain": check_wildcards,
    "destination.port": check_ports,
}
_MAP_KEYS = ("request.headers", "request.auth.claims", "experimental.envoy.filters.")
_GONE = {
    "destination.namespace": "use the policy's own namespace",
    "destination.name": "use the selector",
    "destination.user": "use the selector",
}


def check_condition(condition: Condition, place: Place) -> None:
    """A known attribute, and values of its kind."""
    key = condition.key
    place.at("key").error(_key_problem(key))
    if not condition.values and not condition.not_values:
        place.error("values or notValues is required")
    for field, values in (("values", condition.values), ("notValues", condition.not_values)):
        at = place.at(field)
        check_not_empty(values, at)
        check = _VALUE_CHECKS.get(key)
        if check is not None and "" not in values:
            check(values, at)


def _key_problem(key: str) -> str | None:
    if not key:
        return "is required"
    if key in _PLAIN_KEYS or key in _VALUE_CHECKS:
        return None
    if key in _GONE:
        return f"{key} is not supported: {_GONE[key]}"
    if key.startswith("destination.labels"):
        return "destination.labels is not supported: use the selector"
    for prefix in _MAP_KEYS:
        if key.startswith(prefix):
            bracket = key.find("[")
            whole = key.endswith("]") and 0 < bracket < len(key) - 2
            return None if whole else f"{key} must name what is meant in brackets, as in {prefix.rstrip('.')}[name]"
    accepted = ", ".join(sorted([*_PLAIN_KEYS, *_VALUE_CHECKS, "request.headers[...]", "request.auth.claims[...]"]))
    return f"{key} is no attribute; accepted are {accepted}"
