"""Which pages the admin port has, which of them want POST, and the help about them. Source: Envoy admin.cc."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from html import escape

from pyproxy.admin.actions import drain_listeners, fail_health_checks, pass_health_checks, quit_process
from pyproxy.admin.information import certs, listeners, memory, ready, reload_status, server_info
from pyproxy.admin.levels import levels
from pyproxy.admin.overview import overview
from pyproxy.admin.pages import HTML, BadRequest, Page, Query, text
from pyproxy.admin.served import Served
from pyproxy.admin.statistics import clusters, prometheus, reset_counters, stats

Handler = Callable[[Served, Query], Page]


def _always(query: Query) -> bool:
    return True


def _never(query: Query) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path."""

    path: str
    help: str
    answer: Handler
    parameters: Mapping[str, str]
    changes: Callable[[Query], bool]
    """Whether a query changes something, so that it must come by POST."""
    adds_up: bool = False
    """Whether it shows or changes counts, which several workers have parts of."""


def _page(path: str, help_: str, answer: Handler, **parameters: str) -> Endpoint:
    return Endpoint(path, help_, answer, parameters, _never)


def _action(path: str, help_: str, answer: Handler, **parameters: str) -> Endpoint:
    return Endpoint(path, help_, answer, parameters, _always)


def answer(served: Served, endpoints: Mapping[str, Endpoint], method: str, path: str, query: Query) -> Page:
    """The page for a request. Like Envoy, a page that changes nothing answers every method."""
    endpoint = endpoints.get(path)
    if endpoint is None:
        return text("invalid path. " + help_text(endpoints), 404)
    if method != "POST" and endpoint.changes(query):
        return text(f"Method {method} not allowed, POST required.", 405)
    try:
        return endpoint.answer(served, query)
    except BadRequest as error:
        return text(f"{error}\n", 400)


def help_text(endpoints: Mapping[str, Endpoint]) -> str:
    """Every path with what it does."""
    lines = ["admin commands are:"]
    for endpoint in sorted(endpoints.values(), key=lambda one: one.path):
        post = " (POST)" if endpoint.changes({}) else ""
        lines.append(f"  {endpoint.path}{post}: {endpoint.help}")
        lines += [f"      {name}: {help_}" for name, help_ in endpoint.parameters.items()]
    return "\n".join(lines) + "\n"


def _config_dump(served: Served, query: Query) -> Page:
    from pyproxy.admin.config_dump import config_dump  # half a MiB of Envoy's words, which few proxies are asked for

    return config_dump(served, query)


def _help(served: Served, query: Query) -> Page:
    return text(help_text(ADMIN))


def _home(served: Served, query: Query) -> Page:
    return Page((_HEAD, *(_row(endpoint) for endpoint in ADMIN.values()), "</table>\n"), content_type=HTML)


def _row(endpoint: Endpoint) -> str:
    path = escape(endpoint.path)
    if endpoint.changes({}):
        link = f'<form method="post" action="{path}"><button>{path}</button></form>'
    else:
        link = f'<a href="{path}">{path}</a>'
    return f"<tr><td>{link}</td><td>{escape(endpoint.help)}</td></tr>\n"


_HEAD = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>pyproxy admin</title>
<style>body { font: 16px sans-serif; margin: 2em } td { padding: 4px 1em 4px 0 } form { margin: 0 }</style>
<h1>pyproxy admin</h1>
<table>
"""
_FORMAT = "Format to use; One of (text, json)"
_FILTER = "Regular expression (Google re2) for filtering stats"
_SCRAPE = _page(
    "/stats/prometheus",
    "print server stats in prometheus format",
    prometheus,
    filter=_FILTER,
    usedonly="Only include stats that have been written since the start",
)

_ADDED_UP = frozenset({"/clusters", "/overview", "/reset_counters", "/stats", "/stats/prometheus"})
ADMIN: Mapping[str, Endpoint] = {
    endpoint.path: replace(endpoint, adds_up=endpoint.path in _ADDED_UP)
    for endpoint in (
        _page("/", "Admin home page", _home),
        _page("/certs", "print certs on machine", certs),
        _page(
            "/clusters",
            "upstream cluster status",
            clusters,
            filter="Regular expression (Google re2) for filtering clusters by name",
            format=_FORMAT,
        ),
        _page(
            "/config_dump",
            "dump the configuration in force, in Envoy's words, and the documents it was made from",
            _config_dump,
            resource="The one list to dump, such as dynamic_active_clusters",
            name_regex="Dump only what has such a name",
            include_eds="Dump the hosts of this moment too",
        ),
        _action(
            "/drain_listeners",
            "drain listeners",
            drain_listeners,
            graceful="Keep listening for the drain time, then stop",
            skip_exit="Drain the connections but never stop listening",
            inboundonly="Only inbound listeners",
        ),
        _action("/healthcheck/fail", "cause the server to fail health checks", fail_health_checks),
        _action("/healthcheck/ok", "cause the server to pass health checks", pass_health_checks),
        _page("/help", "print out list of admin commands", _help),
        _page("/listeners", "print listener info", listeners, format=_FORMAT),
        Endpoint(
            "/logging",
            "query logging levels; with a parameter, change them (POST)",
            levels,
            {
                "paths": "Change several levels: <logger>:<level>,<logger>:<level>",
                "level": "Change all loggers' level",
            },
            bool,
        ),
        _page("/memory", "print current memory usage", memory),
        _action("/quitquitquit", "drain and exit the server", quit_process),
        _page("/overview", "print all that moves, compact, for who looks several times a second", overview),
        _page("/ready", "print server state, return 200 if LIVE, otherwise return 503", ready),
        _page("/reload_status", "print whether the documents' last change was taken up", reload_status),
        _action("/reset_counters", "reset all counters to zero", reset_counters),
        _page("/server_info", "print server version/status information", server_info),
        _page(
            "/stats",
            "print server stats",
            stats,
            usedonly="Only include stats that have been written since the start",
            filter=_FILTER,
            format="Format to use; One of (text, json, prometheus)",
        ),
        _SCRAPE,
    )
}
STATUS: Mapping[str, Endpoint] = {"/healthz/ready": _page("/healthz/ready", "200 when ready, otherwise 503", ready)}
METRICS: Mapping[str, Endpoint] = {_SCRAPE.path: ADMIN[_SCRAPE.path]}
