"""The ProxyConfig document."""

from __future__ import annotations

from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.networking.proxy_config import ProxyConfig
from pyproxy.istio.rules.amounts import not_negative
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.visibility import check_selector


def check_proxy_config(spec: ProxyConfig, meta: ObjectMeta, place: Place) -> None:
    """Everything that Istio checks in a ProxyConfig."""
    check_selector(spec.selector, place.at("selector"))
    place.at("concurrency").error(not_negative(spec.concurrency))
    for name, value in spec.environment_variables.items():
        if len(value) > 2048:
            place.at("environmentVariables", name).error(f"2048 characters at most, not {len(value)}")
