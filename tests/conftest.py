"""Loud skips: a test that this machine cannot run says so at the end of the run, and in CI it fails.

A test that needs root, namespaces or Docker calls `pytest.skip("LOUD SKIP: why")`. Where CI is true the machine is
meant to have all of that, so not to run is an error, save for what ALLOWED_IN_CI names.
"""

import os
from collections import Counter
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

LOUD = "LOUD SKIP:"

# How long an example takes says how busy the machine is; tests that hang have pytest's timeout.
settings.register_profile("pyproxy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pyproxy")

ALLOWED_IN_CI: dict[str, str] = {}
"""Start of a test's id → why CI may do without it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    reason = _loud_reason(report)
    if reason and os.environ.get("CI") == "true" and not item.nodeid.startswith(tuple(ALLOWED_IN_CI)):
        report.outcome = "failed"
        report.longrepr = f"{reason}\n(CI is true: this machine is meant to run it. See tests/conftest.py.)"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.getreports("skipped")
    loud = Counter((report.nodeid.split("::")[0], reason) for report in skipped if (reason := _loud_reason(report)))
    if loud:
        terminalreporter.section("not run on this machine", yellow=True)
    for (file, reason), count in loud.items():
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.write_line(f"{file}: {tests}: {reason.removeprefix(LOUD).strip()}", yellow=True)


def _loud_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test was loudly skipped; empty when it was not."""
    if not report.skipped or not isinstance(report.longrepr, tuple):
        return ""
    reason = str(report.longrepr[2]).removeprefix("Skipped: ")
    return reason if reason.startswith(LOUD) else ""
