import base64

import pytest
from pydantic import ValidationError

from pyproxy.istio.fields import json_name, parse_duration
from pyproxy.istio.networking.destination_rule import OutlierDetection, TCPSettings
from pyproxy.istio.networking.virtual_service import Destination, HTTPBody, HTTPRetry, HTTPRoute, StringMatch


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tcp_keepalive", "tcpKeepalive"),
        ("consecutive_5xx_errors", "consecutive5xxErrors"),
        ("http2_max_requests", "http2MaxRequests"),
        ("enable_64bit_trace_id", "enable64bitTraceId"),
        ("from_", "from"),
        ("host", "host"),
    ],
)
def test_json_names_are_protobufs(name: str, expected: str) -> None:
    assert json_name(name) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5.0),
        ("1.5s", 1.5),
        ("100ms", 0.1),
        ("1h2m", 3720.0),
        ("1h30m0.5s", 5400.5),
        (".5s", 0.5),
        ("2.s", 2.0),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("7ns", 7e-9),
        ("0", 0.0),
        ("0s", 0.0),
        ("-1m", -60.0),
        ("+1s", 1.0),
    ],
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, abs=1e-12)


@pytest.mark.parametrize("text", ["", "5", "s", "1 s", "1s ", "5sec", "1d", ".s", "-", "1e3s", "٣s", "1s2"])
def test_what_go_does_not_read_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_a_duration_has_a_millisecond_or_more_in_whole_milliseconds() -> None:
    assert HTTPRoute(timeout="1ms").timeout == 0.001  # type: ignore[arg-type]
    for text in ("0s", "999us", "1.0001s", "-1s"):
        with pytest.raises(ValidationError):
            HTTPRoute(timeout=text)  # type: ignore[arg-type]


def test_a_duration_that_may_be_zero_is() -> None:
    assert TCPSettings(idle_timeout="0s").idle_timeout == 0.0  # type: ignore[arg-type]


def test_messages_are_frozen_and_take_no_strangers() -> None:
    destination = Destination(host="a")
    with pytest.raises(ValidationError):
        destination.host = "b"
    with pytest.raises(ValidationError):
        Destination(host="a", sub_set="b")  # type: ignore[call-arg]


def test_what_is_unset_or_null_is_none_or_empty() -> None:
    route = HTTPRoute.model_validate({"match": None, "headers": None, "timeout": None})
    assert (route.match, route.headers, route.timeout, route.route) == ((), None, None, ())


def test_scalars_are_not_converted() -> None:
    for body in (
        {"attempts": "3"},
        {"attempts": 3.0},
        {"attempts": True},
        {"retryOn": 5},
        {"retryRemoteLocalities": 1},
    ):
        with pytest.raises(ValidationError):
            HTTPRetry.model_validate(body)
    with pytest.raises(ValidationError):
        OutlierDetection.model_validate({"consecutive5xxErrors": -1})


def test_a_document_names_fields_as_istio_does() -> None:
    assert HTTPRetry.model_validate({"perTryTimeout": "1s"}, by_alias=True, by_name=False).per_try_timeout == 1.0
    with pytest.raises(ValidationError):
        HTTPRetry.model_validate({"per_try_timeout": "1s"}, by_alias=True, by_name=False)


def test_of_a_oneof_one_member_is_set() -> None:
    assert StringMatch().exact is None
    with pytest.raises(ValidationError, match="exact and prefix exclude each other"):
        StringMatch(exact="a", prefix="b")


def test_bytes_are_base64() -> None:
    assert HTTPBody.model_validate({"bytes": base64.b64encode(b"abc").decode()}).bytes == b"abc"
    with pytest.raises(ValidationError, match="base64"):
        HTTPBody.model_validate({"bytes": "?"})
