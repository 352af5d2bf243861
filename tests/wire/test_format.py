from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.trace import Trace
from pyproxy.wire.commands import _ABSENT, _PLAIN
from pyproxy.wire.format import (
    FormatError,
    always_missing_commands,
    compile_format,
    compile_header_value,
    compile_json_format,
)
from tests.wire.format_cases import PRINTED, REFUSED, a_request


@pytest.mark.parametrize(("text", "expected"), PRINTED)
def test_operators_print_what_envoy_prints(text: str, expected: bytes) -> None:
    assert compile_format(text)(a_request()) == expected


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_envoy_refuses_is_refused_with_a_reason(text: str, message: str) -> None:
    with pytest.raises(FormatError) as refusal:
        compile_format(text)
    assert message in str(refusal.value)


def test_the_original_path_and_host_come_from_before_the_rewrite() -> None:
    ctx = a_request()
    ctx.original_target = b"/before?z"
    ctx.original_authority = b"old"
    render = compile_format("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PATH(NQ:ORIG)% %REQ(X-ENVOY-ORIGINAL-HOST)%")
    assert render(ctx) == b"/before?z /before old"


@pytest.mark.parametrize(
    ("target", "printed"),
    [
        (b"/p", b"-|-"),
        (b"/p?", b"|-"),
        (b"/p?x", b"x|"),
        (b"/p?x=&x=2", b"x=&x=2|"),
        (b"/p?x=%01%20%21%22%25%7e%7f%80%c3%a9", b'x=%01%20!%22%~%7f%80%c3%a9|\x01 !"%~\x7f\x80\xc3\xa9'),
        (b"/p?x=%41%2b+%2520%3D%3f%23", b"x=A++%20=?#|A++%20=?#"),
        (b"/p?x=%%41&x=3", b"x=%A&x=3|%A"),
    ],
)
def test_a_query_is_decoded_for_a_log_as_far_as_it_is_visible(target: bytes, printed: bytes) -> None:
    ctx = a_request()
    ctx.request.target = target
    assert compile_format("%QUERY_PARAMS(DECODED)%|%QUERY_PARAM(x)%")(ctx) == printed


def test_flags_and_details_after_a_failure() -> None:
    ctx = a_request()
    ctx.add_flag("URX")
    ctx.add_flag("UF")
    ctx.details = "upstream_reset_before_response_started{connection timeout}"
    render = compile_format("%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG% %RESPONSE_CODE_DETAILS%")
    assert render(ctx) == (
        b"URX,UF UpstreamRetryLimitExceeded,UpstreamConnectionFailure "
        b"upstream_reset_before_response_started{connection_timeout}"
    )
    assert compile_format("%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%")(ctx).endswith(b"{connection timeout}")


@pytest.mark.parametrize(
    ("status", "camel", "snake", "number"),
    [("0", b"OK", b"OK", b"0"), ("1", b"Canceled", b"CANCELLED", b"1"), ("42", b"42", b"42", b"42")],
)
def test_grpc_status_has_three_spellings(status: str, camel: bytes, snake: bytes, number: bytes) -> None:
    ctx = a_request()
    ctx.grpc_status = status
    render = compile_format("%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%")
    assert render(ctx) == b" ".join((camel, snake, number, number))


def test_trace_and_trailers() -> None:
    ctx = a_request()
    ctx.trace = Trace(b"00000000000000aa", b"00000000000000bb", b"", True)
    ctx.response_trailers = [(b"grpc-status", b"0"), (b"x", b"1"), (b"x", b"2")]
    assert compile_format("%TRACE_ID% %SPAN_ID% %TRAILER(X)%")(ctx) == b"00000000000000aa 00000000000000bb 1"


def test_the_environment_is_read_when_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYPROXY_TEST", "héllo")
    render = compile_format("%ENVIRONMENT(PYPROXY_TEST)% %ENVIRONMENT(PYPROXY_TEST):2% %ENVIRONMENT(NOPE_NOT_SET)%")
    monkeypatch.setenv("PYPROXY_TEST", "later")
    assert render(a_request()) == "héllo h".encode() + b"\xc3 -"


def test_a_header_value_that_is_missing_is_empty_and_so_not_written() -> None:
    ctx = a_request()
    assert compile_header_value("%REQ(nope)%")(ctx) == b""
    assert compile_header_value("a%REQ(nope)%b")(ctx) == b"ab"
    assert compile_header_value("%REQ(x-b)%")(ctx) == b"value"
    assert compile_header_value("%RESPONSE_CODE%")(ctx) == b"200"
    assert compile_header_value("%ENVIRONMENT(NOPE_NOT_SET)%")(ctx) == b"-"


