"""How one attempt ended, named once: retry, outlier detection, replies and metrics all read this."""

from __future__ import annotations

from enum import Enum


class Outcome(Enum):
    """The end of one attempt. Values are Envoy's reset-reason words where there is one."""

    RESPONSE = "response"
    """A response head arrived; its status says the rest."""
    LOCAL_CONNECTION_FAILURE = "local connection failure"
    REMOTE_CONNECTION_FAILURE = "remote connection failure"
    CONNECTION_TIMEOUT = "connection timeout"
    CONNECTION_TERMINATION = "connection termination"
    """The upstream closed after the connection was made and before the response head was whole."""
    REMOTE_RESET = "remote reset"
    REMOTE_REFUSED_STREAM = "remote refused stream reset"
    REMOTE_CONNECT_ERROR = "remote error with CONNECT request"
    """RST_STREAM CONNECT_ERROR, whatever the request was."""
    LOCAL_RESET = "local reset"
    PROTOCOL_ERROR = "protocol error"
    OVERFLOW = "overflow"
    PER_TRY_TIMEOUT = "per try timeout"
    TIMEOUT = "timeout"
    """The route's own timeout: final."""
    NO_HEALTHY_UPSTREAM = "no healthy upstream"


RESPONSE_FLAG: dict[Outcome, str] = {
    Outcome.LOCAL_CONNECTION_FAILURE: "UF",
    Outcome.REMOTE_CONNECTION_FAILURE: "UF",
    Outcome.CONNECTION_TIMEOUT: "UF",
    Outcome.CONNECTION_TERMINATION: "UC",
    Outcome.REMOTE_RESET: "UR",
    Outcome.REMOTE_REFUSED_STREAM: "UR",
    Outcome.REMOTE_CONNECT_ERROR: "UR",
    Outcome.LOCAL_RESET: "LR",
    Outcome.PROTOCOL_ERROR: "UPE",
    Outcome.OVERFLOW: "UO",
    Outcome.PER_TRY_TIMEOUT: "UT",
    Outcome.TIMEOUT: "UT",
    Outcome.NO_HEALTHY_UPSTREAM: "UH",
}
"""Envoy's response flag for each failed outcome (envoy/stream_info/stream_info.h)."""
