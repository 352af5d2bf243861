"""Fields and values that Istio has deprecated, and what to write instead (istio/api's marks and notes)."""

from __future__ import annotations

from pyproxy.istio.fields import Message
from pyproxy.istio.mesh.config import MeshConfig
from pyproxy.istio.mesh.providers import EnvoyExternalAuthorizationHttpProvider, ExtensionProvider, StackdriverProvider
from pyproxy.istio.mesh.proxy import ProxyConfig
from pyproxy.istio.networking.destination_rule import ConsistentHashLB, LoadBalancerSettings, OutlierDetection
from pyproxy.istio.networking.virtual_service import CorsPolicy, Delay, HTTPRoute

DEPRECATED_FIELDS: dict[type[Message], dict[str, str]] = {
    HTTPRoute: {"mirror_percent": "use mirrorPercentage"},
    CorsPolicy: {"allow_origin": "use allowOrigins"},
    Delay: {"percent": "use percentage"},
    ConsistentHashLB: {"minimum_ring_size": "use ringHash.minimumRingSize"},
    LoadBalancerSettings: {"warmup_duration_secs": "use warmup"},
    OutlierDetection: {"consecutive_errors": "it has no effect; use consecutive5xxErrors or consecutiveGatewayErrors"},
    MeshConfig: {
        "certificates": "let another tool issue DNS certificates",
        "verify_certificate_at_client": "it has no effect",
    },
    ProxyConfig: {
        "availability_zone": "it has no effect",
        "discovery_refresh_delay": "it has no effect",
        "envoy_metrics_service_address": "use envoyMetricsService",
        "extra_stat_tags": "it has no effect",
        "sds": "it has no effect",
        "zipkin_address": "use tracing",
    },
    ExtensionProvider: {"lightstep": "use opentelemetry", "opencensus": "use opentelemetry"},
    EnvoyExternalAuthorizationHttpProvider: {"include_headers_in_check": "use includeRequestHeadersInCheck"},
    StackdriverProvider: {
        "debug": "it has no effect",
        "max_number_of_annotations": "it has no effect",
        "max_number_of_attributes": "it has no effect",
        "max_number_of_message_events": "it has no effect",
    },
}

DEPRECATED_VALUES: dict[tuple[type[Message], str, str], str] = {
    (LoadBalancerSettings, "simple", "LEAST_CONN"): "use LEAST_REQUEST",
}
