import pytest

from pyproxy.istio.rules.headers import header_value_problem, is_claim, matched_header_problem


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain",
        "tab\tinside",
        "100%%",
        "%%%%",
        "%HOSTNAME%",
        "before %HOSTNAME% after",
        "%REQ(X-A?X-B)%",
        "%DYNAMIC_METADATA(a:b)%",
        '%A(["x", "y"])%',
        '%A( [ "x" , "y" ] ) %',
        r"%A(a\)b)%",
    ],
)
def test_commands_and_doubled_percent_signs_are_right(value: str) -> None:
    assert header_value_problem(value) is None


@pytest.mark.parametrize(
    "value", ["%", "50% off", "%%%", "%START_TIME%%", "%REQ(X):3%", '%A(["x"', '%A(["x" "y"])%', "%A()%"]
)
def test_a_percent_sign_alone_is_wrong(value: str) -> None:
    assert header_value_problem(value) is not None


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "\x00", "\x7f"])
def test_control_characters_are_wrong(value: str) -> None:
    assert header_value_problem(value) == "a header value may not hold control characters"


def test_a_long_value_without_an_end_is_refused_quickly() -> None:
    assert header_value_problem("%A(" + "a" * 100_000) is not None
    assert header_value_problem("%%" * 50_000 + "%") is not None


@pytest.mark.parametrize(
    "name", [":method", ":authority", "x-a", "X_a.b~", "@request.auth.claims.a", "@Request.Auth.Claims[a][b]"]
)
def test_names_that_can_be_matched(name: str) -> None:
    assert matched_header_problem(name) is None


@pytest.mark.parametrize("name", ["", "x y", "ä", ":other", "@request.auth.claims", "@request.auth.claims[]"])
def test_names_that_cannot(name: str) -> None:
    assert matched_header_problem(name) is not None
    assert not is_claim(name)
