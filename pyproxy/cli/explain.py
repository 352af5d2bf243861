"""`pyproxy explain`: which listener, route, destination and policies one request would meet. Sends nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pyproxy.cli.process import WHO, check_paths, flag, options
from pyproxy.cli.run import SIDECAR
from pyproxy.cli.tree import Branch, show

if TYPE_CHECKING:
    from pyproxy.analysis.explanation import Explanation, Target, Tried
    from pyproxy.analysis.server_side import ServerSide

WORKLOAD = SIDECAR[0]
GATEWAY = flag(
    "--gateway", is_flag=True, help="A gateway instead of a sidecar: --labels says which Gateway selectors it answers."
)


class Header(click.ParamType[tuple[str, str]]):
    """`name: value`, as curl's -H."""

    name = "header"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, colon, text = value.partition(":")
        if not colon or not name.strip():
            self.fail(f"{value!r} is not a header such as 'end-user: jason'", param, ctx)
        return name.strip(), text.strip()


@click.command()
@click.argument("method")
@click.argument("url")
@options(WORKLOAD, *WHO, GATEWAY)
@click.option("-H", "--header", "headers", type=Header(), multiple=True, help="A header, as in 'end-user: jason'.")
@click.option("--inbound", is_flag=True, help="The server's side: the request comes in to the workload.")
@click.option(
    "--from", "caller", metavar="WORKLOAD", default="", help="Who sends it in, over mutual TLS; else plaintext."
)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to say it.")
def explain(
    method: str,
    url: str,
    headers: tuple[tuple[str, str], ...],
    inbound: bool,
    caller: str,
    output: str,
    **flags: Any,
) -> None:
    """Say what one request would meet, and send nothing: which listener, virtual host and route (and why the earlier
    ones did not match), which destinations with which endpoints and policies, and what the workloads there say to it.

    \b
    Example:
      pyproxy explain --config config --workload productpage-v1 GET http://reviews:9080/reviews/1 -H 'end-user: jason'
      pyproxy explain --config config --workload reviews-v1 --inbound --from productpage-v1 GET http://reviews:9080/
    """
    from pyproxy.analysis.explain import Explainer, ask
    from pyproxy.core.errors import CommandError
    from pyproxy.reload import read
    from pyproxy.settings import Settings
    from pyproxy.snapshot.identity import identity_of

    settings = Settings(**flags)
    check_paths(settings)
    loaded = read(settings.config, settings.identity_in, settings.listening)
    if loaded.snapshot is None:
        for problem in loaded.errors:
            click.echo(f"error: {problem}", err=True)
        raise CommandError(f"{len(loaded.errors)} error(s) in the documents", exit_code=1)
    asked = ask(method, url, headers, inbound=inbound)
    sender = identity_of(loaded.documents, caller) if caller else None
    found = Explainer(loaded.snapshot, loaded.documents).explain(asked, sender)
    if output == "json":
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        show(as_tree(found))


def as_tree(found: Explanation) -> Branch:
    """An explanation as lines."""
    request = found.request
    root = Branch(f"{request['method']} {request['authority']}{request['path']}", "bold")
    listener = found.listener
    root.add(f"listener {listener['name']} ({listener['address']}:{listener['port']})")
    if found.here is not None:
        _add_server_side(root, found.here, "this workload")
    if found.virtual_host:
        root.add(f"virtual host {found.virtual_host['name']}")
    for tried in found.routes:
        _add_route(root, tried)
    if found.answer:
        root.add(f"answer: {found.answer}", "yellow").add_values(found.policies)
    elif found.policies:
        root.add("on the way").add_values(found.policies)
    if found.fault:
        root.add("injected fault", "yellow").add_values(found.fault)
    for target in found.targets:
        _add_target(root, target)
    for note in found.notes:
        root.add(f"note: {note}", "dim")
    return root


def _add_route(root: Branch, tried: Tried) -> None:
    name = " ".join(
        part for part in (tried.name, f"of {tried.virtual_service}" if tried.virtual_service else "") if part
    )
    verdict = "matches" if tried.matched else "does not match"
    branch = root.add(f"route {tried.index} {name}".rstrip() + f": {verdict}", "green" if tried.matched else "dim")
    if not tried.conditions:
        branch.add("takes every request")
    for each in tried.conditions:
        mark = "yes" if each.holds else "no"
        branch.add(f"{mark}: {each.condition}" + ("" if each.holds else f", and the request has {each.found}"))


def _add_target(root: Branch, target: Target) -> None:
    branch = root.add(f"{target.share} to {target.cluster or 'no cluster'}", "cyan")
    if target.problem:
        branch.add(target.problem, "red")
    if target.destination_rule:
        branch.add(f"DestinationRule {target.destination_rule}")
    branch.add_values(target.headers)
    branch.add_values(target.policies)
    for each in target.endpoints:
        parts = [each.workload, each.locality and f"in {each.locality}", f"priority {each.priority}", each.connection]
        branch.add(f"endpoint {each.address}: {', '.join(part for part in parts if part)}")
    for side in target.server_side:
        _add_server_side(branch, side, f"at {side.workload}")


def _add_server_side(root: Branch, side: ServerSide, where: str) -> None:
    refused = side.connection.startswith("refused") or side.authorization.startswith("denied")
    branch = root.add(f"{where} port {side.port}: {side.connection}, {side.authorization}", "red" if refused else "")
    branch.add(f"accepts {side.accepts}")
    for rule in side.rules:
        branch.add(rule)
    if side.tokens:
        branch.add(f"verifies tokens of {', '.join(side.tokens)}")
