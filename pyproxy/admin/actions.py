"""What operators may do: fail and pass health checks, drain listeners, reset counters, quit. All of it by POST."""

from __future__ import annotations

from pyproxy.admin.pages import Page, Query, text
from pyproxy.admin.served import Served

_OK = "OK\n"


def fail_health_checks(served: Served, query: Query) -> Page:
    """DRAINING: not ready, `connection: close` on every response; new connections are still served."""
    served.fail_health_checks()
    return text(_OK)


def pass_health_checks(served: Served, query: Query) -> Page:
    """Undo `fail_health_checks`."""
    served.pass_health_checks()
    return text(_OK)


def drain_listeners(served: Served, query: Query) -> Page:
    """Stop listening, now or after the drain time; responses say `connection: close`. Parameters count by name."""
    served.drain_listeners(
        inbound_only="inboundonly" in query, graceful="graceful" in query, keep_listening="skip_exit" in query
    )
    return text(_OK)


def quit_process(served: Served, query: Query) -> Page:
    """As SIGTERM: drain, then exit."""
    served.stop()
    return text(_OK)
