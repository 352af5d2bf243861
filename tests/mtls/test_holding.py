"""A set of files that changes: what is taken up, when, and what is said."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pyproxy.mtls.holding import PATIENCE, Holding
from pyproxy.mtls.material import Material, workload_sources
from pyproxy.mtls.reading import read_workload
from tests.certificates import REVIEWS, Authority

ROOT = Authority()


class Clock:
    """Real dates, and a stopwatch that a test winds on."""

    def __init__(self, now: float) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(ROOT.own.certificate.not_valid_before_utc.timestamp() + 3700)


@pytest.fixture
def holding(tmp_path: Path, clock: Clock) -> Holding:
    ROOT.workload(tmp_path)
    return Holding(workload_sources(tmp_path), lambda now: read_workload(tmp_path, now), clock)


def serial(holding: Holding) -> str:
    assert holding.material is not None
    return holding.material.chain[0].serial


def test_what_is_there_at_first_is_in_use(holding: Holding, clock: Clock) -> None:
    assert isinstance(holding.material, Material)
    assert (holding.error, holding.accepted, holding.rejected, holding.succeeded_at) == ("", 1, 0, clock.now)


def test_nothing_new_is_nothing_to_do(holding: Holding) -> None:
    assert [holding.look() for _ in range(3)] == [False] * 3
    assert holding.accepted == 1


def test_a_new_certificate_is_taken_up_once_it_stays_as_it_is(holding: Holding, tmp_path: Path) -> None:
    before = serial(holding)
    ROOT.workload(tmp_path)
    assert holding.look() is False
    assert holding.look() is True
    assert serial(holding) != before
    assert (holding.accepted, holding.look()) == (2, False)


def test_a_touched_file_is_read_and_makes_no_difference(holding: Holding, tmp_path: Path) -> None:
    (tmp_path / "key.pem").touch()
    assert [holding.look() for _ in range(3)] == [False] * 3
    assert holding.accepted == 1


def test_half_a_replacement_waits_for_the_other_half(
    holding: Holding, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = serial(holding)
    issued = ROOT.issue(REVIEWS)
    (tmp_path / "key.pem").write_bytes(issued.key_pem)
    holding.look()
    assert holding.look() is False
    assert "the key is not that of" in holding.error
    assert serial(holding) == before
    (tmp_path / "cert-chain.pem").write_bytes(issued.pem)
    holding.look()
    assert holding.look() is True
    assert (holding.error, holding.rejected) == ("", 0)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def test_what_stays_broken_is_said_once(
    holding: Holding, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    before = serial(holding)
    (tmp_path / "cert-chain.pem").write_text("nothing")
    for _ in range(10):
        holding.look()
        clock.now += PATIENCE / 2
    errors = [each.message for each in caplog.records if each.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert errors[0].endswith("; kept the last good one")
    assert (serial(holding), holding.rejected) == (before, 1)


def test_what_was_broken_and_is_whole_again_counts_as_taken_up(holding: Holding, tmp_path: Path, clock: Clock) -> None:
    chain = (tmp_path / "cert-chain.pem").read_bytes()
    (tmp_path / "cert-chain.pem").write_text("nothing")
    for _ in range(4):
        holding.look()
        clock.now += PATIENCE
    (tmp_path / "cert-chain.pem").write_bytes(chain)
    holding.look()
    holding.look()
    assert (holding.error, holding.accepted, holding.rejected) == ("", 2, 1)


def test_a_certificate_that_expires_in_use_is_said_once(
    holding: Holding, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.now += 2 * 3600
    for _ in range(3):
        holding.look()
    assert len([each for each in caplog.messages if "in use, and expired" in each]) == 1
    assert holding.material is not None
    assert "cert-chain.pem: in use, and expired" in holding.trouble
    assert (holding.error, holding.rejected) == ("", 0)  # no rotation failed


def test_an_expired_one_whose_successor_is_broken_has_two_troubles(
    holding: Holding, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cert-chain.pem").write_text("nothing")
    for _ in range(4):
        holding.look()
        clock.now += PATIENCE
    assert holding.trouble == holding.error
    clock.now += 2 * 3600
    for _ in range(3):
        holding.look()
    assert holding.trouble.startswith(f"{holding.error}; ")
    assert "in use, and expired" in holding.trouble
    assert len([each for each in caplog.records if each.levelno >= logging.ERROR]) == 2
    assert holding.rejected == 1


def test_a_good_successor_ends_all_trouble(holding: Holding, tmp_path: Path, clock: Clock) -> None:
    clock.now += 2 * 3600
    holding.look()
    assert holding.trouble
    clock.now -= 2 * 3600
    ROOT.workload(tmp_path)
    holding.look()
    assert holding.look() is True
    assert holding.trouble == ""


def test_files_that_are_not_there_may_come(tmp_path: Path, clock: Clock) -> None:
    holding = Holding(workload_sources(tmp_path), None, clock)
    assert holding.material is None
    ROOT.workload(tmp_path)
    holding.look()
    assert holding.look() is True
    assert holding.path == str(tmp_path / "cert-chain.pem")
