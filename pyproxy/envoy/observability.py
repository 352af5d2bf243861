"""Access log and tracing of a listener, as Istio's sidecars have them.

Source: Istio pilot/pkg/networking/core/accesslog.go, tracing.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from pyproxy.envoy.values import TYPE, Resource, duration, given
from pyproxy.snapshot.model import AccessLog, Direction, Propagation, Reporting, Snapshot, SpanExport, Tracing
from pyproxy.snapshot.reporting import SpanTag, TagSource
from pyproxy.telemetry.access_log import ISTIO_JSON, ISTIO_TEXT, compile_access_log
from pyproxy.wire.format import FormatError

COLLECTORS = {Propagation.B3: "zipkin", Propagation.B3_AND_W3C: "zipkin", Propagation.W3C: "opentelemetry"}
"""The cluster that spans would go to."""
_WITHOUT_QUERY: Resource = {
    "name": "envoy.formatter.req_without_query",
    "typed_config": {"@type": f"{TYPE}.extensions.formatter.req_without_query.v3.ReqWithoutQuery"},
}


def side(snapshot: Snapshot, direction: Direction) -> Reporting:
    """What is told about the requests of a listener."""
    return snapshot.telemetry.server if direction is Direction.INBOUND else snapshot.telemetry.client


def access_logs(logs: Iterable[AccessLog]) -> list[Resource]:
    """The `access_log` of a listener's filters; empty when it is off."""
    return [_access_log(each) for each in logs if each.path]


def listener_logs(logs: Iterable[AccessLog]) -> list[Resource]:
    """The `access_log` of a listener itself: of connections that no filter chain takes."""
    return [_of_nobody(each) for each in access_logs(logs)]


def _of_nobody(log: Resource) -> Resource:
    nobody: Resource = {"response_flag_filter": {"flags": ["NR"]}}
    own = log.get("filter")
    return log | {"filter": {"and_filter": {"filters": [nobody, own]}} if own else nobody}


def _access_log(settings: AccessLog) -> Resource:
    try:
        compile_access_log(settings)
    except FormatError:  # as pyproxy itself does
        settings = AccessLog(settings.path, settings.encoding, filter=settings.filter, omit_empty=settings.omit_empty)
    if settings.encoding == "JSON":
        log_format: Resource = {"json_format": json.loads(settings.format) if settings.format else ISTIO_JSON}
    else:
        line = settings.format or ISTIO_TEXT
        log_format = {"text_format_source": {"inline_string": line if line.endswith("\n") else line + "\n"}}
    if "%REQ_WITHOUT_QUERY" in settings.format:
        log_format["formatters"] = [_WITHOUT_QUERY]
    if settings.omit_empty:
        log_format["omit_empty_values"] = True
    config = {"@type": f"{TYPE}.extensions.access_loggers.file.v3.FileAccessLog", "path": settings.path}
    resource: Resource = {"name": "envoy.access_loggers.file", "typed_config": {**config, "log_format": log_format}}
    if settings.filter:
        resource["filter"] = {"extension_filter": _cel_filter(settings.filter)}
    return resource


def _cel_filter(expression: str) -> Resource:
    kind = f"{TYPE}.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
    return {
        "name": "envoy.access_loggers.extension_filters.cel",
        "typed_config": {"@type": kind, "expression": expression},
    }


def tracing(settings: Tracing) -> Resource | None:
    """HttpConnectionManager.Tracing: who samples, which headers go on, where spans go. None when tracing is off."""
    if not settings.enabled:
        return None
    return {
        "client_sampling": {"value": settings.client_sampling},
        "random_sampling": {"value": settings.random_sampling},
        "overall_sampling": {"value": settings.overall_sampling},
        "provider": _open_telemetry(settings) if settings.propagation is Propagation.W3C else _zipkin(settings),
        **given(
            ("custom_tags", [_custom_tag(tag) for tag in settings.tags]),
            ("spawn_upstream_span", settings.upstream_spans),
            ("no_context_propagation", not settings.propagates),
            ("max_path_tag_length", settings.max_path_length if settings.max_path_length != 256 else 0),
        ),
    }


def _custom_tag(tag: SpanTag) -> Resource:
    if tag.source is TagSource.LITERAL:
        value: object = {"value": tag.text}
    elif tag.source is TagSource.FORMATTER:
        value = tag.text
    else:
        value = {"name": tag.text, **given(("default_value", tag.default))}
    return {"tag": tag.name, tag.source.value: value}


def _zipkin(settings: Tracing) -> Resource:
    export = settings.export
    config: Resource = {
        "@type": f"{TYPE}.config.trace.v3.ZipkinConfig",
        "collector_endpoint_version": "HTTP_JSON",
        "trace_id_128bit": settings.trace_id_128bit,
        "shared_span_context": False,
    }
    if export is None:
        config |= {"collector_cluster": COLLECTORS[settings.propagation], "collector_endpoint": "/api/v2/spans"}
    else:
        config["collector_service"] = _http_service(export)
    if settings.propagation is Propagation.B3_AND_W3C:
        config["trace_context_option"] = settings.propagation.value
    return {"name": "envoy.tracers.zipkin", "typed_config": config}


def _open_telemetry(settings: Tracing) -> Resource:
    export = settings.export
    config: Resource = {"@type": f"{TYPE}.config.trace.v3.OpenTelemetryConfig"}
    if export is None:
        config["grpc_service"] = {"envoy_grpc": {"cluster_name": COLLECTORS[Propagation.W3C]}}
    else:
        config |= {"http_service": _http_service(export), "service_name": export.service}
    return {"name": "envoy.tracers.opentelemetry", "typed_config": config}


def _http_service(export: SpanExport) -> Resource:
    uri = {"uri": f"http://{export.host}{export.path}", "cluster": export.cluster, "timeout": duration(export.timeout)}
    headers: list[Resource] = [
        {
            "header": {"key": name.decode(), "value": value.decode()},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
        for name, value in export.headers
    ]
    return {"http_uri": uri, **given(("request_headers_to_add", headers))}
