import pytest

from pyproxy.istio.fields import Percent, PortSelector
from pyproxy.istio.rules.amounts import (
    check_fault_percentage,
    check_port_selector,
    check_weights,
    not_negative,
    percent_problem,
    port_problem,
    status_problem,
)
from pyproxy.istio.rules.place import Finding, Place


@pytest.mark.parametrize(("port", "right"), [(0, False), (1, True), (65535, True), (65536, False)])
def test_ports(port: int, right: bool) -> None:
    findings: list[Finding] = []
    check_port_selector(PortSelector(number=port), Place(findings))
    assert (port_problem(port) is None) == right == (findings == [])


@pytest.mark.parametrize(("percent", "right"), [(None, True), (0, True), (100, True), (-0.1, False), (100.1, False)])
def test_percentages(percent: float | None, right: bool) -> None:
    assert (percent_problem(percent) is None) == right


@pytest.mark.parametrize(("status", "right"), [(199, False), (200, True), (600, True), (601, False)])
def test_statuses(status: int, right: bool) -> None:
    assert (status_problem(status) is None) == right


@pytest.mark.parametrize(("value", "right"), [(0, True), (0.0001, True), (0.00009, False), (100, True), (101, False)])
def test_shares_of_faults_have_envoys_resolution(value: float, right: bool) -> None:
    findings: list[Finding] = []
    check_fault_percentage(Percent(value=value), Place(findings))
    assert (findings == []) == right


@pytest.mark.parametrize(
    ("weights", "right"),
    [([], True), ([None], True), ([0], True), ([0, None], False), ([0, 1], True), ([-1, 1], False)],
)
def test_weights(weights: list[int | None], right: bool) -> None:
    findings: list[Finding] = []
    check_weights(weights, Place(findings))
    assert (findings == []) == right


def test_what_may_not_be_negative() -> None:
    assert not_negative(None) is None
    assert not_negative(0) is None
    assert not_negative(-1) is not None
