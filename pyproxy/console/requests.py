"""One request's way, out of the proxies' access logs: found by its x-request-id, each hop with what its flags mean."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pyproxy.console.names import target_of

SEARCHED_BYTES = 8 * 1024 * 1024
"""Of each log, from its end: what is older is not found."""
MAX_HOPS = 100
RECENT_BYTES = 128 * 1024
MAX_RECENT = 40
MEANINGS = {
    "DC": "the client went away",
    "DI": "a delay was injected",
    "DPE": "the client sent what is no HTTP",
    "FI": "an abort was injected",
    "LH": "the service failed its health check",
    "LR": "this proxy reset the connection",
    "NC": "there is no such cluster",
    "NR": "no route matches",
    "RL": "the rate limit was reached",
    "RLSE": "the rate limit service failed",
    "SI": "the stream was idle for too long",
    "UAEX": "the external authorizer refused",
    "UC": "the service closed the connection before it answered",
    "UF": "no connection to the service could be made",
    "UH": "no healthy host: all are ejected, or there is none",
    "UMSDR": "the request took longer than max_stream_duration",
    "UO": "overflow: a circuit breaker's ceiling was reached",
    "UPE": "the service answered with what is no HTTP",
    "UR": "the service reset the stream",
    "URX": "every retry was used up",
    "UT": "the service took longer than the timeout",
    "IH": "a header was not valid",
}
"""Envoy's response flags in words."""
_TEXT = re.compile(
    r'\[(?P<start_time>[^\]]*)\] "(?P<method>\S+) (?P<path>.*?) (?P<protocol>\S+)" (?P<response_code>\d+) '
    r'(?P<response_flags>\S+) (?P<response_code_details>\S+) \S+ "(?P<upstream_transport_failure_reason>[^"]*)" '
    r"(?P<bytes_received>\d+) (?P<bytes_sent>\d+) (?P<duration>\S+) (?P<upstream_service_time>\S+) "
    r'"(?P<x_forwarded_for>[^"]*)" "(?P<user_agent>[^"]*)" "(?P<request_id>[^"]*)" "(?P<authority>[^"]*)" '
    r'"(?P<upstream_host>[^"]*)" (?P<upstream_cluster>\S+) \S+ (?P<downstream_local_address>\S+) \S+ \S+ '
    r"(?P<route_name>\S+)"
)
"""Istio's default access log as text (pilot/pkg/model/telemetry_logging.go)."""
_SHOWN = (
    *("start_time", "method", "path", "protocol", "authority", "response_code", "response_flags"),
    *("response_code_details", "upstream_transport_failure_reason", "duration", "upstream_service_time"),
    *("upstream_host", "upstream_cluster", "route_name"),
)

_LISTED = ("method", "path", "authority", "response_code", "response_flags", "duration")


def find_request(request_id: str, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The request's hops in order of time, one for each proxy that logged it; logs in other formats as their lines."""
    hops = [
        hop
        for file in _logs(paths)
        for line in lines_with(file, request_id)
        if (hop := _hop(line, file.stem, request_id)) is not None
    ]
    return sorted(hops, key=lambda hop: str(hop.get("start_time", "")))[:MAX_HOPS]


def recent_requests(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The last requests of which logs tell, those that failed first, then the youngest; each by its first hop."""
    found: dict[str, dict[str, Any]] = {}
    for file in _logs(paths):
        for line in _last_part(file, RECENT_BYTES).decode("utf-8", "replace").splitlines():
            fields = read_line(line)
            if not fields or not fields.get("request_id") or fields["request_id"] == "-":
                continue
            known = found.setdefault(
                fields["request_id"], {"id": fields["request_id"], "at": "~", "hops": 0, "failed": []}
            )
            known["hops"] += 1
            if _failed(fields):
                known["failed"].append(f"{fields['response_code']} {fields.get('response_flags') or '-'}")
            if (begun := str(fields.get("start_time"))) < known["at"]:
                known |= {"at": begun, **{name: fields.get(name) for name in _LISTED}}
    young = sorted(found.values(), key=lambda each: str(each["at"]), reverse=True)
    return sorted(young[: 10 * MAX_RECENT], key=lambda each: not each["failed"])[:MAX_RECENT]


def read_line(line: str) -> dict[str, Any] | None:
    """A line of Istio's access log by its JSON keys; None for any other."""
    if line.startswith("{"):
        try:
            found = json.loads(line)
        except ValueError:
            return None
        return found if isinstance(found, dict) and "response_code" in found else None
    match = _TEXT.match(line)
    return match.groupdict() if match else None


def _hop(line: str, proxy: str, request_id: str) -> dict[str, Any] | None:
    """None for a line that is about another request."""
    found = read_line(line)
    if found is None:
        return None if line.startswith("{") else {"proxy": proxy, "line": line[:2000]}
    if found.get("request_id") != request_id:
        return None
    hop = {name: found[name] for name in _SHOWN if found.get(name) not in (None, "", "-")}
    cluster = target_of(str(found.get("upstream_cluster") or ""))
    return {"proxy": proxy, **hop, "direction": cluster.direction, "target": cluster.title, "meaning": _meaning(found)}


def _failed(fields: dict[str, Any]) -> bool:
    return str(fields.get("response_code")) >= "5" or str(fields.get("response_code")) == "0"


def _meaning(found: dict[str, Any]) -> list[str]:
    flags = str(found.get("response_flags") or "-")
    return [f"{flag}: {MEANINGS.get(flag, 'see Envoy on response flags')}" for flag in flags.split(",") if flag != "-"]


def _logs(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.glob("*.log")) if path.is_dir() else [path]


def lines_with(file: Path, text: str) -> Iterator[str]:
    """The lines of a log's last part that hold a text."""
    content, wanted = _last_part(file, SEARCHED_BYTES), text.encode()
    at = content.find(wanted)
    while at >= 0:
        start = content.rfind(b"\n", 0, at) + 1
        end = content.find(b"\n", at)
        end = len(content) if end < 0 else end
        yield content[start:end].decode("utf-8", "replace")
        at = content.find(wanted, end)


def _last_part(file: Path, size: int) -> bytes:
    """Nothing of a file that cannot be read."""
    try:
        with file.open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - size))
            return log.read(size)
    except OSError:
        return b""
