from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.cel.errors import EvaluationError, UnsupportedProblem
from pyproxy.cel.expression import MISSING, compile_expression, problem_with

ATTRIBUTES = {
    "request.headers": lambda subject: subject,
    "request.method": lambda _: "GET",
    "response.code": lambda _: 404,
    "response.grpc_status": lambda _: MISSING,
    "upstream_peer": lambda _: {"app": "cart"},
    "connection.mtls": lambda _: True,
}


def value(text: str) -> object:
    return compile_expression(text, ATTRIBUTES)({"x-a": "1"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("request.method == 'GET' && response.code >= 400", True),
        ("request['method']", "GET"),
        ("request.headers['x-a'] == '1'", True),
        ("'x-b' in request.headers ? 'b' : 'none'", "none"),
        ("has(request.headers.x)", False),
        ("has(response.grpc_status)", False),
        ("has(response.code) && !has(upstream_peer.zone)", True),
        ("upstream_peer.app + '!'", "cart!"),
        ("[1, 2][1]", 2),
        ("connection.mtls && !false", True),
        ("request.headers['no'] == 'x' || true", True),
        ("true || request.headers['no'] == 'x'", True),
        ("request.headers['no'] == 'x' && false", False),
        ("'x' || true", True),
    ],
)
def test_what_an_expression_comes_to(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "request.headers['no']",
        "response.grpc_status",
        "response.grpc_status == 0 || false",
        "request.headers['no'] == 'x' && true",
        "'x' && true",
        "response.code ? 1 : 2",
        "upstream_peer.zone",
        "request.method.name",
        "[1][5]",
        "[1]['a']",
        "request.headers[1]",
        "has(request.method.x)",
    ],
)
def test_what_has_no_value(text: str) -> None:
    with pytest.raises(EvaluationError):
        value(text)


@pytest.mark.parametrize(
    ("text", "position", "part"),
    [
        ("reponse.code > 1", 0, "there is no attribute reponse"),
        ("1 < response.cod", 4, "response.cod is not known here"),
        ("request == 'x'", 0, "request alone is no value"),
        ("metadata.filter_metadata", 0, "is not known here"),
        ("request.method.lowerAscii() == 'get'", 15, "lowerAscii() is not supported"),
        ("request.method.matches('(')", 23, "RE2 does not take"),
        ("size()", 0, "size() is not supported"),
    ],
)
def test_what_is_outside_is_told_with_its_place(text: str, position: int, part: str) -> None:
    found = problem_with(text)
    assert isinstance(found, UnsupportedProblem)
    assert (found.position, part in str(found)) == (position, True), found


def test_what_is_right_is_no_problem() -> None:
    assert problem_with("has(request.headers.x) && request.url_path.startsWith('/api')") is None


_LEAVES = st.sampled_from(
    ["request.method", "response.code", "response.grpc_status", "request.headers['x-a']", "'a'", "1", "true", "[1, 2]"]
)
_TEXTS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["==", "&&", "||", "<", "+", "in"]), inner).map(
            lambda three: f"({three[0]} {three[1]} {three[2]})"
        ),
        inner.map(lambda text: f"!({text})"),
        st.tuples(inner, inner, inner).map(lambda three: f"({three[0]} ? {three[1]} : {three[2]})"),
    ),
    max_leaves=8,
)


@given(_TEXTS)
def test_any_expression_comes_to_a_value_or_an_evaluation_error(text: str) -> None:
    try:
        value(text)
    except EvaluationError:
        pass
