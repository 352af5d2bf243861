"""`pyproxy run` and `pyproxy gateway`."""

from __future__ import annotations

from typing import Any

import click

from pyproxy.cli.process import PORT, flag, options, serve, shared_options

SIDECAR = (
    flag(
        "--workload",
        metavar="NAME[.NAMESPACE]",
        default="",
        help="WorkloadEntry that this proxy stands beside. Without it --labels and --namespace say who the proxy is.",
    ),
    flag("--outbound-port", type=PORT, default=15001, help="Capture of the workload's outgoing traffic."),
    flag("--inbound-port", type=PORT, default=15006, help="Capture of the workload's incoming traffic."),
    flag("--http-proxy-port", type=PORT, default=15007, help="HTTP forward proxy."),
    flag("--app-address", default="127.0.0.1", help="Where the workload itself listens: IP or host name."),
)
"""The flags that a sidecar has and a gateway has not."""


@click.command()
@options(*SIDECAR)
@shared_options
def run(**flags: Any) -> None:
    """Run one proxy beside one workload, until SIGTERM or Ctrl-C. Each flag has a variable: --admin-port is
    PYPROXY_ADMIN_PORT.

    \b
    Example:
      pyproxy run --config config --workload reviews-v1
      curl -H 'Host: reviews' 127.0.0.1:15001/
    """
    serve(**flags)


@click.command()
@shared_options
def gateway(**flags: Any) -> None:
    """Run one proxy as a gateway: it serves the Gateway documents whose selector fits --labels.

    \b
    Example:
      pyproxy gateway --config config --labels istio=ingressgateway
    """
    serve(gateway=True, **flags)
