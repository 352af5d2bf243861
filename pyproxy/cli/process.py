"""Flags shared by `run` and `gateway`, each with its PYPROXY_ variable, into Settings."""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pyproxy.cli.flags import flag as flag
from pyproxy.cli.flags import options as options
from pyproxy.core.errors import CommandError
from pyproxy.istio.files import SUFFIXES, find_files
from pyproxy.settings import Settings

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = re.compile(r"\d+(?:\.\d+)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Duration(click.ParamType[float]):
    """`5s`, `1m30s`, `250ms`, or plain seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float | int):
            return float(value)
        if value and _DURATION.sub("", value) == "":
            return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(value))
        if _SECONDS.fullmatch(value):
            return float(value)
        self.fail(f"{value!r} is not a duration such as 5s, 250ms or 1m30s", param, ctx)


class Address(click.ParamType[str | None]):
    """An IP address; empty is none."""

    name = "ip"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | None:
        try:
            return str(ipaddress.ip_address(value)) if value else None
        except ValueError:
            self.fail(f"{value!r} is not an IP address such as 127.0.0.1", param, ctx)


class Labels(click.ParamType[dict[str, str]]):
    """`app=web,version=v1`."""

    name = "labels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        if isinstance(value, dict):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part]
        if any(not key or not equals for key, equals, _ in pairs):
            self.fail(f"{value!r} is not a list of labels such as app=web,version=v1", param, ctx)
        return {key.strip(): text.strip() for key, _, text in pairs}


PORT = click.IntRange(0, 65535)
PORT.name = "port"
WHO = (
    flag(
        "--config",
        multiple=True,
        type=click.Path(path_type=Path),
        default=("config",),
        help="File or folder of Istio documents, watched for change. Repeatable.",
    ),
    flag("--namespace", default="default", help="Namespace of this proxy."),
    flag("--service-account", default="default", help="Service account of this proxy."),
    flag("--labels", type=Labels(), default="", help="Labels of this proxy, as in app=web,version=v1."),
)
"""The documents, and who the proxy is where no WorkloadEntry says."""
SERVING = (
    flag("--address", type=Address(), default=None, help="One address for every listener of this proxy."),
    flag("--admin-port", type=PORT, default=15000, help="Admin pages, in Envoy's shape."),
    flag("--status-port", type=PORT, default=15021, help="GET /healthz/ready."),
    flag("--metrics-port", type=PORT, default=15090, help="GET /stats/prometheus."),
    flag(
        "--request-headers-timeout", type=Duration(), default="10s", help="Time for a client to send a head; 0: none."
    ),
    flag(
        "--certs",
        type=click.Path(path_type=Path),
        default=None,
        help="Folder with root-cert.pem, cert-chain.pem and key.pem, or a folder of those for each workload; watched.",
    ),
)
"""Where and how it serves."""
_RUNNING = (
    flag(
        "--workers",
        type=click.IntRange(0),
        default=None,
        help="Processes that share the listeners; 0: one per core. Default: ProxyConfig's concurrency, else 1.",
    ),
    flag("--drain-duration", type=Duration(), default="5s", help="Time for open requests after SIGTERM."),
    flag("--seed", type=int, default=None, help="Makes every random choice repeat."),
    flag("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info"),
    flag("--log-format", type=click.Choice(["text", "json"]), default="text"),
    flag("--ready-file", type=click.Path(path_type=Path), default=None, help="Bound addresses as JSON, when ready."),
    flag(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        help="json: the same on standard output, as one line.",
    ),
)


shared_options = options(*WHO, *SERVING, *_RUNNING)
"""The flags that every proxy process has."""


def serve(**flags: Any) -> None:
    """Run a proxy with these flags; click has checked each alone. Raises CommandError."""
    from pyproxy.app import run_app  # half a second that commands without a proxy have no use for

    settings = Settings(**flags)
    check_paths(settings)
    set_up_logging(settings.log_level, settings.log_format)
    for warning in _warnings(settings):
        logging.getLogger("pyproxy").warning("%s", warning)
    run_app(settings)


def check_paths(settings: Settings) -> None:
    """The files and folders of flags must be there. Raises CommandError."""
    missing = [str(path) for path in settings.config if not path.exists()]
    if missing:
        raise CommandError(
            f"no such file or folder: {', '.join(missing)}. Give --config PATH with Istio documents (YAML or JSON)."
        )
    ready = settings.ready_file
    if ready is not None and not ready.absolute().parent.is_dir():
        raise CommandError(f"--ready-file {ready}: there is no folder {ready.absolute().parent}; make it first.")


def _warnings(settings: Settings) -> Iterator[str]:
    """What the flags ask for that will not happen."""
    if not any(find_files(settings.config)):
        where = ", ".join(str(path) for path in settings.config)
        yield f"no documents in {where}: put some there ({', '.join('*' + suffix for suffix in SUFFIXES)})"


def set_up_logging(level: str, style: str) -> None:
    """pyproxy's own log, on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if style == "json" else _TextFormatter())
    logger = logging.getLogger("pyproxy")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


class _TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z  info  pyproxy.config  message`."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        stamp = self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z"
        text = f"{stamp}  {record.levelname.lower():7} {record.name}  {record.getMessage()}"
        return text + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


class _JsonFormatter(_TextFormatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)
