import pytest

from pyproxy.lab.load import Met
from pyproxy.lab.samples import Samples
from pyproxy.lab.scenario import Check, Measured, Step, judge, shown


def measured(**statuses: int) -> Measured:
    met = Met()
    for name, count in statuses.items():
        for _ in range(count):
            met.record("anybody", int(name.removeprefix("s")), "", 1.0)
    return Measured(5.0, Samples(), Samples(), met)


STEP = Step("failing", (Check("answered", lambda m: m.met.share(200), 0.4, 0.6, "turn the knob"),))


@pytest.mark.parametrize(("good", "ok"), [(3, False), (4, True), (6, True), (7, False)])
def test_a_value_holds_from_low_to_high(good: int, ok: bool) -> None:
    (finding,) = judge(STEP, measured(s200=good, s503=10 - good))
    assert finding.ok is ok
    assert finding.as_json()["hint"] == ("" if ok else "turn the knob")
    assert finding.as_json()["value"] == good / 10


def test_nothing_measured_does_not_hold_and_says_so() -> None:
    (finding,) = judge(STEP, measured())
    assert (finding.ok, finding.value) == (False, None)
    assert "no such requests" in finding.hint


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [(0.1023, "%", "10.2 %"), (512.4, "ms", "512 ms"), (2.94, "ms", "2.9 ms"), (64.0, "", "64"), (1.53, "", "1.5")],
)
def test_numbers_are_shown_as_people_read_them(number: float, unit: str, text: str) -> None:
    assert shown(number, unit) == text
