"""One line per exchange, in Istio's formats or the operator's own; written in batches, and never in traffic's way.

Source: Istio pilot/pkg/model/telemetry_logging.go for the formats, Envoy source/common/access_log/ for the batches.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
from collections.abc import Callable
from select import PIPE_BUF

from pyproxy.core.context import RequestContext
from pyproxy.core.loop import Clock
from pyproxy.snapshot.model import AccessLog
from pyproxy.wire.format import FormatError, compile_format, compile_json_format

ISTIO_TEXT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" '
    '%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" '
    '"%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% '
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% "
    "%ROUTE_NAME%\n"
)
ISTIO_JSON = {
    "start_time": "%START_TIME%",
    "route_name": "%ROUTE_NAME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}

BATCH = 64 * 1024
"""Bytes after which a batch is written without waiting for `flush`."""
BACKLOG = 1024 * 1024
"""Bytes that may wait for a slow reader of a pipe; what comes then is lost."""
_WARNING_INTERVAL = 60.0

_log = logging.getLogger(__name__)


def compile_access_log(settings: AccessLog) -> Callable[[RequestContext], bytes]:
    """The line of one exchange, with its newline. Raises FormatError."""
    if settings.encoding == "JSON":
        fields = _json_fields(settings.format) if settings.format else ISTIO_JSON
        return compile_json_format(fields, omit_empty=settings.omit_empty)
    text = settings.format or ISTIO_TEXT
    return compile_format(text if text.endswith("\n") else text + "\n", missing=b"" if settings.omit_empty else b"-")


def _json_fields(text: str) -> dict[str, object]:
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise FormatError(f"accessLogFormat is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise FormatError("accessLogFormat must be a JSON object of format strings")
    return fields


class AccessLogger:
    """Writes one file. `log` never raises and never waits; somebody calls `flush` once a second."""

    def __init__(self, settings: AccessLog, clock: Clock) -> None:
        self.settings = settings
        self.lost_bytes = 0
        self._clock = clock
        self._warned_at: float | None = None
        self._lines: list[bytes] = []
        self._size = 0
        self._unwritten = b""
        """What a slow reader has not taken yet."""
        try:
            self._render = compile_access_log(settings)
        except FormatError as error:  # documents are checked before; Istio too falls back to its own format
            _log.error("access log: %s; Istio's default format is used", error)
            self._render = compile_access_log(
                AccessLog(settings.path, settings.encoding, omit_empty=settings.omit_empty)
            )
        self._file: int | None = None
        self._is_pipe = False
        self._open()

    def log(self, ctx: RequestContext) -> None:
        """Add the line of an exchange that is over."""
        line = self._render(ctx)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what has been gathered."""
        if not self._lines and not self._unwritten:
            return
        data = self._unwritten + b"".join(self._lines)
        self._lines.clear()
        self._size = 0
        self._unwritten = b""
        if self._file is None:
            self._open()
        if self._file is None:
            self.lost_bytes += len(data)
            return
        self._unwritten = self._write(self._file, data)
        if len(self._unwritten) > BACKLOG:
            self._warn("the reader of the access log is too slow: lines are lost")
            self._give_up()

    def reopen(self) -> None:
        """Write on in a new file of the same name: the old one was moved away."""
        self.flush()
        self._close_file()
        self._open()

    def close(self) -> None:
        """Write what is left and let go of the file."""
        self.flush()
        self._give_up()
        self._close_file()

    # For itself

    def _write(self, file: int, data: bytes) -> bytes:
        """What could not be written now; an error that waiting does not cure loses everything."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(file, view[: self._portion(view)]) :]
        except BlockingIOError:
            return bytes(view)
        except OSError as error:
            self.lost_bytes += len(view)
            self._warn(f"{self.settings.path}: {error.strerror}: access log lines are lost")
            if error.errno != errno.ENOSPC:
                self._close_file()
            return b""
        self._warned_at = None
        return b""

    def _portion(self, view: memoryview) -> int:
        """Bytes to write at once: to a pipe, whole lines, so that no other worker's come between (pipe(7))."""
        if not self._is_pipe or len(view) <= PIPE_BUF:
            return len(view)
        lines = bytes(view)
        return lines.rfind(b"\n", 0, PIPE_BUF) + 1 or lines.find(b"\n") + 1 or len(lines)

    def _open(self) -> None:
        """Append; a pipe is never waited for. A failure is told once a minute and tried again with each batch."""
        path = self.settings.path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if path in _STANDARD and error.errno == errno.ENXIO:
                self._file = _duplicate(_STANDARD[path])
            if self._file is None:
                self._warn(f"{path}: {error.strerror}: access log lines are lost")
        self._is_pipe = self._file is not None and stat.S_ISFIFO(os.fstat(self._file).st_mode)

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _give_up(self) -> None:
        self.lost_bytes += len(self._unwritten)
        self._unwritten = b""

    def _warn(self, text: str) -> None:
        now = self._clock.monotonic()
        if self._warned_at is None or now - self._warned_at >= _WARNING_INTERVAL:
            self._warned_at = now
            _log.warning("%s", text)


_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}


def _duplicate(descriptor: int) -> int | None:
    """For a standard stream that is a socket: it cannot be opened by its name."""
    try:
        return os.dup(descriptor)
    except OSError:
        return None
