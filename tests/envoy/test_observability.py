from __future__ import annotations

from typing import Any

from pyproxy.envoy.observability import access_log, tracing
from pyproxy.snapshot.model import AccessLog, Propagation, Tracing
from pyproxy.telemetry.access_log import ISTIO_JSON, ISTIO_TEXT


def log_format(settings: AccessLog) -> Any:
    (log,) = access_log(settings)
    config: Any = log["typed_config"]
    assert config["path"] == "/dev/stdout"
    return config["log_format"]


def test_istios_formats_are_the_defaults() -> None:
    assert access_log(AccessLog()) == []
    assert log_format(AccessLog("/dev/stdout")) == {"text_format_source": {"inline_string": ISTIO_TEXT}}
    assert log_format(AccessLog("/dev/stdout", "JSON")) == {"json_format": ISTIO_JSON}


def test_an_own_format_ends_its_lines_and_loads_what_it_needs() -> None:
    found = log_format(AccessLog("/dev/stdout", format="%REQ_WITHOUT_QUERY(:PATH)%"))
    assert found["text_format_source"] == {"inline_string": "%REQ_WITHOUT_QUERY(:PATH)%\n"}
    assert [each["name"] for each in found["formatters"]] == ["envoy.formatter.req_without_query"]
    assert log_format(AccessLog("/dev/stdout", "JSON", '{"a": "%PROTOCOL%"}')) == {"json_format": {"a": "%PROTOCOL%"}}


def test_a_format_that_nobody_understands_becomes_istios_as_in_pyproxy() -> None:
    assert log_format(AccessLog("/dev/stdout", format="%NO_SUCH%"))["text_format_source"]["inline_string"] == ISTIO_TEXT


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
