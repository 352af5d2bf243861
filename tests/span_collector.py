"""A collector that is strict about what it takes: Zipkin v2 JSON, OTLP/HTTP in JSON, and OTLP in protocol buffers.

It shares no code with pyproxy. Sources: zipkin-api zipkin2-api.yaml, opentelemetry-proto trace.proto.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_ID = re.compile(r"[0-9a-f]{16}\Z")
_TRACE_ID = re.compile(r"(?:[0-9a-f]{16}){1,2}\Z")


@dataclass(frozen=True)
class Seen:
    """One span, whatever its format."""

    trace_id: str
    id: str
    parent_id: str
    name: str
    kind: str
    service: str
    tags: dict[str, str]
    started: float
    duration: float
    failed: bool | None = None
    """What an OTLP status says; Zipkin has none."""
    annotations: tuple[str, ...] = ()


class Collector:
    """Listens on a port of its own until `close`. `status` is what it answers."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.spans: list[Seen] = []
        self.reports: list[tuple[str, dict[str, str], int]] = []
        """(path, headers, spans) of each report."""
        self.refused: list[str] = []
        """What was wrong with reports; a test wants none."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.port: int = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """The answer to one report."""
        try:
            if path.startswith("/api/v2/spans"):
                found = list(_zipkin(headers, body))
            elif path.startswith("/v1/traces"):
                found = list(_otlp(headers, body))
            else:
                raise AssertionError(f"nobody listens at {path}")
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            self.refused.append(f"{error!r} in {body[:300]!r}")
            return 400
        if self.status < 300:
            self.spans += found
        self.reports.append((path, headers, len(found)))
        return self.status

    def wait(self, count: int, seconds: float = 60.0) -> list[Seen]:
        """The spans, once there are so many."""
        until = time.monotonic() + seconds
        while len(self.spans) < count:
            assert time.monotonic() < until, f"{len(self.spans)} of {count} spans came; {self.refused}"
            time.sleep(0.02)
        return list(self.spans)


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            status = collector.take(self.path, {k.lower(): v for k, v in self.headers.items()}, _body(self))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("transfer-encoding") != "chunked":
        return request.rfile.read(int(request.headers["content-length"]))
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body


# Zipkin


def _zipkin(headers: dict[str, str], body: bytes) -> Iterator[Seen]:
    assert headers["content-type"] == "application/json"
    spans = json.loads(body)
    assert isinstance(spans, list)
    for span in spans:
        allowed = (
            "traceId id parentId name kind timestamp duration localEndpoint remoteEndpoint annotations tags shared"
        )
        assert set(span) <= set(allowed.split()), span
        assert _TRACE_ID.match(span["traceId"]) and _ID.match(span["id"])
        assert "parentId" not in span or _ID.match(span["parentId"])
        assert span["kind"] in ("CLIENT", "SERVER")
        assert isinstance(span["timestamp"], int) and isinstance(span["duration"], int) and span["duration"] > 0
        assert all(isinstance(value, str) and value for value in span["tags"].values())
        endpoint = span["localEndpoint"]
        assert set(endpoint) <= {"serviceName", "ipv4", "ipv6", "port"}
        yield Seen(
            span["traceId"],
            span["id"],
            span.get("parentId", ""),
            span["name"],
            span["kind"],
            endpoint["serviceName"],
            span["tags"],
            span["timestamp"] / 1e6,
            span["duration"] / 1e6,
            annotations=tuple(each["value"] for each in span["annotations"]),
        )


# OTLP


def _otlp(headers: dict[str, str], body: bytes) -> Iterator[Seen]:
    if headers["content-type"] == "application/x-protobuf":
        yield from _otlp_protobuf(body)
        return
    assert headers["content-type"] == "application/json"
    request = json.loads(body)
    assert set(request) == {"resourceSpans"}
    for resource in request["resourceSpans"]:
        about = _json_attributes(resource["resource"]["attributes"])
        for scope in resource["scopeSpans"]:
            assert scope["scope"]["name"]
            for span in scope["spans"]:
                yield _json_span(span, about["service.name"])


def _json_span(span: dict[str, Any], service: str) -> Seen:
    allowed = (
        "traceId spanId parentSpanId traceState name kind startTimeUnixNano endTimeUnixNano attributes status flags"
    )
    assert set(span) <= set(allowed.split()), span
    assert re.fullmatch(r"[0-9a-f]{32}", span["traceId"]) and _ID.match(span["spanId"])
    for time_ in (span["startTimeUnixNano"], span["endTimeUnixNano"]):
        assert isinstance(time_, str) and time_.isdecimal()
    started, ended = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    assert ended >= started > 10**18
    return Seen(
        span["traceId"],
        span["spanId"],
        span.get("parentSpanId", ""),
        span["name"],
        {2: "SERVER", 3: "CLIENT"}[span["kind"]],
        service,
        _json_attributes(span["attributes"]),
        started / 1e9,
        (ended - started) / 1e9,
        failed=span.get("status", {}).get("code", 0) == 2,
    )


def _json_attributes(attributes: list[dict[str, Any]]) -> dict[str, str]:
    assert all(set(each) == {"key", "value"} and set(each["value"]) == {"stringValue"} for each in attributes)
    found = {each["key"]: each["value"]["stringValue"] for each in attributes}
    assert len(found) == len(attributes)
    return found


@dataclass
class _Message:
    """The fields of one message, in order."""

    fields: list[tuple[int, int | bytes]] = field(default_factory=list)

    def all(self, number: int) -> list[Any]:
        return [value for key, value in self.fields if key == number]

    def one(self, number: int, default: Any = b"") -> Any:
        found = self.all(number)
        return found[-1] if found else default


def _message(data: bytes) -> _Message:
    found, place = _Message(), 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            found.fields.append((key >> 3, varint()))
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        value = data[place : place + size]
        found.fields.append((key >> 3, value if kind == 2 else int.from_bytes(value, "little")))
        place += size
    return found


def _otlp_protobuf(body: bytes) -> Iterator[Seen]:
    for resource in map(_message, _message(body).all(1)):
        about = _attributes(_message(resource.one(1)).all(1))
        for scope in map(_message, resource.all(2)):
            for span in map(_message, scope.all(2)):
                started, ended = span.one(7), span.one(8)
                yield Seen(
                    span.one(1).hex(),
                    span.one(2).hex(),
                    span.one(4).hex(),
                    span.one(5).decode(),
                    {2: "SERVER", 3: "CLIENT"}[span.one(6)],
                    about["service.name"],
                    {key: value for key, value in _attributes(span.all(9)).items() if value},
                    started / 1e9,
                    (ended - started) / 1e9,
                    failed=_message(span.one(15)).one(3, 0) == 2,
                )


def _attributes(fields: list[bytes]) -> dict[str, str]:
    pairs = [_message(each) for each in fields]
    return {pair.one(1).decode(): _message(pair.one(2)).one(1).decode() for pair in pairs}
