from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.http import Headers
from pyproxy.snapshot.model import Tracing
from pyproxy.telemetry.request_id import ensure_request_id
from tests.telemetry.trace_cases import ID

ALWAYS, NEVER = Tracing(random_sampling=100.0), Tracing(random_sampling=0.0)


def ensured(sent: Headers, tracing: Tracing, seed: int = 1, *, generate: bool = True) -> tuple[Headers, bytes, bool]:
    headers = list(sent)
    request_id, traced = ensure_request_id(headers, dict(reversed(sent)), tracing, Random(seed), generate=generate)
    return headers, request_id, traced


@given(st.integers())
def test_a_missing_id_is_a_version_4_uuid_unless_marked(seed: int) -> None:
    headers, request_id, traced = ensured([(b"accept", b"*/*")], NEVER, seed)
    assert re.fullmatch(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", request_id)
    assert headers == [(b"accept", b"*/*"), (b"x-request-id", request_id)]
    assert not traced


@pytest.mark.parametrize(
    ("sent", "tracing", "mark", "traced"),
    [
        ([], ALWAYS, b"9", True),
        ([], Tracing(enabled=False, random_sampling=100.0), b"4", False),
        ([], Tracing(random_sampling=100.0, overall_sampling=0.0), b"4", False),
        ([(b"x-client-trace-id", b"x")], NEVER, b"b", True),
        ([(b"x-client-trace-id", b"x")], Tracing(random_sampling=0.0, client_sampling=0.0), b"4", False),
        ([(b"x-request-id", b"")], ALWAYS, b"9", True),
    ],
)
def test_the_mark_of_a_new_id_tells_why_it_is_traced(
    sent: Headers, tracing: Tracing, mark: bytes, traced: bool
) -> None:
    headers, request_id, decision = ensured(sent, tracing)
    assert (request_id[14:15], decision) == (mark, traced)
    assert [value for name, value in headers if name == b"x-request-id"] == [request_id]


@pytest.mark.parametrize(
    ("incoming", "tracing", "outgoing", "traced"),
    [
        (ID, NEVER, ID, False),
        (ID, ALWAYS, ID[:14] + "9" + ID[15:], True),
        (ID[:14] + "a" + ID[15:], NEVER, ID[:14] + "a" + ID[15:], True),
        (ID[:14] + "9" + ID[15:], Tracing(overall_sampling=0.0), ID[:14] + "4" + ID[15:], False),
        (ID[:14] + "1" + ID[15:], NEVER, ID[:14] + "1" + ID[15:], False),
        ("abc", ALWAYS, "abc", False),
        ("00000001", ALWAYS, "00000001", True),
        ("zzzzzzzz" + ID[8:14] + "9" + ID[15:], ALWAYS, "zzzzzzzz" + ID[8:14] + "9" + ID[15:], False),
        (ID[:14] + "9" + ID[15:], Tracing(enabled=False), ID[:14] + "9" + ID[15:], False),
    ],
)
def test_an_incoming_id_stays_and_decides(incoming: str, tracing: Tracing, outgoing: str, traced: bool) -> None:
    headers, request_id, decision = ensured([(b"x-request-id", incoming.encode()), (b"a", b"b")], tracing)
    assert (request_id, decision) == (outgoing.encode(), traced)
    assert headers == [(b"x-request-id", outgoing.encode()), (b"a", b"b")]


def test_every_hop_decides_alike() -> None:
    half = Tracing(random_sampling=50.0)
    for seed in range(200):
        headers, request_id, traced = ensured([], half, seed)
        assert ensured(headers, half, seed + 1)[1:] == (request_id, traced)


def test_one_percent_is_one_percent() -> None:
    traced = sum(ensured([], Tracing(), seed)[2] for seed in range(20_000))
    assert 140 < traced < 260


def test_without_generation_nothing_is_added() -> None:
    assert ensured([], ALWAYS, generate=False) == ([], b"", False)


@pytest.mark.parametrize(
    ("sent", "mark"), [([], b"a"), ([(b"x-client-trace-id", b"x")], b"b"), ([(b"x-request-id", ID.encode())], b"a")]
)
def test_a_trace_may_be_forced(sent: Headers, mark: bytes) -> None:
    request_id, traced = ensure_request_id(list(sent), dict(sent), NEVER, Random(1), forced=True)
    assert (request_id[14:15], traced) == (mark, True)


def test_without_the_mark_in_the_id_every_request_is_traced_and_ids_stay() -> None:
    tracing = Tracing(random_sampling=0.0, by_request_id=False)
    headers: list[tuple[bytes, bytes]] = []
    made, traced = ensure_request_id(headers, {}, tracing, Random(1))
    assert (chr(made[14]), traced, headers) == ("4", True, [(b"x-request-id", made)])
    assert ensure_request_id([], {b"x-request-id": made}, tracing, Random(1)) == (made, True)
    assert ensure_request_id([], {}, Tracing(enabled=False, by_request_id=False), Random(1))[1] is False
