"""`pyproxy proxy-config`, `pc` for short: a running proxy's configuration and health in istioctl's columns."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from pyproxy.cli.admin_client import admin_option, get_json
from pyproxy.cli.flags import options

if TYPE_CHECKING:
    from pyproxy.cli.dump_tables import Only, Resource, Row

_PLURALS = {"listener": "listeners", "route": "routes", "cluster": "clusters", "endpoint": "endpoints"}
_SHORT = {"l": "listeners", "r": "routes", "c": "clusters", "ep": "endpoints", "s": "secrets", "secret": "secrets"}
_ALIASES = _PLURALS | _SHORT


class _Group(click.Group):
    """Takes istioctl's names for its commands: singular, plural, and the short ones."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, _ALIASES.get(cmd_name, cmd_name))


@click.group(cls=_Group)
def proxy_config() -> None:
    """Read a running proxy's admin port, and print what it has in istioctl's columns.

    \b
    Example:
      pyproxy proxy-config clusters --admin 127.0.0.1:15000 --fqdn reviews
      pyproxy pc endpoints --status HEALTHY
      pyproxy pc routes --name 9080 -o json
    """


_output = click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True, help="How."
)
_port = click.option("--port", type=int, default=0, help="Of this port.")
_fqdn = click.option("--fqdn", default="", help="Of services whose host has this in it.")
_subset = click.option("--subset", default="", help="Of subsets whose name has this in it.")
_direction = click.option("--direction", type=click.Choice(["inbound", "outbound"]), help="Of this direction.")
_address = click.option("--address", default="", help="At this address.")


def _name(what: str) -> Callable[[Any], Any]:
    return click.option("--name", default="", help=f"{what} of this name.")


@proxy_config.command()
@options(admin_option, _port, _fqdn, _subset, _direction, _output)
def clusters(admin: tuple[str, int], output: str, **only: Any) -> None:
    """Clusters: SERVICE FQDN, PORT, SUBSET, DIRECTION, TYPE, DESTINATION RULE.

    \b
    Example:
      pyproxy pc clusters --direction outbound --port 9080
    """
    from pyproxy.cli.dump_tables import CLUSTER_COLUMNS, cluster_rows
    from pyproxy.cli.dump_tables import clusters as find

    found = find(get_json(admin, "/config_dump"), _only(only))
    _show(output, found, CLUSTER_COLUMNS, cluster_rows(found))


@proxy_config.command()
@options(admin_option, _name("The table"), _output)
def routes(admin: tuple[str, int], output: str, **only: Any) -> None:
    """Route tables: NAME, VHOST NAME, DOMAINS, MATCH, VIRTUAL SERVICE.

    \b
    Example:
      pyproxy pc routes --name 9080
    """
    from pyproxy.cli.dump_tables import ROUTE_COLUMNS, route_rows
    from pyproxy.cli.dump_tables import routes as find

    found = find(get_json(admin, "/config_dump"), _only(only))
    _show(output, found, ROUTE_COLUMNS, route_rows(found))


@proxy_config.command()
@options(
    admin_option,
    _port,
    _address,
    _direction,
    _name("The listener"),
    click.option("--type", type=click.Choice(["HTTP", "TCP", "HTTP+TCP"], case_sensitive=False), help="Of this type."),
    _output,
)
def listeners(admin: tuple[str, int], output: str, **only: Any) -> None:
    """Listeners: ADDRESSES, PORT, MATCH, DESTINATION.

    \b
    Example:
      pyproxy pc listeners --port 15001
    """
    from pyproxy.cli.dump_tables import LISTENER_COLUMNS, listener_rows
    from pyproxy.cli.dump_tables import listeners as find

    found = find(get_json(admin, "/config_dump"), _only(only))
    _show(output, found, LISTENER_COLUMNS, listener_rows(found))


@proxy_config.command()
@options(
    admin_option,
    _port,
    _address,
    _fqdn,
    _subset,
    _direction,
    click.option("--cluster", default="", help="Of the cluster of this name."),
    click.option("--status", default="", metavar="HEALTHY|UNHEALTHY|...", help="With this health."),
    _output,
)
def endpoints(admin: tuple[str, int], output: str, **only: Any) -> None:
    """Endpoints: ENDPOINT, STATUS, OUTLIER CHECK (FAILED: ejected), CLUSTER.

    \b
    Example:
      pyproxy pc endpoints --cluster 'outbound|9080||reviews.default.svc.cluster.local'
    """
    from pyproxy.cli.dump_tables import ENDPOINT_COLUMNS, endpoint_rows
    from pyproxy.cli.dump_tables import endpoints as find

    found = find(get_json(admin, "/clusters?format=json"), _only(only))
    _show(output, found, ENDPOINT_COLUMNS, endpoint_rows(found))


@proxy_config.command()
@options(admin_option, _name("The certificate"), _output)
def secrets(admin: tuple[str, int], output: str, **only: Any) -> None:
    """Certificates: RESOURCE NAME, TYPE, STATUS, VALID CERT, SERIAL NUMBER, NOT AFTER, NOT BEFORE. Never a key.

    \b
    Example:
      pyproxy pc secrets
    """
    from pyproxy.cli.dump_tables import SECRET_COLUMNS, secret_rows
    from pyproxy.cli.dump_tables import secrets as find

    found = find(get_json(admin, "/certs"), _only(only))
    _show(output, found, SECRET_COLUMNS, secret_rows(found, _now()))


@proxy_config.command(name="all")
@options(admin_option, _output)
def everything(admin: tuple[str, int], output: str) -> None:
    """All of it: clusters, listeners, routes, endpoints and certificates; -o json is the whole dump.

    \b
    Example:
      pyproxy pc all --admin 127.0.0.1:15000 -o json > dump.json
    """
    from pyproxy.cli import dump_tables as tables

    dump = get_json(admin, "/config_dump?include_eds")
    if output != "table":
        click.echo(_written(dump, output))
        return
    only = tables.Only()
    found = tables.secrets(get_json(admin, "/certs"), only)
    hosts = tables.endpoints(get_json(admin, "/clusters?format=json"), only)
    for columns, rows in (
        (tables.CLUSTER_COLUMNS, tables.cluster_rows(tables.clusters(dump, only))),
        (tables.LISTENER_COLUMNS, tables.listener_rows(tables.listeners(dump, only))),
        (tables.ROUTE_COLUMNS, tables.route_rows(tables.routes(dump, only))),
        (tables.ENDPOINT_COLUMNS, tables.endpoint_rows(hosts)),
        (tables.SECRET_COLUMNS, tables.secret_rows(found, _now())),
    ):
        click.echo(tables.table(columns, rows) + "\n")


def _only(asked: Mapping[str, Any]) -> Only:
    """Flags that were given."""
    from pyproxy.cli.dump_tables import Only

    return Only(**{name: value for name, value in asked.items() if value})


def _show(output: str, found: Sequence[Resource], columns: Row, rows: Iterator[Row]) -> None:
    from pyproxy.cli.dump_tables import table

    click.echo(table(columns, rows) if output == "table" else _written(found, output))


def _written(document: object, output: str) -> str:
    if output == "json":
        return json.dumps(document, indent=2)
    import yaml

    return yaml.safe_dump(document, sort_keys=False).rstrip("\n")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
