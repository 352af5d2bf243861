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
    assert GUARD.refusal("GET", {"Host": host}) == ""


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:15000", "127.0.0.1.nip.io", "localhost.evil", "[evil]:1", ":"]
)
def test_a_name_that_somebody_pointed_here_is_refused(host: str) -> None:
    assert "localhost" in GUARD.refusal("GET", {"Host": host})


def test_the_name_that_the_port_is_bound_to_is_welcome() -> None:
    assert Guard("Sidecar.Example").refusal("GET", {"Host": "sidecar.example:15000"}) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_reads_nothing_into_being(headers: dict[str, str]) -> None:
    assert GUARD.refusal("POST", {"Host": "127.0.0.1:15000", **headers})
    assert GUARD.refusal("GET", {"Host": "127.0.0.1:15000", **headers}) == ""


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "http://127.0.0.1:15000", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}],
)
def test_commands_and_our_own_page_may_change_things(headers: dict[str, str]) -> None:
    assert GUARD.refusal("POST", {"Host": "127.0.0.1:15000", **headers}) == ""
