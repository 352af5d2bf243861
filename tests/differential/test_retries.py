"""What is tried again, how often, and what the upstream is told of timeouts: as a real Envoy does it."""

from __future__ import annotations

import http.client
import random
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pyproxy.core.http import Headers
from pyproxy.core.outcome import Outcome
from pyproxy.policy.retry import GRPC_CONDITIONS, HTTP_CONDITIONS, RetryPolicy, RetryState, steered
from pyproxy.policy.timeouts import effective_timeouts, expected_timeout_ms, format_grpc_timeout
from tests.differential.envoy_process import Envoy, Upstreams, http_listener, loopback

pytestmark = pytest.mark.integration

WORDS = sorted(HTTP_CONDITIONS | GRPC_CONDITIONS)
CODES = frozenset({418, 404})
RETRIES = 2
TIMEOUTS = {"none": (0, 0), "whole": (7, 0), "both": (7, 2), "swapped": (2, 7), "try": (0, 3)}
"""Seconds: the route's and each attempt's."""


def retry_policy(word: str) -> dict[str, Any]:
    return {
        "retry_on": word,
        "num_retries": RETRIES,
        "retriable_status_codes": sorted(CODES),
        "retriable_headers": [{"name": "x-again", "present_match": True}],
        "retry_back_off": {"base_interval": "0.001s"},
        "per_try_timeout": "0.15s",
    }


def policy(word: str) -> RetryPolicy:
    return RetryPolicy(RETRIES, frozenset({word}), CODES, backoff_base=0.001, retriable_headers=frozenset({b"x-again"}))


def routes() -> list[dict[str, Any]]:
    by_word = [
        {
            "match": {"prefix": f"/word/{word}/"},
            "route": {"cluster_header": "x-cluster", "timeout": "0s", "retry_policy": retry_policy(word)},
        }
        for word in WORDS
    ]
    by_timeout = [
        {
            "match": {"prefix": f"/timeout/{name}/"},
            "route": {
                "cluster": "all",
                "timeout": f"{whole}s",
                "max_grpc_timeout": f"{whole}s",
                "retry_policy": {"retry_on": "5xx", "per_try_timeout": f"{per_try}s"},
            },
        }
        for name, (whole, per_try) in TIMEOUTS.items()
    ]
    return [*by_word, *by_timeout, {"match": {"prefix": "/plain/"}, "route": {"cluster": "all", "timeout": "0s"}}]


@dataclass
class Side:
    envoy: Envoy
    upstreams: Upstreams

    def heads(self, path: str, headers: Mapping[str, str]) -> list[dict[bytes, bytes]]:
        """The headers of every attempt that reached the upstream."""
        self.upstreams.seen.clear()
        connection = http.client.HTTPConnection("127.0.0.1", self.envoy.ports["all"], timeout=10)
        connection.request("GET", path, headers={"x-cluster": "all", **headers})
        connection.getresponse().read()
        connection.close()
        return [dict(line.partition(b": ")[::2] for line in head.split(b"\r\n")) for _, head in self.upstreams.seen]

    def failed_connections(self, path: str) -> int:
        """How many connections a request tried to make to a port that refuses."""
        name = "cluster.refusing.upstream_cx_connect_fail"

        def count() -> int:
            return int(self.envoy.get_admin(f"/stats?filter=^{name}$").rpartition(":")[2])

        before = count()
        self.heads(path, {"x-cluster": "refusing"})
        return count() - before


@pytest.fixture(scope="module")
def side(start_envoy: Callable[..., Envoy], start_upstreams: Callable[[int], Upstreams]) -> Iterator[Side]:
    upstreams = start_upstreams(1)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        ports = {"all": upstreams.ports[0], "refusing": unheard.getsockname()[1]}
        clusters = [
            {
                "name": name,
                "load_assignment": {
                    "cluster_name": name,
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": loopback(port)}}]}],
                },
            }
            for name, port in ports.items()
        ]
        internal = {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}
        listener = http_listener("all", routes(), internal_address_config=internal)
        yield Side(start_envoy([listener], clusters), upstreams)


ANSWERS: dict[str, tuple[int, tuple[bytes, bytes] | None]] = {
    **{str(status): (status, None) for status in (200, 404, 409, 418, 425, 429, 500, 502, 503, 504, 505)},
    **{f"grpc-{n}": (200, (b"grpc-status", b"%d" % n)) for n in (0, 1, 2, 4, 8, 13, 14)},
    "limited-503": (503, (b"x-envoy-ratelimited", b"true")),
    "limited-200": (200, (b"x-envoy-ratelimited", b"true")),
    "again-200": (200, (b"x-again", b"1")),
    "overloaded-503": (503, (b"x-envoy-overloaded", b"true")),
}


def attempts(decide: Callable[[RetryState], float | None], word: str) -> int:
    state = RetryState(policy(word), random.Random(0))
    count = 1
    while decide(state) is not None:
        count += 1
    return count


