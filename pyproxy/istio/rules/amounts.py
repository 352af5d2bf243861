"""Numbers in their ranges: ports, percentages, status codes, weights."""

from __future__ import annotations

from collections.abc import Sequence

from pyproxy.istio.fields import Percent, PortSelector
from pyproxy.istio.rules.place import Place


def port_problem(port: int) -> str | None:
    """For a port that something listens on."""
    return None if 1 <= port <= 65535 else f"must be a port from 1 to 65535, not {port}"


def percent_problem(percent: float | None) -> str | None:
    """For a share in percent."""
    return None if percent is None or 0 <= percent <= 100 else f"must be from 0 to 100, not {percent:g}"


def not_negative(number: int | float | None) -> str | None:
    """For a count or a limit."""
    return None if number is None or number >= 0 else f"may not be negative, but is {number}"


def status_problem(status: int) -> str | None:
    """For an HTTP status that is answered; Istio takes 600 too."""
    return None if 200 <= status <= 600 else f"must be an HTTP status from 200 to 599, not {status}"


def check_fault_percentage(percent: Percent | None, place: Place) -> None:
    """Nothing, or a share that Envoy's millionths can express."""
    value = percent.value if percent is not None else None
    if value is not None and not (value == 0 or 0.0001 <= value <= 100):
        place.at("value").error(f"must be 0, or from 0.0001 to 100, not {value:g}")


def check_port_selector(port: PortSelector | None, place: Place) -> None:
    """A port given by number; when it is given, the number is too."""
    if port is not None:
        place.at("number").error(port_problem(port.number or 0))


def check_weights(weights: Sequence[int | None], place: Place) -> None:
    """No weight below zero, and of several at least one above."""
    for index, weight in enumerate(weights):
        place.at(index, "weight").error(not_negative(weight))
    if len(weights) > 1 and not any(weights):
        place.error("one of several destinations needs a weight above 0")
