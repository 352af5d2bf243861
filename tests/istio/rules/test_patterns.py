import pytest

from pyproxy.istio.rules.patterns import regex_problem


@pytest.mark.parametrize("pattern", ["a", ".*", "(?i)abc", r"\d+", r"\pL", "x" * 1024])
def test_what_re2_knows(pattern: str) -> None:
    assert regex_problem(pattern) is None


@pytest.mark.parametrize("pattern", ["", "(", "*", r"(a)\1", "(?=a)", "a++", "x" * 1025, "ä" * 600])
def test_what_re2_does_not(pattern: str) -> None:
    assert regex_problem(pattern) is not None


def test_nothing_is_written_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    regex_problem("(broken")
    assert capfd.readouterr().err == ""