def test_what_only_a_log_can_have_is_refused_in_a_header_value() -> None:
    text = "%REQ_WITHOUT_QUERY(:PATH)%"
    assert compile_format(text)(a_request())
    with pytest.raises(FormatError, match="not in a header"):
        compile_header_value(text)


def test_the_name_of_a_cluster_in_statistics_ends_as_istio_ends_it() -> None:
    render = compile_format("%UPSTREAM_CLUSTER% %UPSTREAM_CLUSTER_RAW%")
    ctx = a_request()
    ctx.upstream_cluster = "outbound|80||a"
    assert render(ctx) == b"outbound|80||a; outbound|80||a"
    ctx.upstream_cluster = ""
    assert render(ctx) == b"- -"


def test_one_format_serves_many_requests() -> None:
    render = compile_format("%START_TIME(%S.%3f)% %RESPONSE_CODE%")
    first, second = a_request(), a_request()
    second.started_at += 1.5
    second.status = 503
    assert [render(first), render(second), render(first)] == [b"47.355 200", b"48.855 503", b"47.355 200"]


# JSON


def test_json_keeps_types_and_sorts_keys() -> None:
    render = compile_json_format(
        {
            "z": "%RESPONSE_CODE%",
            "a": "%REQ(nope)%",
            "mixed": "a-%REQ(nope)%-%DURATION%",
            "flags": "%RESPONSE_FLAGS%",
            "list": ["%BYTES_SENT%", "x", 1.5, True, None],
            "nest": {"b": "%PROTOCOL%", "a": {}},
            "empty": "",
            "percent": "%%",
        }
    )
    assert render(a_request()) == (
        b'{"a":null,"empty":"","flags":"-","list":[251,"x",1.5,true,null],"mixed":"a---41",'
        b'"nest":{"a":{},"b":"HTTP/1.1"},"percent":"%","z":200}\n'
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'"q\\ \t <a>/&', rb'"\"q\\ \t <a>/&"'),
        ("é€".encode(), '"é€"'.encode()),
        (b'"\xc3\xa9\xe2\x82\x7f', rb'"\u0022\u00c3\u00a9\u00e2\u0082\u007f"'),
    ],
)
def test_json_strings_are_escaped_as_envoy_does(value: bytes, expected: bytes) -> None:
    ctx = a_request()
    ctx.request.headers.append((b"x-esc", value))
    assert compile_json_format({"k": "%REQ(x-esc)%"})(ctx) == b'{"k":' + expected + b"}\n"


def test_a_json_format_holds_json_only() -> None:
    with pytest.raises(FormatError, match="set"):
        compile_json_format({"k": {1, 2}})
    with pytest.raises(FormatError, match="FOO"):
        compile_json_format({"k": ["%FOO%"]})


# Any input


def test_operators_without_facts_are_named_for_a_warning() -> None:
    assert always_missing_commands("%PROTOCOL% %DOWNSTREAM_TLS_SESSION_ID% %CEL(request.path)%") == [
        "DOWNSTREAM_TLS_SESSION_ID",
        "CEL",
    ]


OPERATORS = st.sampled_from(
    [f"%{name}%" for name in (*_PLAIN, *_ABSENT)] + ["%REQ(x-b?:path):3%", "%START_TIME%", "%%"]
)


@given(st.lists(st.one_of(OPERATORS, st.text(st.characters(blacklist_characters="%", codec="utf-8")))))
def test_any_sequence_of_operators_and_text_compiles_and_prints(pieces: list[str]) -> None:
    text = "".join(pieces)
    ctx = a_request()
    printed = compile_format(text)(ctx)
    for piece in pieces:
        if not piece.startswith("%"):
            assert piece.encode() in printed
    assert isinstance(json.loads(compile_json_format({"k": text})(ctx))["k"], str | int | None)
    assert isinstance(compile_header_value(text)(ctx), bytes)


@given(st.text(st.sampled_from("%REQ()?:aX1_ \n[")))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    try:
        render = compile_format(text)
    except FormatError:
        return
    render(a_request())


@given(st.binary())
def test_any_header_bytes_make_valid_json(value: bytes) -> None:
    ctx = a_request()
    ctx.request.headers.append((b"x-any", value))
    line = compile_json_format({"k": "%REQ(x-any)%", "m": "=%REQ(x-any)%"})(ctx)
    assert json.loads(line)["m"] == "=" + json.loads(line)["k"]
    assert line.count(b"\n") == 1
