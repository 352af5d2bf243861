"""`pyproxy version`: of pyproxy, Python, uvloop, OpenSSL."""

from __future__ import annotations

import json
import platform
from importlib import metadata

import click
from cryptography.hazmat.backends.openssl import backend

from pyproxy import __version__
from pyproxy.proxy import exchange


def versions() -> dict[str, str]:
    """Name → version, `-` for what is not installed."""
    found = {
        "pyproxy": __version__,
        "data path": "compiled" if exchange.__file__.endswith((".so", ".pyd")) else "plain Python",
        "python": platform.python_version(),
    }
    for package in ("uvloop", "httptools", "h2", "cryptography"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "-"
    found["openssl"] = backend.openssl_version_text()
    return found


@click.command()
@click.option("--output", type=click.Choice(["text", "json"]), default="text")
def version(output: str) -> None:
    """Print versions of pyproxy and of what it stands on.

    \b
    Example:
      pyproxy version --output json
    """
    found = versions()
    if output == "json":
        click.echo(json.dumps(found, indent=2))
        return
    for name, number in found.items():
        click.echo(f"{name:14}{number}")
