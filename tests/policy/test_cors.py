"""CORS decisions. That they are Envoy's is shown in tests/differential."""

from __future__ import annotations

from pyproxy.core.http import Headers, RequestHead
from pyproxy.policy.cors import Cors, allowed_origin, apply_cors, preflight_headers, response_headers

SHOP = b"https://shop.example"
CORS = Cors(
    (lambda origin: origin == SHOP,),
    allow_methods=b"GET,PUT",
    allow_headers=b"x-a",
    expose_headers=b"x-b",
    max_age=b"60",
    allow_credentials=True,
)


def request(method: bytes = b"GET", **headers: bytes) -> RequestHead:
    lines: Headers = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return RequestHead(method, b"/", b"x", lines)


def test_an_origin_is_allowed_when_one_of_the_matchers_says_so() -> None:
    assert allowed_origin(CORS, request(origin=SHOP)) == SHOP
    assert allowed_origin(CORS, request(origin=b"https://evil.example")) == b""
    assert allowed_origin(CORS, request()) == b""


def test_a_matcher_of_a_star_allows_everyone() -> None:
    anyone = Cors((lambda origin: origin == b"*",))

    assert allowed_origin(anyone, request(origin=b"https://evil.example")) == b"https://evil.example"


def test_a_preflight_is_answered() -> None:
    preflight = request(b"OPTIONS", origin=SHOP, access_control_request_method=b"PUT")

    assert preflight_headers(CORS, preflight) == [
        (b"access-control-allow-origin", SHOP),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"x-b"),
        (b"access-control-allow-methods", b"GET,PUT"),
        (b"access-control-allow-headers", b"x-a"),
        (b"access-control-max-age", b"60"),
    ]


def test_what_is_no_preflight_goes_on() -> None:
    assert preflight_headers(CORS, request(b"OPTIONS", origin=SHOP)) is None
    assert preflight_headers(CORS, request(b"GET", origin=SHOP, access_control_request_method=b"PUT")) is None
    assert preflight_headers(CORS, request(b"OPTIONS", access_control_request_method=b"PUT")) is None


def test_a_preflight_of_another_origin_goes_on_unless_it_shall_be_kept_from_the_upstream() -> None:
    preflight = request(b"OPTIONS", origin=b"https://evil.example", access_control_request_method=b"PUT")
    keeping = Cors((), allow_methods=b"GET", allow_credentials=True, forward_unmatched_preflights=False)

    assert preflight_headers(CORS, preflight) is None
    assert preflight_headers(keeping, preflight) == [
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-allow-methods", b"GET"),
    ]


def test_a_star_gives_back_what_was_asked_for() -> None:
    cors = Cors((lambda origin: True,), allow_methods=b"*", allow_headers=b"*")
    preflight = request(
        b"OPTIONS", origin=SHOP, access_control_request_method=b"PUT", access_control_request_headers=b"x-q"
    )

    assert preflight_headers(cors, preflight) == [
        (b"access-control-allow-origin", SHOP),
        (b"access-control-allow-methods", b"PUT"),
        (b"access-control-allow-headers", b"x-q"),
    ]


def test_a_response_carries_ours_in_place_of_the_upstreams() -> None:
    upstream: Headers = [(b"access-control-allow-origin", b"*"), (b"x-b", b"1"), (b"access-control-max-age", b"5")]

    assert apply_cors(CORS, SHOP, upstream) == [
        (b"x-b", b"1"),
        (b"access-control-max-age", b"5"),
        *response_headers(CORS, SHOP),
    ]
    assert apply_cors(CORS, b"", upstream) is upstream
