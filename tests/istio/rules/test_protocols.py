import pytest

from pyproxy.istio.rules.protocols import protocol_of, protocol_problem


@pytest.mark.parametrize("text", [None, "", "HTTP", "http", "GRPC-Web", "HTTP_PROXY", "TLS", "UDP", "mongo"])
def test_what_a_port_may_declare(text: str | None) -> None:
    assert protocol_problem(text) is None


@pytest.mark.parametrize("text", ["SPDY", "http-alt", " HTTP"])
def test_what_it_may_not(text: str) -> None:
    assert protocol_problem(text) is not None


def test_capitals_do_not_matter() -> None:
    assert protocol_of("HTTP") == "http"
    assert protocol_of(None) == ""
