from __future__ import annotations

from pathlib import Path

import pytest

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.snapshot.model import AccessLog, Direction, Reporting, Telemetry
from pyproxy.telemetry.access_logs import AccessLogs, compile_filter
from tests.fakes import FakeClock


def context(status: int) -> RequestContext:
    ctx = RequestContext(RequestHead(b"GET", b"/%d" % status, b"a", []), 0.0, 0.0)
    ctx.status = status
    return ctx


def logs(folder: Path) -> AccessLogs:
    every = AccessLog(str(folder / "all"), format="%REQ(:PATH)%")
    errors = AccessLog(str(folder / "errors"), format="%REQ(:PATH)%", filter="response.code >= 500")
    return AccessLogs(Telemetry(Reporting(access_logs=(every, errors)), Reporting(access_logs=(errors,))), FakeClock())


def test_each_direction_writes_its_own_files(tmp_path: Path) -> None:
    found = logs(tmp_path)
    for status in (200, 503):
        found.log(context(status), Direction.OUTBOUND)
        found.log(context(status), Direction.INBOUND)
        found.log(context(status), Direction.GATEWAY)
    found.flush()
    assert (tmp_path / "all").read_text().split() == ["/200", "/200", "/503", "/503"]
    assert (tmp_path / "errors").read_text().split() == ["/503", "/503", "/503"]
    found.close()


def test_the_same_settings_fit(tmp_path: Path) -> None:
    found = logs(tmp_path)
    assert found.fits(Telemetry(Reporting(access_logs=found.settings[0]), Reporting(access_logs=found.settings[1])))
    assert not found.fits(Telemetry())
    found.close()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("response.code == 404", True),
        ("response.code", False),
        ("request.headers['no'] == 'x'", False),
        ("no.such.attribute", False),
        ("xds.listener_direction == 1", True),
    ],
)
def test_only_what_is_true_passes(expression: str, expected: bool) -> None:
    condition = compile_filter(expression, inbound=True)
    assert condition is not None
    assert condition(context(404)) is expected


def test_without_an_expression_there_is_no_condition() -> None:
    assert compile_filter("", inbound=False) is None
