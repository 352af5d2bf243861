import pytest

from pyproxy.admin.pages import BadRequest
from pyproxy.admin.patterns import pattern


def test_an_empty_expression_lets_everything_pass() -> None:
    assert pattern("")("anything")


def test_a_name_is_searched_or_matched_whole() -> None:
    assert pattern("b")("abc")
    assert not pattern("b", whole=True)("abc")
    assert pattern("a.c", whole=True)("abc")


def test_what_re2_does_not_take_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="Invalid re2 regex"):
        pattern("(?=a)")
