"""Envoy's command operators by name: what each takes, and the function that reads its fact.

Source: Envoy source/common/formatter/*.cc; the names are those that Envoy 1.40 accepts.
"""

from __future__ import annotations

import difflib
import socket
import uuid
from collections.abc import Callable, Mapping

from pyproxy.wire import facts, tls_facts
from pyproxy.wire.facts import FormatError, Getter


def compile_command(name: str, argument: str, limit: int | None) -> Getter:
    """The getter for `%NAME(ARGUMENT):LIMIT%`. Raises FormatError as Envoy refuses a configuration."""
    if name in _ABSENT:
        return facts.missing
    getter = _PLAIN.get(name)
    if getter is not None:
        if argument or limit is not None:
            raise FormatError(f"%{name}% takes neither an argument nor a length")
        return getter
    compiler = _WITH_ARGUMENT.get(name)
    if compiler is None:
        raise FormatError(f"%{name}% is not a command operator{_nearest(name)}")
    if limit is not None and name not in _CUT:
        raise FormatError(f"%{name}% does not take a length")
    if not argument and name not in _ARGUMENT_OPTIONAL:
        raise FormatError(f"%{name}% needs an argument, as in %{name}(...)%")
    getter = compiler(argument)
    return getter if limit is None else facts.cut(getter, limit)


def always_missing(name: str) -> bool:
    """True for an operator that Envoy knows and for which pyproxy has no fact: it prints as missing."""
    return name in _ABSENT


def _nearest(name: str) -> str:
    known = difflib.get_close_matches(name.upper(), [*_PLAIN, *_WITH_ARGUMENT, *_ABSENT], n=1)
    return f"; did you mean %{known[0]}%?" if known else ""


# The tables


_PLAIN: Mapping[str, Getter] = {
    **tls_facts.OPERATORS,
    "ACCESS_LOG_TYPE": facts.constant(b"DownstreamEnd"),
    "BYTES_RECEIVED": facts.number("bytes_received"),
    "BYTES_SENT": facts.number("bytes_sent"),
    "CONNECTION_ID": facts.number("connection_id"),
    "CONNECTION_TERMINATION_DETAILS": facts.text("connection_termination_details"),
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS": facts.text("downstream_local_address"),
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT": facts.without_port("downstream_local_address"),
    "DOWNSTREAM_DIRECT_LOCAL_PORT": facts.port("downstream_local_address"),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": facts.text("direct_remote_address"),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": facts.without_port("direct_remote_address"),
    "DOWNSTREAM_DIRECT_REMOTE_PORT": facts.port("direct_remote_address"),
    "DOWNSTREAM_HEADER_BYTES_RECEIVED": facts.number("request_header_bytes"),
    "DOWNSTREAM_HEADER_BYTES_SENT": facts.number("response_header_bytes"),
    "DOWNSTREAM_LOCAL_ADDRESS": facts.text("downstream_local_address"),
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": facts.without_port("downstream_local_address"),
    "DOWNSTREAM_LOCAL_PORT": facts.port("downstream_local_address"),
    "DOWNSTREAM_REMOTE_ADDRESS": facts.text("downstream_remote_address"),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": facts.without_port("downstream_remote_address"),
    "DOWNSTREAM_REMOTE_PORT": facts.port("downstream_remote_address"),
    "DOWNSTREAM_WIRE_BYTES_RECEIVED": lambda ctx: ctx.request_header_bytes + ctx.bytes_received,
    "DOWNSTREAM_WIRE_BYTES_SENT": lambda ctx: ctx.response_header_bytes + ctx.bytes_sent,
    "DURATION": facts.span("DS_RX_BEG", "DS_TX_END"),
    "GRPC_STATUS_NUMBER": facts.grpc_number,
    "HOSTNAME": facts.constant(socket.gethostname().encode() or None),
    "PROTOCOL": facts.text("protocol"),
    "REQUESTED_SERVER_NAME": facts.text("requested_server_name"),
    "REQUEST_DURATION": facts.span("DS_RX_BEG", "DS_RX_END"),
    "REQUEST_HEADERS_BYTES": facts.request_map_size,
    "REQUEST_TX_DURATION": facts.span("DS_RX_BEG", "US_TX_END"),
    "RESPONSE_CODE": facts.number("status"),
    "RESPONSE_DURATION": facts.span("DS_RX_BEG", "US_RX_BEG"),
    "RESPONSE_FLAGS": facts.flags,
    "RESPONSE_FLAGS_LONG": facts.long_flags,
    "RESPONSE_HEADERS_BYTES": facts.response_map_size,
    "RESPONSE_TRAILERS_BYTES": lambda ctx: facts.map_size(ctx.response_trailers or []),
    "RESPONSE_TX_DURATION": facts.span("US_RX_BEG", "DS_TX_END"),
    "ROUTE_NAME": facts.text("route_name"),
    "SPAN_ID": lambda ctx: (ctx.trace.span_id or None) if ctx.trace is not None else None,
    "STREAM_ID": lambda ctx: ctx.request_id or None,
    "TRACE_ID": lambda ctx: (ctx.trace.trace_id or None) if ctx.trace is not None else None,
    "UNIQUE_ID": lambda _ctx: str(uuid.uuid4()).encode(),
    "UPSTREAM_CLUSTER": facts.observed_cluster,
    "UPSTREAM_CLUSTER_RAW": facts.text("upstream_cluster"),
    "UPSTREAM_HOST": facts.text("upstream_host"),
    "UPSTREAM_HOST_NAME": facts.text("upstream_host"),
    "UPSTREAM_HOST_NAME_WITHOUT_PORT": facts.without_port("upstream_host"),
    "UPSTREAM_LOCAL_ADDRESS": facts.text("upstream_local_address"),
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": facts.without_port("upstream_local_address"),
    "UPSTREAM_LOCAL_PORT": facts.port("upstream_local_address"),
    "UPSTREAM_PROTOCOL": facts.text("upstream_protocol"),
    "UPSTREAM_REMOTE_ADDRESS": facts.text("upstream_host"),
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": facts.without_port("upstream_host"),
    "UPSTREAM_REMOTE_PORT": facts.port("upstream_host"),
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": facts.number("attempts"),
    "UPSTREAM_TRANSPORT_FAILURE_REASON": facts.text("upstream_transport_failure"),
}
"""Operators without argument or length."""

