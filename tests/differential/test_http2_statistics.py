"""What a real Envoy's HTTP/2 codec counts while frames come and go, and what pyproxy counts of the same."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import pytest

from pyproxy.wire.http2_stats import Http2Stats
from tests.differential.envoy_process import Envoy
from tests.differential.http1_sides import start_envoy_side, start_our_side
from tests.differential.http2_sides import Http2Side
from tests.differential.http2_upstreams import Side2
from tests.differential.test_http1_like_envoy import DOCUMENTS, HOSTS
from tests.differential.test_http2_like_envoy import CASES
from tests.differential.test_http2_upstream_like_envoy import CASES as EXCHANGES
from tests.differential.test_http2_upstream_like_envoy import running
from tests.pyproxy_process import PyproxyProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SCENARIOS = [
    "get",
    "post",
    "trailers",
    "bad name",
    "nul",
    "no path",
    "connection header",
    "push",
    "too large",
    "101 headers",
    "post short",
    "early",
    "upstream cut",
    "reset by client",
    "refused by client",
    "ping flood",
    "leaves",
]
UPSTREAM = [
    "get",
    "reset 7",
    "reset 8",
    "reset behind the head",
    "goaway",
    "early",
    "left",
    "no status",
    "odd status",
    "connection header",
    "control",
    "wrong length",
    "too many",
    "too large",
]
NOT_COUNTED = {"get", "post", "push", "leaves", "goaway"}
RESET_BEFORE_THE_END = {"too many", "too large"}
"""Envoy refuses a head while it reads it, pyproxy once it is whole: it ended the stream, there is nothing to reset."""
OURS_ALONE = {"goaway_sent"}
"""pyproxy says why before it closes (decision 19)."""
Counts = dict[str, int]
Read = Callable[[], Counts]
Statistics = Callable[[], Mapping[str, Any]]


def of_envoy(envoy: Envoy) -> Statistics:
    return lambda: json.loads(envoy.get_admin("/stats?format=json"))


def of_pyproxy(process: PyproxyProcess) -> Statistics:
    def read() -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{process.ports['admin']}/stats?format=json") as answer:
            return json.load(answer)

    return read


def counts_of(statistics: Statistics, prefix: str) -> Read:
    """What a codec's statistics say, each name under its prefix; there are none before the first connection."""

    def read() -> Counts:
        found = {stat["name"]: stat["value"] for stat in statistics()["stats"] if "name" in stat}
        begun = any(name.startswith(f"{prefix}http2.") for name in found)
        names = [each.name for each in fields(Http2Stats) if each.name not in OURS_ALONE]
        return {name: found[f"{prefix}http2.{name}"] if begun else 0 for name in names}

    return read


def gained(read: Read, act: Callable[[], object]) -> Counts:
    before = read()
    act()
    return {name: value - before[name] for name, value in read().items() if value != before[name]}


@pytest.fixture(scope="module")
def clients(
    start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[tuple[Http2Side, Read]]]:
    """Envoy and pyproxy before an upstream of HTTP/1.1, and how to read what each counted of its clients."""
    folder = tmp_path_factory.mktemp("statistics")
    started: list[Envoy] = []

    def start(*given: Any) -> Envoy:
        started.append(start_envoy(*given))
        return started[-1]

    theirs = start_envoy_side(start, folder, HOSTS, http2_protocol_options={"allow_connect": True})
    ours, process = start_our_side(folder, DOCUMENTS.replace("REFUSING", "9"))
    yield [
        (Http2Side(theirs), counts_of(of_envoy(started[0]), "")),
        (Http2Side(ours), counts_of(of_pyproxy(process), "")),
    ]
    process.close()


@pytest.fixture(scope="module")
def services(
    start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[tuple[Side2, Read]]]:
    """Likewise before one of HTTP/2, and what each counted of that."""
    with running(start_envoy, tmp_path_factory.mktemp("statistics")) as (theirs, ours, envoy, process):
        yield [
            (theirs, counts_of(of_envoy(envoy), "cluster.app.")),
            (ours, counts_of(of_pyproxy(process), "cluster.outbound|80||app.test.")),
        ]


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_clients_do_is_counted_alike(name: str, clients: list[tuple[Http2Side, Read]]) -> None:
    theirs, ours = (gained(read, partial(side.run, CASES[name])) for side, read in clients)
    assert theirs == ours
    assert bool(theirs) == (name not in NOT_COUNTED)


@pytest.mark.parametrize("name", UPSTREAM)
def test_what_services_do_is_counted_alike(name: str, services: list[tuple[Side2, Read]]) -> None:
    theirs, ours = (gained(read, partial(side.run, EXCHANGES[name])) for side, read in services)
    if name in RESET_BEFORE_THE_END:
        assert theirs.pop("tx_reset") == 1
    assert theirs == ours
    assert bool(theirs) == (name not in NOT_COUNTED)
