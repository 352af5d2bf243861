"""The ProxyConfig document (networking/v1beta1/proxy_config.proto); MeshConfig's own is in mesh/proxy.py."""

from __future__ import annotations

from pyproxy.istio.fields import Int32, Map, Message
from pyproxy.istio.selector import WorkloadSelector


class ProxyConfig(Message):
    """Settings of some workloads' proxies."""

    selector: WorkloadSelector | None = None
    concurrency: Int32 | None = None
    environment_variables: Map[str] = {}
    image: ProxyImage | None = None


class ProxyImage(Message):
    """Which image the proxy comes from."""

    image_type: str | None = None
