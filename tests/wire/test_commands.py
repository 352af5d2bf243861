from __future__ import annotations

import pytest

from pyproxy.wire.commands import _ABSENT, _PLAIN, _WITH_ARGUMENT, always_missing, compile_command
from pyproxy.wire.facts import FormatError
from tests.wire.format_cases import a_request


def test_every_operator_is_in_one_table() -> None:
    names = [*_PLAIN, *_WITH_ARGUMENT, *_ABSENT]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", sorted(_PLAIN))
def test_an_operator_without_argument_takes_none(name: str) -> None:
    compile_command(name, "", None)(a_request())
    for argument, limit in (("x", None), ("", 3)):
        with pytest.raises(FormatError, match="neither"):
            compile_command(name, argument, limit)


def test_a_cut_leaves_numbers_and_missing_values() -> None:
    assert compile_command("REQ", "nope", 3)(a_request()) is None
    assert compile_command("REQ", ":path", 3)(a_request()) == b"/p/"


def test_what_has_no_fact_takes_anything_and_is_missing() -> None:
    assert always_missing("CEL")
    assert not always_missing("REQ")
    assert compile_command("CEL", "request.path == '/'", 5)(a_request()) is None


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(FormatError, match="did you mean %RESPONSE_CODE%"):
        compile_command("RESPONSE_CODES", "", None)
    with pytest.raises(FormatError, match="did you mean %REQ%"):
        compile_command("RQ", "x", None)
