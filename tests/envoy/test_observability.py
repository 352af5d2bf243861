from __future__ import annotations

from typing import Any

from pyproxy.envoy.observability import access_logs, listener_logs, tracing
from pyproxy.snapshot.model import AccessLog, Propagation, SpanExport, SpanFormat, Tracing
from pyproxy.snapshot.reporting import SpanTag, TagSource
from pyproxy.telemetry.access_log import ISTIO_JSON, ISTIO_TEXT


def log_format(settings: AccessLog) -> Any:
    (log,) = access_logs([settings])
    config: Any = log["typed_config"]
    assert config["path"] == "/dev/stdout"
    return config["log_format"]


def test_istios_formats_are_the_defaults() -> None:
    assert access_logs([AccessLog()]) == []
    assert log_format(AccessLog("/dev/stdout")) == {"text_format_source": {"inline_string": ISTIO_TEXT}}
    assert log_format(AccessLog("/dev/stdout", "JSON")) == {"json_format": ISTIO_JSON}


def test_an_own_format_ends_its_lines_and_loads_what_it_needs() -> None:
    found = log_format(AccessLog("/dev/stdout", format="%REQ_WITHOUT_QUERY(:PATH)%"))
    assert found["text_format_source"] == {"inline_string": "%REQ_WITHOUT_QUERY(:PATH)%\n"}
    assert [each["name"] for each in found["formatters"]] == ["envoy.formatter.req_without_query"]
    assert log_format(AccessLog("/dev/stdout", "JSON", '{"a": "%PROTOCOL%"}')) == {"json_format": {"a": "%PROTOCOL%"}}


def test_a_format_that_nobody_understands_becomes_istios_as_in_pyproxy() -> None:
    assert log_format(AccessLog("/dev/stdout", format="%NO_SUCH%"))["text_format_source"]["inline_string"] == ISTIO_TEXT


def test_the_listener_itself_logs_whom_no_chain_takes() -> None:
    nobody = {"response_flag_filter": {"flags": ["NR"]}}
    (plain,) = listener_logs([AccessLog("/dev/stdout"), AccessLog()])
    assert plain["filter"] == nobody
    (filtered,) = listener_logs([AccessLog("/dev/stdout", filter="true")])
    own = access_logs([AccessLog("/dev/stdout", filter="true")])[0]["filter"]
    assert filtered["filter"] == {"and_filter": {"filters": [nobody, own]}}


def provider(**fields: Any) -> Any:
    found: Any = tracing(Tracing(**fields))
    return found["provider"]


def test_trace_headers_go_on_as_the_provider_has_them() -> None:
    found: Any = tracing(Tracing(random_sampling=5))
    assert (found["random_sampling"], found["overall_sampling"]) == ({"value": 5}, {"value": 100.0})
    zipkin = provider()["typed_config"]
    assert (zipkin["trace_id_128bit"], zipkin["shared_span_context"]) == (True, False)
    assert "trace_context_option" not in zipkin
    both = provider(propagation=Propagation.B3_AND_W3C)["typed_config"]
    assert both["trace_context_option"] == "USE_B3_WITH_W3C_PROPAGATION"
    assert provider(propagation=Propagation.W3C)["name"] == "envoy.tracers.opentelemetry"
    assert tracing(Tracing(enabled=False)) is None


def test_a_filter_is_the_operators_own_expression() -> None:
    (log,) = access_logs([AccessLog("/dev/stdout", filter="response.code >= 400", omit_empty=True)])
    found: Any = log
    assert found["filter"]["extension_filter"]["typed_config"]["expression"] == "response.code >= 400"
    assert found["typed_config"]["log_format"]["omit_empty_values"] is True


def test_spans_go_where_the_provider_is() -> None:
    export = SpanExport(SpanFormat.ZIPKIN, "outbound|9411||z", "z", "/spans", 2.0, ((b"k", b"v"),), "a.default")
    service = provider(export=export)["typed_config"]["collector_service"]
    assert service["http_uri"] == {"uri": "http://z/spans", "cluster": "outbound|9411||z", "timeout": "2s"}
    assert service["request_headers_to_add"][0]["header"] == {"key": "k", "value": "v"}
    otlp = provider(export=export, propagation=Propagation.W3C)["typed_config"]
    assert (otlp["http_service"], otlp["service_name"]) == (service, "a.default")


def test_custom_tags_say_where_their_values_come_from() -> None:
    tags = (
        SpanTag("a", TagSource.LITERAL, "x"),
        SpanTag("b", TagSource.HEADER, "x-b", "none"),
        SpanTag("c", TagSource.ENVIRONMENT, "HOME"),
        SpanTag("d", TagSource.FORMATTER, "%PROTOCOL%"),
    )
    found: Any = tracing(Tracing(tags=tags, upstream_spans=True, propagates=False, max_path_length=99))
    assert found["custom_tags"] == [
        {"tag": "a", "literal": {"value": "x"}},
        {"tag": "b", "request_header": {"name": "x-b", "default_value": "none"}},
        {"tag": "c", "environment": {"name": "HOME"}},
        {"tag": "d", "value": "%PROTOCOL%"},
    ]
    assert (found["spawn_upstream_span"], found["no_context_propagation"]) == (True, True)
    assert found["max_path_tag_length"] == 99
