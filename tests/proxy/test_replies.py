"""The answers of our own."""

import pytest

from pyproxy.core.outcome import RESPONSE_FLAG, Outcome
from pyproxy.proxy import replies
from pyproxy.proxy.replies import Reply, grpc_reply_headers, upstream_failure

FAILURES = [outcome for outcome in Outcome if outcome is not Outcome.RESPONSE]


@pytest.mark.parametrize("outcome", FAILURES)
def test_every_failure_has_an_answer_with_its_flag(outcome: Outcome) -> None:
    reply = upstream_failure(outcome, "", retried=False)
    assert reply.status in (502, 503, 504)
    assert reply.flag == RESPONSE_FLAG[outcome]
    assert reply.body
    assert reply.details


def test_the_body_says_how_the_last_attempt_ended_and_whether_it_was_the_first() -> None:
    first = upstream_failure(Outcome.CONNECTION_TERMINATION, "", retried=False)
    assert first.body == (
        b"upstream connect error or disconnect/reset before headers. reset reason: connection termination"
    )
    assert first.details == "upstream_reset_before_response_started{connection_termination}"
    last = upstream_failure(Outcome.CONNECTION_TERMINATION, "", retried=True)
    assert b"retried and the latest reset reason: connection termination" in last.body


def test_an_overflow_tells_the_client_that_it_was_one() -> None:
    assert (b"x-envoy-overloaded", b"true") in upstream_failure(Outcome.OVERFLOW, "", retried=False).headers


def test_a_codec_error_is_its_reason_phrase_and_a_close() -> None:
    reply = replies.codec_error(431, "http1.headers_too_large")
    assert (reply.status, reply.body, reply.flag, reply.close) == (431, b"Request Header Fields Too Large", "DPE", True)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(503), b"14"),
        (Reply(404), b"12"),
        (Reply(403), b"7"),
        (Reply(418), b"2"),
        (Reply(200, grpc_status=8), b"8"),
    ],
)
def test_a_grpc_client_gets_a_grpc_status(reply: Reply, status: bytes) -> None:
    assert dict(grpc_reply_headers(reply))[b"grpc-status"] == status


def test_a_grpc_message_is_percent_encoded() -> None:
    headers = grpc_reply_headers(Reply(503, "50 % Ärger\n".encode()))
    assert (b"grpc-message", b"50 %25 %C3%84rger%0A") in headers
    assert b"grpc-message" not in dict(grpc_reply_headers(Reply(503, b"to HEAD"), message=False))
    assert b"grpc-message" not in dict(grpc_reply_headers(Reply(503)))


def test_a_timeout_may_be_204() -> None:
    assert replies.timeout_as(replies.TIMEOUT, 504) is replies.TIMEOUT
    found = replies.timeout_as(replies.PER_TRY_TIMEOUT, 204)
    assert (found.status, found.body, found.flag) == (204, b"", "UT")
