"""Calls of gRPC-Web as a real Envoy translates them: binary and base64, trailers, answers that are no gRPC.

The log's gRPC status is not compared: Envoy forgets a status that came in trailers, and says 2 (docs/decisions/0022).
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from tests.differential.istio_as_envoy import Host
from tests.differential.resilience import Ask, Comparison, Scenario
from tests.differential.scripted_hosts import CLOSE, SILENCE, answer
from tests.differential.scripted_streams import GRPC_TYPE, grpc_answer, grpc_error, half_answer, trailers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

MESSAGE = b"\0\0\0\0\5hello"
BINARY = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
TEXT = {"content-type": "application/grpc-web-text", "accept": "application/grpc-web-text"}


def call(*script: Any, kind: dict[str, str] = BINARY, body: list[bytes] | None = None, **more: Any) -> Scenario:
    """A call by a client of HTTP/1.1."""
    pieces = [MESSAGE] if body is None else body
    headers = {**kind, **more.pop("headers", {})}
    asks = [Ask("POST", "/t.T/Call", headers=headers, body=pieces, **more.pop("ask", {}))]
    return Scenario(
        **{"script": script or [grpc_answer()], "asks": asks, "upstream": 2, "grpc_web": True, "log": "grpc", **more}
    )


def text(*script: Any, **more: Any) -> Scenario:
    """In base64 both ways."""
    return call(*script, **{"kind": TEXT, "body": [base64.b64encode(MESSAGE)], **more})


ENCODED = base64.b64encode(MESSAGE * 3)
PAGE = answer(200, b"content-type: text/html", body=b"<html>100% wrong</html>")
ANSWERS = {
    "one message": grpc_answer(),
    "many messages": grpc_answer(messages=20),
    "messages with pauses": grpc_answer(messages=3, pause=0.05),
    "no message": grpc_answer(messages=0),
    "an error behind a message": grpc_answer(13),
    "an error in headers": grpc_error(5, (b"grpc-message", b"not%20there")),
    "a plain 503": answer(503, body=b"go away"),
    "a plain 404 without a body": answer(404, body=b""),
    "a page": PAGE,
    "a long page": answer(500, body=b"x" * 3000),
    "a plain answer with trailers": trailers((b"x-sum", b"1"), status=418, body=b"tea"),
    "no trailers": answer(200, b"content-type: application/grpc", body=MESSAGE),
    "grpc-web already": answer(200, b"content-type: application/grpc-web+proto", body=MESSAGE),
    "a close": CLOSE,
    "broken after the head": half_answer(headers=[GRPC_TYPE]),
}
SCENARIOS = {
    **{f"binary: {name}": call(step) for name, step in ANSWERS.items()},
    **{f"text: {name}": text(step) for name, step in ANSWERS.items()},
    **{
        f"{kind}": call(kind={"content-type": kind})
        for kind in (
            "application/grpc-web",
            "application/grpc-web+json",
            "application/grpc-web; charset=utf-8",
            "application/grpc-web-text+proto",
            "application/grpc",
            "text/plain",
        )
    },
    "text in pieces": text(body=[ENCODED[:4], ENCODED[4:12], ENCODED[12:]], ask={"pause": 0.05}),
    "text, answered in binary": text(kind={"content-type": "application/grpc-web-text"}),
    "binary, answered in text": call(headers={"accept": "application/grpc-web-text+proto"}),
    "text that is none": text(body=[b"????"]),
    "text of a bad size": text(body=[ENCODED[:-1]]),
    "text of a bad size, late": text(body=[b"", ENCODED[:-1]], ask={"pause": 0.1}),
    "text that is none, late": text(body=[b"", b"????"], ask={"pause": 0.1}),
    "text of nothing": text(body=[]),
    "compression asked for": call(headers={"grpc-accept-encoding": "gzip"}),
    "chunked": call(ask={"chunked": True}),
    "refused": call(hosts=[Host("refuses")]),
    "a timeout": call(SILENCE, route={"timeout": "0.2s"}),
    "a deadline": call(SILENCE, headers={"grpc-timeout": "200m"}),
    "unavailable, then served": call(grpc_error(14), grpc_answer()),
    **{
        f"a fault of {block}": call(route={"fault": {"abort": {**block, "percentage": {"value": 100}}}})
        for block in ({"httpStatus": 403}, {"grpcStatus": "UNAVAILABLE"})
    },
    "inbound": call(inbound=True),
    "inbound: text, an error": text(grpc_error(14), inbound=True, hosts=[Host(1)]),
}
SCENARIOS |= {
    f"HTTP/2: {name}": replace(SCENARIOS[name], client=2)
    for name in (
        "binary: one message",
        "text: many messages",
        "binary: a plain 503",
        "binary: an error in headers",
        "refused",
    )
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_call_of_grpc_web(name: str, comparison: Comparison) -> None:
    assert not comparison.trouble(name)
