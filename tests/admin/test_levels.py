from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from pyproxy.admin.endpoints import ADMIN, answer
from tests.admin.fake_app import FakeApp


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Two loggers under a root at info; every level goes back afterwards."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("pyproxy")]
    before = {name: logging.getLogger(name).level for name in names}
    for name in ("pyproxy", "pyproxy.config", "pyproxy.listener"):
        logging.getLogger(name).setLevel(logging.INFO if name == "pyproxy" else logging.NOTSET)
    yield
    for name in logging.root.manager.loggerDict:
        if name.startswith("pyproxy"):
            logging.getLogger(name).setLevel(before.get(name, logging.NOTSET))


def ask(app: FakeApp, method: str = "POST", **query: str) -> tuple[int, str]:
    page = answer(app, ADMIN, method, "/logging", query)
    return page.status, "".join(str(piece) for piece in page.pieces)


def test_get_lists_levels_as_envoy_does(app: FakeApp) -> None:
    status, listing = ask(app, "GET")
    assert status == 200
    assert listing.startswith("active loggers:\n  pyproxy: info\n")
    assert "  pyproxy.config: info\n" in listing


def test_a_change_wants_post(app: FakeApp) -> None:
    assert ask(app, "GET", level="debug")[0] == 405
    assert logging.getLogger("pyproxy").level == logging.INFO


def test_one_level_for_all(app: FakeApp) -> None:
    ask(app, paths="config:error")
    _, listing = ask(app, level="debug")
    assert "  pyproxy.config: debug\n" in listing
    assert "  pyproxy.listener: debug\n" in listing


def test_several_levels_by_long_or_short_name(app: FakeApp) -> None:
    _, listing = ask(app, paths="config:warning,pyproxy.listener:trace")
    assert "  pyproxy: info\n" in listing
    assert "  pyproxy.config: warning\n" in listing
    assert "  pyproxy.listener: debug\n" in listing


def test_off_silences_even_critical_messages(app: FakeApp) -> None:
    _, listing = ask(app, config="off")
    assert "  pyproxy.config: off\n" in listing
    assert not logging.getLogger("pyproxy.config").isEnabledFor(logging.CRITICAL)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ({"level": "loud"}, "error: unknown logger level\n"),
        ({"paths": "config:error,nobody:debug"}, "error: unknown logger name\n"),
        ({"paths": "config"}, "error: empty logger name or empty logger level\n"),
        ({"nobody": "debug"}, "error: unknown logger name\n"),
    ],
)
def test_a_wrong_query_changes_nothing_and_shows_what_is_right(
    app: FakeApp, query: dict[str, str], complaint: str
) -> None:
    status, reply = ask(app, **query)
    assert status == 400
    assert reply.startswith(complaint)
    assert "levels: trace debug info warning error critical off" in reply
    assert "  pyproxy.config: info\n" in reply
