from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.http import Headers
from pyproxy.snapshot.model import Propagation, Tracing
from pyproxy.telemetry.trace_headers import NO_TRACE, TRACE_HEADERS, Trace, continue_trace, told_of_child
from tests.telemetry.trace_cases import CASES, P, S, T, W

ALWAYS = Tracing(random_sampling=100.0)


def onward(sent: Headers, tracing: Tracing = ALWAYS, *, traced: bool = True) -> tuple[Headers, Trace]:
    headers = list(sent)
    known = {name: value for name, value in reversed(sent) if name in TRACE_HEADERS}
    return headers, continue_trace(headers, known, tracing, Random(7), traced)


def case(name: str) -> Headers:
    return [(header.encode(), value.encode()) for header, value in CASES[name]]


def test_a_request_without_context_starts_a_trace_behind_its_headers() -> None:
    headers, trace = onward([(b"accept", b"*/*")])
    assert headers == [
        (b"accept", b"*/*"),
        (b"x-b3-traceid", trace.trace_id),
        (b"x-b3-spanid", trace.span_id),
        (b"x-b3-sampled", b"1"),
    ]
    assert len(trace.trace_id) == 32
    assert trace.span_id == trace.trace_id[16:]
    assert (trace.parent_id, trace.sampled) == (b"", True)


def test_an_unsampled_request_carries_its_context_all_the_same() -> None:
    headers, trace = onward([], traced=False)
    assert headers[-1] == (b"x-b3-sampled", b"0")
    assert not trace.sampled


def test_a_child_keeps_the_trace_and_names_its_parent() -> None:
    headers, trace = onward([*case("B3 of 128 bits"), (b"accept", b"*/*")])
    assert headers == [
        (b"accept", b"*/*"),
        (b"x-b3-traceid", T.encode()),
        (b"x-b3-spanid", trace.span_id),
        (b"x-b3-parentspanid", S.encode()),
        (b"x-b3-sampled", b"1"),
    ]
    assert trace.parent_id == S.encode() != trace.span_id


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize(("flag", "sampled"), [("0", False), ("1", True), ("true", True), ("junk", False)])
def test_the_clients_sampling_decision_wins(flag: str, sampled: bool, traced: bool) -> None:
    assert onward([(b"x-b3-sampled", flag.encode())], traced=traced)[1].sampled is sampled


def test_one_b3_header_in_gives_one_b3_header_out() -> None:
    headers, trace = onward(case("b3 whole"))
    assert headers == [(b"b3", b"-".join((T.encode(), trace.span_id, b"1", S.encode())))]


def test_64_bit_traces_stay_so_and_may_be_asked_for() -> None:
    assert onward(case("B3 of 64 bits with parent, not sampled"))[1].trace_id == T[16:].encode()
    trace = onward([], Tracing(random_sampling=100.0, trace_id_128bit=False))[1]
    assert trace.trace_id == trace.span_id
    assert len(trace.trace_id) == 16


def test_ids_of_any_length_come_out_with_sixteen_digits_or_thirty_two() -> None:
    headers, trace = onward(case("short ids"))
    assert (trace.trace_id, trace.parent_id) == (b"00000000000000ab", b"0000000000000001")
    assert onward(case("upper half zero"))[1].trace_id == S.encode()
    assert onward(case("upper case"))[1].trace_id == T.encode()
    assert dict(headers)[b"x-b3-traceid"] == trace.trace_id


@pytest.mark.parametrize(
    "name",
    [
        "trace id not hex",
        "span id not hex",
        "trace id of 33",
        "span id of 17",
        "parent id not hex",
        "ids empty",
        "b3 x",
        "b3 empty",
        "b3 short",
        "b3 cut",
        "b3 bad decision",
        "b3 bad parent",
        "b3 too long",
    ],
)
def test_malformed_identifiers_stay_untouched(name: str) -> None:
    sent = case(name)
    headers, trace = onward(sent)
    assert headers == sent
    assert trace is NO_TRACE


def test_w3c_passes_untouched_beside_b3() -> None:
    headers, trace = onward(case("W3C"))
    assert headers[:2] == case("W3C")
    assert trace.trace_id != T.encode()


