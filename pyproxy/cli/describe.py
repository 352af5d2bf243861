"""`pyproxy describe`: which services, rules and policies are about a workload or a service."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyproxy.cli.flags import flag, options
from pyproxy.cli.tree import Branch, plain

if TYPE_CHECKING:
    from pyproxy.analysis.describe import Description, RoutesDescription, RuleDescription, WorkloadDescription

DOCUMENTS = flag(
    "--config",
    multiple=True,
    type=click.Path(path_type=Path),
    default=("config",),
    help="File or folder of Istio documents. Repeatable.",
)


@click.command()
@click.argument("name", metavar="WORKLOAD|SERVICE")
@options(DOCUMENTS, flag("--namespace", default="default", help="Of a service that is named by its short name."))
@click.option("--service", is_flag=True, help="The service of that name, where a workload has the name too.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to say it.")
def describe(name: str, config: tuple[Path, ...], namespace: str, service: bool, output: str) -> None:
    """Tell which documents are about a workload (a WorkloadEntry, NAME or NAME.NAMESPACE) or about a service: services,
    DestinationRules, VirtualServices, policies, and the mutual TLS mode that comes of them.

    \b
    Example:
      pyproxy describe reviews-v1 --config config
      pyproxy describe reviews --config config
    """
    from pyproxy.analysis.describe import describe_service, describe_workload, is_workload
    from pyproxy.core.errors import CommandError
    from pyproxy.istio.loader import load

    missing = [str(path) for path in config if not path.exists()]
    if missing:
        raise CommandError(f"no such file or folder: {', '.join(missing)}")
    loaded = load(config)
    for problem in loaded.problems:
        if problem.severity == "error":
            click.echo(f"error: {problem}", err=True)
    documents = loaded.documents
    if not service and is_workload(documents, name):
        found = describe_workload(documents, name)
    else:
        found = describe_service(documents, name, namespace)
    if output == "json":
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        click.echo("\n".join(as_lines(found)))


def as_lines(found: Description) -> list[str]:
    """A description as istioctl words it."""
    sections = []
    if found.workload is not None:
        head = Branch(f"Workload: {found.workload.name}.{found.workload.namespace}")
        head.add(f"Address: {found.workload.address}")
        head.add(f"Labels: {','.join(f'{key}={value}' for key, value in found.workload.labels.items()) or 'none'}")
        head.add(f"Identity: {found.workload.principal}")
        if found.workload.sidecar:
            head.add(f"Sidecar: {found.workload.sidecar}")
        sections.append([head])
    for service in found.services:
        head = Branch(f"Service: {service.host}")
        for port in service.ports:
            head.add(f"Port: {port}")
        if found.workloads:
            head.add(f"Workloads: {', '.join(found.workloads)}")
        if not service.endpoints:
            head.add("WARNING: it has no endpoints")
        section = [head]
        if service.destination_rule is not None:
            section.append(_rule(service.destination_rule, service.host))
        section += [_routes(each) for each in service.virtual_services]
        sections.append(section)
    if found.workload is not None:
        sections.append(_policies(found.workload))
    lines = []
    for index, section in enumerate(sections):
        lines += ["-" * 20] if index else []
        for branch in section:
            lines += plain(branch, step=" " * 3)
    return lines


def _rule(rule: RuleDescription, host: str) -> Branch:
    branch = Branch(f'DestinationRule: {rule.name} for "{host}"')
    if rule.matching_subsets or rule.non_matching_subsets:
        subsets = branch.add(f"Matching subsets: {','.join(rule.matching_subsets)}")
        if rule.non_matching_subsets:
            subsets.add(f"(Non-matching subsets {','.join(rule.non_matching_subsets)})")
    if rule.tls:
        branch.add(f"Traffic Policy TLS Mode: {rule.tls}")
    if rule.policies:
        branch.add(f"Policies: {'/'.join(rule.policies)}")
    if rule.port_level:
        ports = branch.add("Port Level Settings:")
        for number, policies in rule.port_level.items():
            ports.add(f"{number}: {policies}")
    if not (rule.tls or rule.policies or rule.port_level):
        branch.add("No Traffic Policy")
    return branch


def _routes(found: RoutesDescription) -> Branch:
    branch = Branch(f"VirtualService: {found.name}")
    if found.gateways:
        branch.add(f"Gateways: {', '.join(found.gateways)}")
    for warning in found.warnings:
        branch.add(f"WARNING: {warning}")
    for route in found.routes:
        line = branch.add(f"Match: {route.match}")
        for destination in route.destinations:
            line.add(f"Route to {destination}")
        if route.actions:
            line.add(f"With {', '.join(route.actions)}")
    return branch


def _policies(workload: WorkloadDescription) -> list[Branch]:
    effective = Branch("Effective PeerAuthentication:")
    effective.add(f"Workload mTLS mode: {workload.mtls_mode}")
    for port, mode in workload.port_modes.items():
        effective.add(f"Port {port} mTLS mode: {mode}")
    section = [effective]
    for title, names in (
        ("Applied PeerAuthentication:", workload.peer_authentications),
        ("Applied RequestAuthentication:", workload.request_authentications),
        ("Applied AuthorizationPolicy:", workload.authorization_policies),
    ):
        if names:
            branch = Branch(title)
            for name in names:
                branch.add(name)
            section.append(branch)
    return section
