"""Asks a running proxy's admin port: what comes back, or what to do about it when nothing does."""

from __future__ import annotations

import json
from typing import Any

import click

from pyproxy.core.errors import CommandError

SECONDS = 10.0
"""For one answer."""
_LARGEST = 1 << 30


class AdminAddress(click.ParamType[tuple[str, int]]):
    """`host:port`, `[::1]:port`, or a port on this machine."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, _, port = str(value).removeprefix("http://").rstrip("/").rpartition(":")
        if not port.isdigit() or not 0 < int(port) < 65536:
            self.fail(f"{value!r} is not an admin address such as 127.0.0.1:15000", param, ctx)
        return host.strip("[]") or "127.0.0.1", int(port)


ADMIN = AdminAddress()
admin_option = click.option(
    "--admin",
    type=ADMIN,
    envvar="PYPROXY_ADMIN",
    default="127.0.0.1:15000",
    show_default=True,
    help="Admin port of a running proxy.",
)


def get(admin: tuple[str, int], path: str) -> bytes:
    """One page. Raises CommandError."""
    from http.client import HTTPConnection, HTTPException  # only who asks a proxy pays for it

    host, port = admin
    connection = HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(_LARGEST)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CommandError(
            f"no proxy answers at {host}:{port}: {reason}. Say where its admin port is with --admin HOST:PORT",
            exit_code=1,
        ) from error
    finally:
        connection.close()
    if response.status != 200:
        raise CommandError(
            f"{host}:{port}{path} answered {response.status}: is that a proxy's admin port?", exit_code=1
        )
    return body


def get_json(admin: tuple[str, int], path: str) -> Any:
    """One page as JSON. Raises CommandError."""
    try:
        return json.loads(get(admin, path))
    except ValueError as error:
        raise CommandError(
            f"{admin[0]}:{admin[1]}{path} is not JSON: is that a proxy's admin port?", exit_code=1
        ) from error
