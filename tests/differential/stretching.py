"""Makes the times that documents and requests speak of longer, so that a busy machine keeps them apart as well."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_MILLISECONDS = {"x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms"}
_GRPC_TIMEOUT = re.compile(r"(\d+)([HMSmun])")


def stretched_block(block: Any, by: int) -> Any:
    """Part of a document: each duration in it, such as `200ms`, times `by`."""
    if isinstance(block, Mapping):
        return {key: stretched_block(value, by) for key, value in block.items()}
    if isinstance(block, list):
        return [stretched_block(value, by) for value in block]
    match = _DURATION.fullmatch(block) if isinstance(block, str) else None
    return f"{float(match[1]) * by:g}{match[2]}" if match else block


def stretched_headers(headers: Mapping[str, str], by: int) -> dict[str, str]:
    """Of a request: how long it and each try may take, as Envoy and gRPC are told."""
    return {name: _stretched_header(name, value, by) for name, value in headers.items()}


def _stretched_header(name: str, value: str, by: int) -> str:
    if name in _MILLISECONDS and value.isdecimal():
        return str(int(value) * by)
    match = _GRPC_TIMEOUT.fullmatch(value) if name == "grpc-timeout" else None
    return f"{int(match[1]) * by}{match[2]}" if match else value
