"""The flags that the commands of `pyproxy certs` share, and the time that they go by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pyproxy.cli.process import Duration, flag
from pyproxy.core.loop import SystemClock
from pyproxy.mtls.keys import KeyKind

FOLDERS = (
    flag(
        "--certs",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("certs"),
        help="Folder of the workloads' certificates: what `pyproxy run --certs` is given.",
    ),
    flag(
        "--ca",
        type=click.Path(file_okay=False, path_type=Path),
        default=None,
        help="Folder of the authority, with Istio's names: root-cert.pem, ca-cert.pem, ca-key.pem, cert-chain.pem.  "
        "[default: ca in --certs]",
    ),
)
OUTPUT = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
ALGORITHM = click.option(
    "--algorithm",
    type=click.Choice([kind.value for kind in KeyKind]),
    default=None,
    help="Of new keys: ECDSA on P-256, or RSA with 2048 bits.  [default: ecdsa]",
)
FORCE = click.option("--force", is_flag=True, help="Overwrite keys that are there.")


def lifetime_flag(default: str) -> Callable[[Any], Any]:
    """`--lifetime`, which is longer for authorities than for workloads."""
    return click.option(
        "--lifetime",
        type=Duration(),
        default=default,
        show_default=True,
        callback=_in_reason,
        help="How long it is valid, as in 36h or 90d.",
    )


def _in_reason(context: click.Context, parameter: click.Parameter, seconds: float) -> float:
    if not 60 <= seconds <= 36500 * 86400:
        raise click.BadParameter("a certificate lives between 1m and 36500d")
    return seconds


def now_utc() -> datetime:
    """The machine's time."""
    return datetime.fromtimestamp(SystemClock.time(), UTC)
