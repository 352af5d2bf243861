"""CORS: preflight answers and response headers are those of a real Envoy."""

from __future__ import annotations

import http.client
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pyproxy.core.http import RequestHead
from pyproxy.policy.cors import Cors, allowed_origin, apply_cors, preflight_headers
from tests.differential.envoy_process import EXTENSIONS, Envoy, Upstreams, http_listener, loopback

pytestmark = pytest.mark.integration

CORS_FILTER = {"name": "envoy.filters.http.cors", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.cors.v3.Cors"}}


def exactly(text: bytes) -> Callable[[bytes], bool]:
    return lambda value: value == text


POLICIES: dict[str, tuple[dict[str, Any], Cors]] = {
    "full": (
        {
            "allow_origin_string_match": [{"exact": "https://a.example"}, {"prefix": "http://localhost"}],
            "allow_methods": "GET,PUT",
            "allow_headers": "x-one,x-two",
            "expose_headers": "x-out",
            "max_age": "600",
            "allow_credentials": True,
        },
        Cors(
            (exactly(b"https://a.example"), lambda origin: origin.startswith(b"http://localhost")),
            b"GET,PUT",
            b"x-one,x-two",
            b"x-out",
            b"600",
            allow_credentials=True,
        ),
    ),
    "star": (
        {"allow_origin_string_match": [{"exact": "*"}], "allow_methods": "*", "allow_headers": "*"},
        Cors((exactly(b"*"),), b"*", b"*"),
    ),
    "ignore": (
        {
            "allow_origin_string_match": [{"exact": "https://a.example"}],
            "allow_methods": "GET",
            "expose_headers": "x-out",
            "allow_credentials": True,
            "forward_not_matching_preflights": False,
        },
        Cors(
            (exactly(b"https://a.example"),),
            b"GET",
            expose_headers=b"x-out",
            allow_credentials=True,
            forward_unmatched_preflights=False,
        ),
    ),
    "nobody": ({"allow_methods": "GET"}, Cors((), b"GET")),
}
ORIGINS = [None, "", "https://a.example", "http://localhost:8080", "https://evil.example"]
ASKS: list[Mapping[str, str]] = [
    {},
    {"access-control-request-method": "PUT"},
    {"access-control-request-method": "PUT", "access-control-request-headers": "x-one, x-other"},
]


@dataclass
class Side:
    envoy: Envoy

    def ask(self, policy: str, method: str, headers: Mapping[str, str]) -> tuple[bool, dict[str, str]]:
        """Whether the upstream answered, and the CORS headers of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.envoy.ports["all"], timeout=10)
        connection.request(method, f"/{policy}", headers=dict(headers))
        response = connection.getresponse()
        response.read()
        connection.close()
        assert response.status == 200
        found = {name: value for name, value in response.getheaders() if name.startswith("access-control-")}
        return "x-who" in response.headers, found


@pytest.fixture(scope="module")
def side(start_envoy: Callable[..., Envoy], start_upstreams: Callable[[int], Upstreams]) -> Iterator[Side]:
    policy_type = f"{EXTENSIONS}.filters.http.cors.v3.CorsPolicy"
    routes = [
        {
            "match": {"prefix": f"/{name}"},
            "route": {"cluster": "all"},
            "typed_per_filter_config": {"envoy.filters.http.cors": {"@type": policy_type, **settings}},
        }
        for name, (settings, _) in POLICIES.items()
    ]
    port = start_upstreams(1).ports[0]
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": loopback(port)}}]}]
    cluster = {"name": "all", "load_assignment": {"cluster_name": "all", "endpoints": endpoints}}
    yield Side(start_envoy([http_listener("all", routes, [CORS_FILTER])], [cluster]))


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
def test_every_kind_of_request_gets_what_envoy_gives_it(name: str, method: str, side: Side) -> None:
    cors = POLICIES[name][1]
    for origin, ask in itertools.product(ORIGINS, ASKS):
        headers = {**ask, **({} if origin is None else {"origin": origin})}

        head = RequestHead(method.encode(), b"/", b"x", [(n.encode(), v.encode()) for n, v in headers.items()])
        mine = preflight_headers(cors, head)
        reached = mine is None
        if mine is None:
            mine = apply_cors(cors, allowed_origin(cors, head), [])

        ours = {n.decode(): v.decode() for n, v in mine}
        assert len(ours) == len(mine)
        assert (reached, ours) == side.ask(name, method, headers), headers
