from __future__ import annotations

import pytest

from pyproxy.console.access import Access

HERE = {"host": "127.0.0.1:8090"}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "headers",
    [
        HERE,
        {"host": "localhost:8090"},
        HERE | {"sec-fetch-site": "same-origin"},
        HERE | {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
        HERE | {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    ],
)
def test_who_comes_here_may_look(headers: dict[str, str]) -> None:
    assert Access("127.0.0.1").refusal("GET", headers) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example.com"},
        {"host": "evil.example.com:8090"},
        HERE | {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"},
        HERE | {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
        HERE | {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    ],
)
def test_another_sites_page_may_not_even_look(headers: dict[str, str]) -> None:
    assert Access("127.0.0.1").refusal("GET", headers) != ""


@pytest.mark.parametrize(
    ("headers", "welcome"),
    [
        (HERE | JSON, True),
        (HERE | JSON | {"origin": "http://127.0.0.1:8090", "sec-fetch-site": "same-origin"}, True),
        (HERE | JSON | {"origin": "http://evil.example.com"}, False),
        (HERE | JSON | {"origin": "http://127.0.0.1:9999"}, False),
        (HERE | JSON | {"origin": "null"}, False),
        (HERE | JSON | {"sec-fetch-site": "same-site"}, False),
        (HERE | {"content-type": "text/plain"}, False),
        (HERE | {"content-type": "application/x-www-form-urlencoded"}, False),
        (HERE, False),
    ],
)
def test_what_is_sent_must_come_from_here_and_be_json(headers: dict[str, str], welcome: bool) -> None:
    assert (Access("127.0.0.1").refusal("POST", headers) == "") is welcome


def test_only_the_token_lets_change() -> None:
    access = Access("127.0.0.1")
    assert access.may_change({"authorization": f"Bearer {access.token}"})
    for wrong in ({}, {"authorization": "Bearer "}, {"authorization": access.token}, {"authorization": "Bearer é"}):
        assert not access.may_change(wrong)
    assert Access("127.0.0.1").token != access.token
    assert len(access.token) >= 20
