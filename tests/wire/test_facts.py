from __future__ import annotations

import pytest

from pyproxy.core.http import ResponseHead
from pyproxy.wire import facts
from tests.wire.format_cases import a_request


def test_times_are_whole_units_between_moments_that_came() -> None:
    ctx = a_request()
    ctx.request_body_ended = 100.003
    ctx.response_first_byte = 100.0299999999
    assert facts.span("DS_RX_BEG", "DS_RX_END")(ctx) == 3
    assert facts.span("DS_RX_BEG", "US_RX_BEG", 1e6)(ctx) == 29999
    assert facts.span("US_TX_BEG", "DS_TX_END")(ctx) is None
    assert facts.span("DS_TX_END", "DS_RX_END")(ctx) is None
    ctx.started = 0.0
    assert facts.span("DS_RX_BEG", "DS_TX_END")(ctx) == 100041


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("10.0.0.1:80", b"10.0.0.1", 80),
        ("[::1]:80", b"::1", 80),
        ("", None, None),
        ("10.0.0.1:0", b"10.0.0.1", 0),
        ("/run/socket", b"/run/socket", None),
    ],
)
def test_addresses_come_apart(address: str, host: bytes | None, port: int | None) -> None:
    ctx = a_request()
    ctx.upstream_host = address
    assert facts.without_port("upstream_host")(ctx) == host
    assert facts.port("upstream_host")(ctx) == port


def test_header_maps_have_envoys_size() -> None:
    ctx = a_request()
    ctx.request.headers[:] = [(b"a", b"bc")]
    assert facts.request_map_size(ctx) == 3 + sum(
        map(
            len,
            (b":method", b"GET", b":path", b"/p/q?x=hello%20w&y=1", b":authority", b"h.example", b":scheme", b"http"),
        )
    )
    ctx.response = ResponseHead(200, [(b"a", b"bc")])
    assert facts.response_map_size(ctx) == len(b":status200abc")
    ctx.response = None
    assert facts.response_map_size(ctx) == 0


def test_every_flag_that_we_set_has_a_long_name() -> None:
    from pyproxy.core.outcome import RESPONSE_FLAG

    assert set(RESPONSE_FLAG.values()) <= set(facts.LONG_FLAGS)


def test_response_headers_are_missing_without_a_response() -> None:
    ctx = a_request()
    ctx.response = None
    ctx.status = 0
    assert facts.response_header(b"x-multi")(ctx) is None
    assert facts.response_header(b":status")(ctx) is None
