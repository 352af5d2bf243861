"""What the sliders may move: the weights and faults of the HTTP routes in a file, and where they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from yaml import Node

from pyproxy.console.names import short
from pyproxy.istio.resources import Document
from pyproxy.istio.yaml_places import find
from pyproxy.istio.yaml_text import Fault, compose
from pyproxy.istio.yaml_values import Reading


def routes_in(text: str) -> Iterator[dict[str, Any]]:
    """Each HTTP route of each VirtualService in a text that may have errors elsewhere."""
    for number, root in enumerate(roots(text)):
        raw = Reading().value(root)
        if not isinstance(raw, dict) or raw.get("kind") != "VirtualService":
            continue
        for index, route in enumerate(_list(_dict(raw.get("spec")).get("http"))):
            if isinstance(route, dict):
                yield _route(number, index, str(_dict(raw.get("metadata")).get("name", "")), route)


def roots(text: str) -> list[Node]:
    """The documents of a text that are YAML, in order; an empty one counts."""
    return [node for node in compose(text) if not isinstance(node, Fault)]


def _route(document: int, index: int, name: str, route: Mapping[str, Any]) -> dict[str, Any]:
    fault = _dict(route.get("fault"))
    delay, abort = _dict(fault.get("delay")), _dict(fault.get("abort"))
    return {
        "document": document,
        "route": index,
        "virtual_service": name,
        "name": str(route.get("name", "")),
        "match": _shown(route["match"]) if route.get("match") else "everything",
        "destinations": [
            {"title": _title(each), "weight": _number(_dict(each).get("weight"))} for each in _list(route.get("route"))
        ],
        "abort": {"percent": _percent(abort), "status": _number(abort.get("httpStatus")) or 503} if abort else None,
        "delay": {"percent": _percent(delay), "seconds": _seconds(delay.get("fixedDelay"))} if delay else None,
    }


def _title(route: object) -> str:
    destination = _dict(_dict(route).get("destination"))
    return f"{short(str(destination.get('host', '')))} {destination.get('subset', '')}".strip()


def _percent(fault: Mapping[str, Any]) -> float:
    """Istio: without a percentage every request, with an empty one none."""
    if "percentage" not in fault:
        return 100.0 if "percent" not in fault else _number(fault["percent"])
    return _number(_dict(fault["percentage"]).get("value"))


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(duration: object) -> float:
    """Of the simple durations; 0 for what is written otherwise."""
    for unit, seconds in _UNITS.items():
        if isinstance(duration, str) and duration.endswith(unit):
            return _number(duration.removesuffix(unit)) * seconds
    return 0.0


def _number(value: object) -> float:
    try:
        return float(value) if isinstance(value, int | float | str) else 0.0
    except ValueError:
        return 0.0


def _shown(match: object) -> str:
    text = json.dumps(match, ensure_ascii=False).replace('"', "")
    return text if len(text) <= 120 else text[:117] + "..."


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def weights(documents: Iterable[Document | Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """(short service, version) → percent, by each service's last route with weights and the labels of its subsets."""
    raw = [dict(each.raw) if isinstance(each, Document) else dict(each) for each in documents]
    versions = {
        (short(str(_dict(each.get("spec")).get("host", ""))), str(subset.get("name"))): str(
            _dict(subset.get("labels")).get("version", "")
        )
        for each in raw
        if each.get("kind") == "DestinationRule"
        for subset in _list(_dict(each.get("spec")).get("subsets"))
        if isinstance(subset, dict)
    }
    found: dict[tuple[str, str], float] = {}
    for each in raw:
        if each.get("kind") == "VirtualService":
            for route in _list(_dict(each.get("spec")).get("http"))[-1:]:
                found |= _route_weights(_list(_dict(route).get("route")), versions)
    return found


def _route_weights(destinations: list[Any], versions: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], float]:
    total = sum(_number(_dict(each).get("weight")) for each in destinations)
    if len(destinations) < 2 or not total:
        return {}
    found = {}
    for each in destinations:
        destination = _dict(_dict(each).get("destination"))
        service, subset = short(str(destination.get("host", ""))), str(destination.get("subset", ""))
        version = versions.get((service, subset), subset or "unknown")
        found[service, version] = round(100 * _number(_dict(each).get("weight")) / total, 1)
    return found


def route_node(root: Node, index: int) -> Node | None:
    """The mapping of one HTTP route."""
    return find(root, ("spec", "http", index))