_WITH_ARGUMENT: Mapping[str, Callable[[str], Getter]] = {
    "COMMON_DURATION": facts.common_duration,
    "EMIT_TIME": facts.emitted,
    "EMIT_TIME_LOCAL": lambda argument: facts.emitted(argument, local=True),
    "ENVIRONMENT": facts.environment,
    "GRPC_STATUS": facts.grpc_status,
    "PATH": facts.path,
    "QUERY_PARAM": facts.query_param,
    "QUERY_PARAMS": facts.query_params,
    "REQ": facts.header_command(facts.request_header),
    "REQUEST_HEADER": facts.header_command(facts.request_header),
    "REQ_WITHOUT_QUERY": facts.header_without_query,
    "RESP": facts.header_command(facts.response_header),
    "RESPONSE_CODE_DETAILS": facts.details,
    "RESPONSE_HEADER": facts.header_command(facts.response_header),
    "RESPONSE_TRAILER": facts.header_command(facts.trailer),
    "START_TIME": facts.started,
    "START_TIME_LOCAL": lambda argument: facts.started(argument, local=True),
    "TRAILER": facts.header_command(facts.trailer),
}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ARGUMENT_OPTIONAL = _names(
    "EMIT_TIME EMIT_TIME_LOCAL GRPC_STATUS PATH QUERY_PARAMS RESPONSE_CODE_DETAILS START_TIME START_TIME_LOCAL"
)
_CUT = _names(
    "ENVIRONMENT PATH QUERY_PARAM QUERY_PARAMS REQ REQUEST_HEADER REQ_WITHOUT_QUERY RESP RESPONSE_HEADER "
    "RESPONSE_TRAILER TRAILER"
)
_ABSENT = _names(
    "BYTES_RETRANSMITTED CEL CLUSTER_METADATA CUSTOM_FLAGS DOWNSTREAM_CX_RTT "
    "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT "
    "DOWNSTREAM_DETECTED_CLOSE_TYPE DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_HANDSHAKE_DURATION "
    "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_LOCAL_DNS_SAN "
    "DOWNSTREAM_LOCAL_EMAIL_SAN DOWNSTREAM_LOCAL_IP_SAN DOWNSTREAM_LOCAL_OTHERNAME_SAN "
    "DOWNSTREAM_PEER_CERT_V_END DOWNSTREAM_PEER_CERT_V_START DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1 "
    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256 DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_PEER_EMAIL_SAN "
    "DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_IP_SAN DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256 "
    "DOWNSTREAM_PEER_ISSUER_SERIAL DOWNSTREAM_PEER_OTHERNAME_SAN DOWNSTREAM_TLS_GROUP DOWNSTREAM_TLS_SESSION_ID "
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON DYNAMIC_METADATA FILTER_CHAIN_NAME FILTER_STATE LISTENER_NAME "
    "LOCAL_REPLY_BODY METADATA PACKETS_RETRANSMITTED PER_REQUEST_STATE ROUNDTRIP_DURATION ROUTE_RESOLUTION_COUNT "
    "ROUTE_RESOLUTION_TIME_US TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT UPSTREAM_CONNECTION_ID "
    "UPSTREAM_CONNECTION_IDS_ATTEMPTED UPSTREAM_CONNECTION_POOL_READY_DURATION "
    "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT "
    "UPSTREAM_DETECTED_CLOSE_TYPE UPSTREAM_FILTER_STATE UPSTREAM_HEADER_BYTES_RECEIVED "
    "UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HOSTS_ATTEMPTED UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT "
    "UPSTREAM_HOST_NAMES_ATTEMPTED UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT UPSTREAM_LOCAL_CLOSE_REASON "
    "UPSTREAM_LOCAL_DNS_SAN UPSTREAM_LOCAL_IP_SAN UPSTREAM_METADATA UPSTREAM_PEER_CERT_V_END "
    "UPSTREAM_PEER_CERT_V_START UPSTREAM_PEER_IP_SAN UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID UPSTREAM_TLS_GROUP "
    "UPSTREAM_TLS_SESSION_ID UPSTREAM_WIRE_BYTES_RECEIVED UPSTREAM_WIRE_BYTES_SENT VIRTUAL_CLUSTER_NAME"
)
"""Operators of Envoy's for which a request's context has no fact (yet)."""
