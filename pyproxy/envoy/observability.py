"""Access log and tracing of a listener, as Istio's sidecars have them.

Source: Istio pilot/pkg/networking/core/accesslog.go, tracing.go.
"""

from __future__ import annotations

import json

from pyproxy.envoy.values import TYPE, Resource
from pyproxy.snapshot.model import AccessLog, Propagation, Tracing
from pyproxy.telemetry.access_log import ISTIO_JSON, ISTIO_TEXT, compile_access_log
from pyproxy.wire.format import FormatError

COLLECTORS = {Propagation.B3: "zipkin", Propagation.B3_AND_W3C: "zipkin", Propagation.W3C: "opentelemetry"}
"""The cluster that spans would go to."""
_WITHOUT_QUERY: Resource = {
    "name": "envoy.formatter.req_without_query",
    "typed_config": {"@type": f"{TYPE}.extensions.formatter.req_without_query.v3.ReqWithoutQuery"},
}


def access_log(settings: AccessLog) -> list[Resource]:
    """The `access_log` of a listener's filters; empty when it is off."""
    if not settings.path:
        return []
    try:
        compile_access_log(settings)
    except FormatError:  # as pyproxy itself does
        settings = AccessLog(settings.path, settings.encoding)
    if settings.encoding == "JSON":
        log_format: Resource = {"json_format": json.loads(settings.format) if settings.format else ISTIO_JSON}
    else:
        line = settings.format or ISTIO_TEXT
        log_format = {"text_format_source": {"inline_string": line if line.endswith("\n") else line + "\n"}}
    if "%REQ_WITHOUT_QUERY" in settings.format:
        log_format["formatters"] = [_WITHOUT_QUERY]
    config = {"@type": f"{TYPE}.extensions.access_loggers.file.v3.FileAccessLog", "path": settings.path}
    return [{"name": "envoy.access_loggers.file", "typed_config": {**config, "log_format": log_format}}]


def tracing(settings: Tracing) -> Resource | None:
    """HttpConnectionManager.Tracing: who samples, and which headers go on. None when tracing is off."""
    if not settings.enabled:
        return None
    return {
        "client_sampling": {"value": settings.client_sampling},
        "random_sampling": {"value": settings.random_sampling},
        "overall_sampling": {"value": settings.overall_sampling},
        "provider": _open_telemetry() if settings.propagation is Propagation.W3C else _zipkin(settings),
    }


def _zipkin(settings: Tracing) -> Resource:
    config: Resource = {
        "@type": f"{TYPE}.config.trace.v3.ZipkinConfig",
        "collector_cluster": COLLECTORS[settings.propagation],
        "collector_endpoint": "/api/v2/spans",
        "collector_endpoint_version": "HTTP_JSON",
        "trace_id_128bit": settings.trace_id_128bit,
        "shared_span_context": False,
    }
    if settings.propagation is Propagation.B3_AND_W3C:
        config["trace_context_option"] = settings.propagation.value
    return {"name": "envoy.tracers.zipkin", "typed_config": config}


def _open_telemetry() -> Resource:
    collector = {"envoy_grpc": {"cluster_name": COLLECTORS[Propagation.W3C]}}
    return {
        "name": "envoy.tracers.opentelemetry",
        "typed_config": {"@type": f"{TYPE}.config.trace.v3.OpenTelemetryConfig", "grpc_service": collector},
    }