@pytest.mark.parametrize("word", WORDS)
def test_every_word_tries_again_what_envoy_tries_again(word: str, side: Side) -> None:
    ours, theirs = {}, {}
    for name, (status, header) in ANSWERS.items():
        headers: Headers = [] if header is None else [header]
        ours[name] = attempts(lambda state, s=status, h=headers: state.after_response(s, h), word)  # type: ignore[misc]
        answer = {} if header is None else {"x-answer": b"=".join(header).decode()}
        theirs[name] = len(side.heads(f"/word/{word}/", {"x-status": str(status), **answer}))
    for name, outcome in {"close": Outcome.CONNECTION_TERMINATION, "silence": Outcome.PER_TRY_TIMEOUT}.items():
        ours[name] = attempts(lambda state, o=outcome: state.after_failure(o, request_sent=True), word)  # type: ignore[misc]
        theirs[name] = len(side.heads(f"/word/{word}/", {"x-end": name}))
    ours["refused"] = attempts(
        lambda state: state.after_failure(Outcome.REMOTE_CONNECTION_FAILURE, request_sent=False), word
    )
    theirs["refused"] = side.failed_connections(f"/word/{word}/")

    assert ours == theirs


STEERING: list[dict[str, str]] = [
    {"x-envoy-retry-on": "5xx"},
    {"x-envoy-retry-on": "gateway-error, nonsense"},
    {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3"},
    {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "0"},
    {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "many"},
    {"x-envoy-retry-on": "unavailable"},
    {"x-envoy-retry-grpc-on": "unavailable"},
    {"x-envoy-max-retries": "3"},
    {"x-envoy-retry-on": "retriable-status-codes", "x-envoy-retriable-status-codes": "503, 404"},
    {"x-envoy-retry-on": "retriable-headers", "x-envoy-retriable-header-names": "X-Again,x-other"},
]


@pytest.mark.parametrize("steering", STEERING, ids=str)
@pytest.mark.parametrize("route", ["/plain/", "/word/retriable-4xx/"])
def test_an_internal_request_steers_retries_as_with_envoy(route: str, steering: dict[str, str], side: Side) -> None:
    asked = [(name.encode(), value.encode()) for name, value in steering.items()]
    base = policy("retriable-4xx") if route != "/plain/" else None
    found = steered(base, asked)
    for status, answer in ((503, "x-none=1"), (404, "x-none=1"), (200, "x-again=1"), (200, "grpc-status=14")):
        heads = side.heads(
            route, {**steering, "x-forwarded-for": "127.0.0.1", "x-status": str(status), "x-answer": answer}
        )
        name, _, value = answer.partition("=")
        state = None if found is None else RetryState(found, random.Random(0))
        count = 1
        while state is not None and state.after_response(status, [(name.encode(), value.encode())]) is not None:
            count += 1

        assert count == len(heads), (status, answer)
        assert not any(name.encode() in head for head in heads for name in steering)


@pytest.mark.parametrize("route", TIMEOUTS)
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"x-envoy-upstream-rq-timeout-ms": "1500"},
        {"x-envoy-upstream-rq-timeout-ms": "0"},
        {"x-envoy-upstream-rq-timeout-ms": "soon"},
        {"x-envoy-upstream-rq-per-try-timeout-ms": "900"},
        {"x-envoy-upstream-rq-timeout-ms": "800", "x-envoy-upstream-rq-per-try-timeout-ms": "900"},
        {"content-type": "application/grpc"},
        {"content-type": "application/grpc", "grpc-timeout": "4S"},
        {"content-type": "application/grpc", "grpc-timeout": "4000001u"},
        {"content-type": "application/grpc", "grpc-timeout": "9S", "x-envoy-upstream-rq-timeout-ms": "1500"},
        {"content-type": "application/grpc", "grpc-timeout": "nonsense"},
        {"content-type": "text/plain", "grpc-timeout": "1S"},
    ],
    ids=str,
)
def test_the_upstream_is_told_the_same_deadline(route: str, asked: dict[str, str], side: Side) -> None:
    whole, per_try = TIMEOUTS[route]
    (head,) = side.heads(f"/timeout/{route}/", {**asked, "x-forwarded-for": "127.0.0.1"})

    grpc = asked.get("content-type") == "application/grpc"
    headers = [(name.encode(), value.encode()) for name, value in asked.items()]
    grpc_timeout = asked["grpc-timeout"].encode() if "grpc-timeout" in asked else None
    found = effective_timeouts(whole, per_try, headers, grpc=grpc, grpc_timeout=grpc_timeout)
    expected = expected_timeout_ms(found)

    assert head.get(b"x-envoy-expected-rq-timeout-ms") == (b"%d" % expected if expected else None)
    told = format_grpc_timeout(expected) if grpc and expected else grpc_timeout
    assert head.get(b"grpc-timeout") == told
