"""/logging: the levels of pyproxy's own loggers, shown and changed while running. Source: Envoy logs_handler.cc."""

from __future__ import annotations

import logging

from pyproxy.admin.pages import BadRequest, Page, Query, text
from pyproxy.admin.served import Served

ROOT = "pyproxy"
_OFF = logging.CRITICAL + 10
LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "off": _OFF,
}
_WORDS = {level: word for word, level in LEVELS.items()}
_USAGE = f"""
usage: /logging?<name>=<level> (change single level)
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
usage: /logging?level=<level> (change all levels)
levels: {" ".join(LEVELS)}
"""


def levels(served: Served, query: Query) -> Page:
    """List the loggers; with a query, first change what it says. `pyproxy.` before a name may be left out."""
    try:
        for logger, level in _changes(query):
            logger.setLevel(level)
        served.on_levels_changed()
    except BadRequest as error:
        return text(f"error: {error}\n{_USAGE}{_listing()}", 400)
    return text(_listing())


def _changes(query: Query) -> list[tuple[logging.Logger, int]]:
    """All of a query's changes; none is made when one is wrong."""
    everyone = query.get("level")
    if everyone:
        root, *others = _loggers()
        return [(root, _level(everyone)), *((logger, logging.NOTSET) for logger in others)]
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        if name == "paths":
            pairs += [(part.partition(":")[0], part.partition(":")[2]) for part in value.split(",")]
        elif name != "level":
            pairs.append((name, value))
    if not all(name and level for name, level in pairs):
        raise BadRequest("empty logger name or empty logger level")
    return [(_logger(name), _level(level)) for name, level in pairs]


def _loggers() -> list[logging.Logger]:
    """Ours, the root of them first."""
    names = [name for name in logging.root.manager.loggerDict if name == ROOT or name.startswith(ROOT + ".")]
    return [logging.getLogger(name) for name in sorted({ROOT, *names})]


def _logger(name: str) -> logging.Logger:
    for logger in _loggers():
        if logger.name in (name, f"{ROOT}.{name}"):
            return logger
    raise BadRequest("unknown logger name")


def _level(word: str) -> int:
    if word not in LEVELS:
        raise BadRequest("unknown logger level")
    return LEVELS[word]


def _listing() -> str:
    lines = [f"  {logger.name}: {_word(logger.getEffectiveLevel())}\n" for logger in _loggers()]
    return "active loggers:\n" + "".join(lines)


def _word(level: int) -> str:
    return _WORDS.get(level) or str(logging.getLevelName(level)).lower()
