from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from select import PIPE_BUF

import pytest

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead, ResponseHead
from pyproxy.snapshot.model import AccessLog
from pyproxy.telemetry.access_log import BACKLOG, BATCH, AccessLogger, compile_access_log
from pyproxy.wire.format import FormatError


class StillClock:
    """Time moves when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


def exchange() -> RequestContext:
    head = RequestHead(b"GET", b"/reviews/0?x=1", b"reviews:9080", [(b"user-agent", b"curl/8.14")])
    ctx = RequestContext(head, 100.0, 1795269407.355)
    ctx.status = 200
    ctx.details = "via_upstream"
    ctx.request_id = b"97e73afb-4a28-4e4f-8551-8190cc74f427"
    ctx.response = ResponseHead(200, [(b"x-envoy-upstream-service-time", b"12")])
    ctx.response_body_ended = 100.013
    ctx.bytes_sent = 295
    ctx.upstream_host = "10.0.0.2:9080"
    ctx.upstream_cluster = "outbound|9080||reviews.default.svc.cluster.local"
    ctx.upstream_local_address = "10.0.0.1:43178"
    ctx.downstream_local_address = "10.96.0.5:9080"
    ctx.downstream_remote_address = "10.0.0.1:60320"
    ctx.route_name = "default"
    return ctx


def logger(path: Path | str, format: str = "", encoding: str = "TEXT") -> AccessLogger:
    return AccessLogger(AccessLog(str(path), encoding, format), StillClock())


def test_istios_default_line() -> None:
    assert compile_access_log(AccessLog("/dev/stdout"))(exchange()) == (
        b'[2026-11-21T13:56:47.355Z] "GET /reviews/0?x=1 HTTP/1.1" 200 - via_upstream - "-" 0 295 13 12 "-" '
        b'"curl/8.14" "97e73afb-4a28-4e4f-8551-8190cc74f427" "reviews:9080" "10.0.0.2:9080" '
        b"outbound|9080||reviews.default.svc.cluster.local 10.0.0.1:43178 10.96.0.5:9080 10.0.0.1:60320 - default\n"
    )


def test_istios_default_json() -> None:
    line = compile_access_log(AccessLog("/dev/stdout", "JSON"))(exchange())
    record = json.loads(line)
    assert len(record) == 24
    assert list(record) == sorted(record)
    assert record["response_code"] == 200
    assert record["duration"] == 13
    assert record["upstream_service_time"] == "12"
    assert record["x_forwarded_for"] is None
    assert record["response_flags"] == "-"


def test_formats_of_ones_own() -> None:
    text = compile_access_log(AccessLog("x", "TEXT", "%REQ(:METHOD)% %RESPONSE_CODE%"))
    assert text(exchange()) == b"GET 200\n"
    assert compile_access_log(AccessLog("x", "TEXT", "a\n"))(exchange()) == b"a\n"
    records = compile_access_log(AccessLog("x", "JSON", '{"m": "%REQ(:METHOD)%", "n": {"c": "%RESPONSE_CODE%"}}'))
    assert records(exchange()) == b'{"m":"GET","n":{"c":200}}\n'


@pytest.mark.parametrize(
    ("encoding", "format", "message"),
    [
        ("TEXT", "%FOO%", "FOO"),
        ("JSON", "{", "not JSON"),
        ("JSON", "[]", "JSON object"),
        ("JSON", '{"a":"%"}', "position"),
    ],
)
def test_a_wrong_format_is_refused_before_and_replaced_while_running(
    encoding: str, format: str, message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(FormatError, match=message):
        compile_access_log(AccessLog("x", encoding, format))
    log = logger(tmp_path / "log", format, encoding)
    log.log(exchange())
    log.close()
    assert b"via_upstream" in (tmp_path / "log").read_bytes()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_lines_wait_for_a_flush_or_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    log = logger(path, "x" * 1023)
    log.log(exchange())
    assert path.read_bytes() == b"before\n"
    log.flush()
    assert path.stat().st_size == 7 + 1024
    for _ in range(BATCH // 1024):
        log.log(exchange())
    assert path.stat().st_size == 7 + 1024 + BATCH
    log.log(exchange())
    log.close()
    assert path.stat().st_size == 7 + 2048 + BATCH
    assert log.lost_bytes == 0


def test_after_a_rotation_the_log_goes_on_in_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = logger(path, "%RESPONSE_CODE%")
    log.log(exchange())
    path.rename(tmp_path / "log.1")
    log.reopen()
    log.log(exchange())
    log.close()
    assert (tmp_path / "log.1").read_bytes() == path.read_bytes() == b"200\n"


def test_a_full_disk_costs_lines_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    log = logger("/dev/full", "x")
    for _ in range(3):
        log.log(exchange())
        log.flush()
    assert log.lost_bytes == 6
    assert [record.getMessage() for record in caplog.records] == [
        "/dev/full: No space left on device: access log lines are lost"
    ]


def test_the_warning_comes_again_after_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = StillClock()
    log = AccessLogger(AccessLog("/dev/full", "TEXT", "x"), clock)
    for _ in range(3):
        log.log(exchange())
        log.flush()
        clock.now += 30
    assert len(caplog.records) == 2


def test_a_folder_that_appears_later_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = logger(tmp_path / "logs" / "log", "x")
    log.log(exchange())
    log.flush()
    assert log.lost_bytes == 2
    (tmp_path / "logs").mkdir()
    log.log(exchange())
    log.close()
    assert (tmp_path / "logs" / "log").read_bytes() == b"x\n"
    assert len(caplog.records) == 1


def test_a_broken_pipe_breaks_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log = logger(fifo, "x")
    log.log(exchange())
    log.flush()
    assert os.read(reader, 10) == b"x\n"
    os.close(reader)
    for _ in range(3):
        log.log(exchange())
        log.flush()
    assert log.lost_bytes == 6
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log.log(exchange())
    log.close()
    assert os.read(reader, 10) == b"x\n"
    os.close(reader)
    assert len(caplog.records) == 1


def test_a_slow_reader_is_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log = logger(fifo, "x" * 4095)
    for _ in range(100):
        log.log(exchange())
    log.flush()
    assert log.lost_bytes == 0
    received = 0
    while received < 100 * 4096:
        received += len(os.read(reader, 1 << 20))
        log.flush()
    for _ in range(2 * BACKLOG // 4096):
        log.log(exchange())
    log.flush()
    assert log.lost_bytes > 0
    assert [record.getMessage() for record in caplog.records] == [
        "the reader of the access log is too slow: lines are lost"
    ]
    log.close()
    os.close(reader)


def test_standard_output_may_be_anything(capfd: pytest.CaptureFixture[str]) -> None:
    log = logger("/dev/stdout", "to stdout")
    log.log(exchange())
    log.close()
    assert capfd.readouterr().out == "to stdout\n"


def test_a_pipe_is_written_whole_lines_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fifo, writes = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log = logger(fifo, "%PATH(NQ)% " + "x" * 700)
    for _ in range(20):
        log.log(exchange())
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: (writes.append(len(data)), write(file, data))[1])
    log.flush()
    monkeypatch.undo()
    assert max(writes) <= PIPE_BUF
    lines = os.read(reader, 100_000).splitlines(keepends=True)
    assert len(lines) == 20
    assert all(size % len(lines[0]) == 0 for size in writes)
    log.close()
    os.close(reader)
