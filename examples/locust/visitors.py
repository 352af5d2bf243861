"""What all the locustfiles here share: a visitor who asks for one page, and the command line's say in which.

--path /productpage            what is asked for
--header 'end-user: jason'     with every request; may be repeated
--think 0.5                    seconds that a visitor waits between an answer and the next request
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

import gevent
from locust import FastHttpUser, events, stats

stats.CSV_STATS_INTERVAL_SEC = 0.2


@events.init_command_line_parser.add_listener
def _arguments(parser: ArgumentParser, **_: Any) -> None:
    parser.add_argument("--path", default="/productpage", help="what is asked for (default: %(default)s)")
    parser.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="with every request")
    parser.add_argument("--think", type=float, default=0.5, help="seconds between answer and request (%(default)s)")
    parser.add_argument("--users-peak", type=int, default=40, help="visitors at the height of a shape (%(default)s)")
    parser.add_argument("--stage", type=float, default=20.0, help="seconds of one stage of a shape (%(default)s)")
    parser.add_argument("--arrivals", type=float, default=1.0, help="requests a second of one visitor (%(default)s)")


@events.quitting.add_listener
def _write_once_more(**_: Any) -> None:
    """Locust closes its CSV files without a last look: let the writer look, and then not again."""
    interval, stats.CSV_STATS_INTERVAL_SEC = stats.CSV_STATS_INTERVAL_SEC, 3600
    gevent.sleep(2 * interval)


class Visitor(FastHttpUser):
    """One person at a browser: asks, waits for the answer, thinks, asks again. This is a closed loop."""

    abstract = True
    host = "http://127.0.0.1:8080"
    connection_timeout = network_timeout = 30.0

    def wait_time(self) -> float:
        """Seconds."""
        think: float = self.environment.parsed_options.think
        return think

    def page(self, name: str = "page", **headers: str) -> Any:
        """One request, counted under this name. Header names have `_` for `-`."""
        options = self.environment.parsed_options
        given = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in options.header)}
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.client.get(options.path, name=name, headers={**given, **named})

    def report(self, kind: str, name: str, began: float, response: Any) -> None:
        """Count something that began at this time (of perf_counter) and ended with this response just now."""
        status = response.status_code
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=(time.perf_counter() - began) * 1000,
            response_length=0,
            exception=None if 200 <= status < 400 else ConnectionError(f"status {status}"),
            context={},
        )
