"""`pyproxy export envoy`: the same mesh as an Envoy bootstrap."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click

from pyproxy.cli.process import SERVING, WHO, check_paths, flag, options
from pyproxy.cli.run import SIDECAR
from pyproxy.cli.yaml_writer import as_yaml
from pyproxy.core.errors import CommandError
from pyproxy.envoy.bootstrap import Process, bootstrap
from pyproxy.envoy.limits import left_out
from pyproxy.envoy.tls import Certificates
from pyproxy.reload import read
from pyproxy.settings import Settings


@click.group()
def export() -> None:
    """The same mesh for another data plane.

    \b
    Example:
      pyproxy export envoy --config config --workload reviews-v1 > envoy.yaml
    """


@export.command()
@options(*SIDECAR, *WHO, *SERVING)
@flag(
    "--gateway", is_flag=True, help="A gateway instead of a sidecar: --labels says which Gateway selectors it answers."
)
@click.option(
    "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="How to write it."
)
def envoy(output: str, **flags: Any) -> None:
    """Write the mesh, as one proxy sees it, as an Envoy bootstrap on standard output.

    Everything in it is static. What Envoy cannot take is a warning on standard error. Exit code 1 when a document is
    not valid.

    \b
    Example:
      pyproxy export envoy --config config --workload reviews-v1 --certs certs > envoy.yaml
      envoy --mode validate -c envoy.yaml
    """
    settings = Settings(**flags)
    check_paths(settings)
    listening = replace(settings.listening, certs=os.path.abspath(settings.listening.certs))
    loaded = read(settings.config, settings.identity_in, listening)
    for problem in loaded.problems:
        click.echo(f"{problem.severity}: {problem}", err=True)
    if loaded.snapshot is None:
        raise CommandError(f"{len(loaded.errors)} error(s) in the documents; nothing was exported", exit_code=1)
    folder = settings.certificates_of(loaded.snapshot.identity)
    certificates = Certificates(str(folder.absolute()) if folder is not None else "", os.path.isfile)
    for sentence in left_out(loaded.snapshot, certificates):
        click.echo(f"warning: {sentence}", err=True)
    sys.stdout.write(as_text(bootstrap(loaded.snapshot, _process(settings, certificates)), output))


def as_text(document: Mapping[str, object], output: str) -> str:
    """A document as `json` or as `yaml`; both end with a newline."""
    if output == "json":
        return json.dumps(document, indent=2) + "\n"
    return as_yaml(document)


def _process(settings: Settings, certificates: Certificates) -> Process:
    return Process(
        certificates=certificates,
        admin_address=settings.admin_address,
        admin_port=settings.admin_port,
        status_address=settings.status_address,
        status_port=settings.status_port,
        metrics_port=settings.metrics_port,
        request_headers_timeout=settings.request_headers_timeout,
    )
