"""Options of commands: each with its PYPROXY_ variable, several as one decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def flag(name: str, **settings: Any) -> Callable[[Any], Any]:
    """An option with its variable: `--admin-port` is PYPROXY_ADMIN_PORT."""
    variable = name.removeprefix("--").replace("-", "_").upper()
    shown = settings.get("default") not in (None, "")
    return click.option(name, envvar=f"PYPROXY_{variable}", show_default=shown, **settings)


def options(*flags: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator, in the order in which help shows them."""

    def add(command: Any) -> Any:
        for option in reversed(flags):
            command = option(command)
        return command

    return add