def test_b3_with_w3c_reads_and_writes_both() -> None:
    headers, trace = onward(case("W3C"), Tracing(propagation=Propagation.B3_AND_W3C))
    assert headers == [
        (b"tracestate", b"a=b"),
        (b"x-b3-traceid", T.encode()),
        (b"x-b3-spanid", trace.span_id),
        (b"x-b3-parentspanid", S.encode()),
        (b"x-b3-sampled", b"1"),
        (b"traceparent", b"00-%b-%b-01" % (T.encode(), trace.span_id)),
    ]


@pytest.mark.parametrize(
    ("incoming", "traced", "sampled"), [("01", True, True), ("01", False, False), ("00", True, False)]
)
def test_opentelemetry_samples_when_both_sides_say_so(incoming: str, traced: bool, sampled: bool) -> None:
    tracing = Tracing(propagation=Propagation.W3C)
    headers, trace = onward([(b"traceparent", (W[:-2] + incoming).encode())], tracing, traced=traced)
    flags = b"01" if sampled else b"00"
    assert headers == [
        (b"traceparent", b"00-%b-%b-%b" % (T.encode(), trace.span_id, flags)),
        (b"tracestate", b""),
    ]
    assert (trace.parent_id, trace.sampled) == (S.encode(), sampled)


def test_tracing_off_touches_nothing() -> None:
    headers, trace = onward(case("b3 whole"), Tracing(enabled=False))
    assert headers == case("b3 whole")
    assert trace is NO_TRACE


ANY_VALUE = st.one_of(
    st.sampled_from([T, S, P, W, "0", "1", "d", "", f"{T}-{S}-1-{P}", f"{T}-{S}", "true", "0x12", "1_2", " 1", "-1"]),
    st.text(st.sampled_from("0123456789abcdefABCDEFx-_ "), max_size=70),
)
ANY_HEADERS = st.lists(
    st.tuples(st.sampled_from([*sorted(TRACE_HEADERS), b"accept"]), ANY_VALUE.map(str.encode)), max_size=6
)


@given(ANY_HEADERS, st.sampled_from(list(Propagation)), st.booleans())
def test_whatever_comes_in_what_goes_out_is_well_formed_or_as_it_was(
    sent: Headers, propagation: Propagation, traced: bool
) -> None:
    headers, trace = onward(sent, Tracing(propagation=propagation), traced=traced)
    if trace is NO_TRACE:
        assert headers == sent
        return
    assert re.fullmatch(rb"[0-9a-f]{16}(?:[0-9a-f]{16})?", trace.trace_id)
    assert re.fullmatch(rb"[0-9a-f]{16}", trace.span_id)
    assert re.fullmatch(rb"(?:[0-9a-f]{16})?", trace.parent_id)
    out = dict(headers)
    if propagation is Propagation.W3C:
        assert out[b"traceparent"].startswith(b"00-" + trace.trace_id + b"-" + trace.span_id)
    elif b"b3" in out:
        assert out[b"b3"].startswith(trace.trace_id + b"-" + trace.span_id)
    else:
        assert (out[b"x-b3-traceid"], out[b"x-b3-spanid"]) == (trace.trace_id, trace.span_id)
    assert [header for header in headers if header[0] == b"accept"] == [
        header for header in sent if header[0] == b"accept"
    ]


def test_an_attempts_context_takes_the_place_of_its_requests() -> None:
    rng = Random(1)
    for propagation in Propagation:
        tracing = Tracing(propagation=propagation)
        headers: Headers = [(b"a", b"b")]
        parent = continue_trace(headers, {}, tracing, rng, traced=True)
        before = [name for name, _ in headers]
        child = told_of_child(headers, {}, parent, tracing, rng)
        assert (child.trace_id, child.parent_id, child.sampled) == (parent.trace_id, parent.span_id, True)
        sent = dict(headers)
        assert set(before) <= set(sent)
        if propagation is not Propagation.W3C:
            assert (sent[b"x-b3-spanid"], sent[b"x-b3-parentspanid"]) == (child.span_id, parent.span_id)
        if propagation is not Propagation.B3:
            assert sent[b"traceparent"] == b"00-%b-%b-01" % (parent.trace_id, child.span_id)
