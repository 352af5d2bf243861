from __future__ import annotations

import pytest

from pyproxy.console.access import Access

HERE = {"Host": "127.0.0.1:8090"}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "headers",
    [
        HERE,
        {"Host": "localhost:8090"},
        HERE | {"Sec-Fetch-Site": "same-origin"},
        HERE | {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        HERE | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
def test_who_comes_here_may_look(headers: dict[str, str]) -> None:
    assert Access("127.0.0.1").refusal("GET", headers) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example.com"},
        {"Host": "evil.example.com:8090"},
        HERE | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
        HERE | {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        HERE | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_another_sites_page_may_not_even_look(headers: dict[str, str]) -> None:
    assert Access("127.0.0.1").refusal("GET", headers) != ""


@pytest.mark.parametrize(
    ("headers", "welcome"),
    [
        (HERE | JSON, True),
        (HERE | JSON | {"Origin": "http://127.0.0.1:8090", "Sec-Fetch-Site": "same-origin"}, True),
        (HERE | JSON | {"Origin": "http://evil.example.com"}, False),
        (HERE | JSON | {"Origin": "http://127.0.0.1:9999"}, False),
        (HERE | JSON | {"Origin": "null"}, False),
        (HERE | JSON | {"Sec-Fetch-Site": "same-site"}, False),
        (HERE | {"Content-Type": "text/plain"}, False),
        (HERE | {"Content-Type": "application/x-www-form-urlencoded"}, False),
        (HERE, False),
    ],
)
def test_what_is_sent_must_come_from_here_and_be_json(headers: dict[str, str], welcome: bool) -> None:
    assert (Access("127.0.0.1").refusal("POST", headers) == "") is welcome


def test_only_the_token_lets_change() -> None:
    access = Access("127.0.0.1")
    assert access.may_change({"Authorization": f"Bearer {access.token}"})
    for wrong in ({}, {"Authorization": "Bearer "}, {"Authorization": access.token}, {"Authorization": "Bearer é"}):
        assert not access.may_change(wrong)
    assert Access("127.0.0.1").token != access.token
    assert len(access.token) >= 20
