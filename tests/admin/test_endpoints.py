from __future__ import annotations

import pytest

from pyproxy.admin.endpoints import ADMIN, METRICS, STATUS, answer
from pyproxy.admin.pages import HTML, Page
from tests.admin.fake_app import FakeApp

ACTIONS = ["/drain_listeners", "/healthcheck/fail", "/healthcheck/ok", "/quitquitquit", "/reset_counters"]


def written(page: Page) -> str:
    return b"".join(piece.encode() if isinstance(piece, str) else piece for piece in page.pieces).decode()


@pytest.mark.parametrize("path", ACTIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_what_changes_something_wants_post(app: FakeApp, path: str, method: str) -> None:
    page = answer(app, ADMIN, method, path, {})
    assert page.status == 405
    assert written(page) == f"Method {method} not allowed, POST required."
    assert app.asked == []
    assert app.state == "LIVE"


@pytest.mark.parametrize("path", ACTIONS)
def test_by_post_it_is_done(app: FakeApp, path: str) -> None:
    page = answer(app, ADMIN, "POST", path, {})
    assert (page.status, written(page)) == (200, "OK\n")


@pytest.mark.parametrize("path", sorted(ADMIN.keys() - set(ACTIONS)))
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_every_other_page_answers_any_method(app: FakeApp, path: str, method: str) -> None:
    page = answer(app, ADMIN, method, path, {})
    assert page.status == 200
    assert written(page)


def test_the_help_stands_under_an_unknown_path_too(app: FakeApp) -> None:
    page = answer(app, ADMIN, "GET", "/nope", {})
    reply = written(page)
    assert page.status == 404
    assert reply == "invalid path. " + written(answer(app, ADMIN, "GET", "/help", {}))
    assert "\n  /quitquitquit (POST): " in reply
    assert "\n  /clusters: upstream cluster status\n      filter: " in reply


def test_the_home_page_links_pages_and_has_buttons_for_actions(app: FakeApp) -> None:
    page = answer(app, ADMIN, "GET", "/", {})
    html = written(page)
    assert page.content_type == HTML
    assert '<a href="/clusters">' in html
    assert '<form method="post" action="/quitquitquit">' in html


def test_the_open_ports_have_one_page_each() -> None:
    assert (list(STATUS), list(METRICS)) == (["/healthz/ready"], ["/stats/prometheus"])


def test_health_checks_fail_and_pass(app: FakeApp) -> None:
    answer(app, ADMIN, "POST", "/healthcheck/fail", {})
    assert app.state == "DRAINING"
    answer(app, ADMIN, "POST", "/healthcheck/ok", {})
    assert app.state == "LIVE"


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ({}, (False, False, False)),
        ({"inboundonly": ""}, (True, False, False)),
        ({"graceful": "", "inboundonly": ""}, (True, True, False)),
        ({"graceful": "", "skip_exit": ""}, (False, True, True)),
    ],
)
def test_drain_parameters_count_by_name(app: FakeApp, query: dict[str, str], asked: tuple[bool, ...]) -> None:
    answer(app, ADMIN, "POST", "/drain_listeners", query)
    assert app.asked == [("drain_listeners", *asked)]


@pytest.mark.parametrize("path", ["/stats", "/stats/prometheus", "/clusters", "/config_dump"])
def test_a_pattern_that_re2_refuses_is_a_bad_request(app: FakeApp, path: str) -> None:
    page = answer(app, ADMIN, "GET", path, {"filter": "a[", "name_regex": "a["})
    assert page.status == 400
    assert written(page) == "Invalid re2 regex: missing ]: [\n"
