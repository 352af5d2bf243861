from __future__ import annotations

import socket

import pytest

from pyproxy.admin.guard import Guard

GUARD = Guard("127.0.1.7")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:15000",
        "127.0.0.1",
        "10.1.2.3:15000",
        "[::1]:15000",
        "[::1]",
        "localhost",
        "LocalHost:15000",
        "lab.localhost:80",
        socket.gethostname() + ":15000",
        "",
    ],
)
def test_this_machine_by_address_or_by_its_own_names_is_welcome(host: str) -> None:
    assert GUARD.refusal("GET", {"host": host}) == ""


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:15000", "127.0.0.1.nip.io", "localhost.evil", "[evil]:1", ":"]
)
def test_a_name_that_somebody_pointed_here_is_refused(host: str) -> None:
    assert "localhost" in GUARD.refusal("GET", {"host": host})


def test_the_name_that_the_port_is_bound_to_is_welcome() -> None:
    assert Guard("Sidecar.Example").refusal("GET", {"host": "sidecar.example:15000"}) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_site_reads_nothing_into_being(headers: dict[str, str]) -> None:
    assert GUARD.refusal("POST", {"host": "127.0.0.1:15000", **headers})
    assert GUARD.refusal("GET", {"host": "127.0.0.1:15000", **headers}) == ""


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "http://127.0.0.1:15000", "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}],
)
def test_commands_and_our_own_page_may_change_things(headers: dict[str, str]) -> None:
    assert GUARD.refusal("POST", {"host": "127.0.0.1:15000", **headers}) == ""
