"""Transparent capture: the iptables rules that send a workload's TCP traffic through the proxy: apply, remove, show.

The chains and the order of the rules are those of Istio (tools/istio-iptables/pkg/capture/run.go), so that who can read
one can read the other. Everything happens in the nat table of the network namespace that the command runs in, for IPv4
only, and in one iptables-restore transaction: traffic never meets half of the rules.
"""

import ipaddress
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import click

# What the proxy itself serves never goes to its inbound capture: admin, both captures, merged metrics, health, metrics.
OWN_PORTS = (15000, 15001, 15006, 15020, 15021, 15090)

INBOUND, OUTPUT = "ISTIO_INBOUND", "ISTIO_OUTPUT"
REDIRECT, IN_REDIRECT = "ISTIO_REDIRECT", "ISTIO_IN_REDIRECT"
CHAINS = (INBOUND, OUTPUT, REDIRECT, IN_REDIRECT)
JUMPS = (f"PREROUTING -p tcp -j {INBOUND}", f"OUTPUT -p tcp -j {OUTPUT}")

Ports = tuple[int, ...] | None
"""Port numbers; None is "*", every port."""
Ranges = tuple[str, ...] | None
"""IPv4 networks; None is "*", every address."""


@dataclass(frozen=True, slots=True)
class Capture:
    """Whose traffic is captured, which of it, and where it is sent."""

    proxy_uid: int = 1337
    proxy_gid: int = 1337
    outbound_port: int = 15001
    inbound_port: int = 15006
    include_inbound_ports: Ports = None
    exclude_inbound_ports: tuple[int, ...] = ()
    include_outbound_ip_ranges: Ranges = None
    exclude_outbound_ip_ranges: tuple[str, ...] = ()
    exclude_outbound_ports: tuple[int, ...] = ()


def capture_rules(capture: Capture) -> list[str]:
    """The rules of the four chains, in order, each as `CHAIN match... -j target`. The jumps to the chains are JUMPS."""
    return [
        f"{REDIRECT} -p tcp -j REDIRECT --to-ports {capture.outbound_port}",
        f"{IN_REDIRECT} -p tcp -j REDIRECT --to-ports {capture.inbound_port}",
        *_inbound_rules(capture),
        *_outbound_rules(capture),
    ]


def _inbound_rules(capture: Capture) -> list[str]:
    excluded = dict.fromkeys((*OWN_PORTS, capture.outbound_port, capture.inbound_port, *capture.exclude_inbound_ports))
    rules = [f"{INBOUND} -p tcp --dport {port} -j RETURN" for port in excluded]
    if capture.include_inbound_ports is None:
        return [*rules, f"{INBOUND} -p tcp -j {IN_REDIRECT}"]
    return rules + [f"{INBOUND} -p tcp --dport {port} -j {IN_REDIRECT}" for port in capture.include_inbound_ports]


def _outbound_rules(capture: Capture) -> list[str]:
    rules = [f"{OUTPUT} -p tcp --dport {port} -j RETURN" for port in capture.exclude_outbound_ports]
    for owner in (f"--uid-owner {capture.proxy_uid}", f"--gid-owner {capture.proxy_gid}"):
        rules += [
            # The proxy calls its own workload by the workload's address: that is a call from outside, so it comes in.
            f"{OUTPUT} -o lo ! -d 127.0.0.1/32 -p tcp -m owner {owner} -j {IN_REDIRECT}",
            # The workload talks to itself: that is nobody's business.
            f"{OUTPUT} -o lo -p tcp -m owner ! {owner} -j RETURN",
            # What the proxy sends has been through the proxy: without this rule it would chase its own tail.
            f"{OUTPUT} -p tcp -m owner {owner} -j RETURN",
        ]
    rules.append(f"{OUTPUT} -d 127.0.0.1/32 -j RETURN")
    rules += [f"{OUTPUT} -d {network} -j RETURN" for network in capture.exclude_outbound_ip_ranges]
    if capture.include_outbound_ip_ranges is None:
        return [*rules, f"{OUTPUT} -j {REDIRECT}"]
    return rules + [f"{OUTPUT} -d {network} -j {REDIRECT}" for network in capture.include_outbound_ip_ranges]


def apply_script(capture: Capture, present: Sequence[str]) -> str:
    """Input for `iptables-restore --noflush` that leaves exactly these rules in Istio's chains, whatever was in them.

    present: the lines of `iptables-save -t nat`. A jump that is there stays; naming a chain empties or makes it.
    """
    missing = [jump for jump in JUMPS if f"-A {jump}" not in present]
    declared = [f":{chain} - [0:0]" for chain in CHAINS]
    return _transaction(declared + [f"-A {rule}" for rule in capture_rules(capture) + missing])


def remove_script(present: Sequence[str]) -> str:
    """Input for `iptables-restore --noflush` that undoes apply_script and nothing else; empty when nothing is there."""
    chains = [chain for chain in CHAINS if any(line.startswith(f":{chain} ") for line in present)]
    jumps = [line.removeprefix("-A ") for line in present if line.removeprefix("-A ") in JUMPS]
    lines = [
        *(f"-D {jump}" for jump in jumps),
        *(f"-F {chain}" for chain in chains),
        *(f"-X {chain}" for chain in chains),
    ]
    return _transaction(lines) if lines else ""


def rules_by_chain(present: Sequence[str]) -> dict[str, list[str]]:
    """Istio's chains and the rules that jump to them, out of the lines of `iptables-save -t nat`."""
    chains: dict[str, list[str]] = {}
    for line in present:
        name = line[1:].split(" ")[0] if line.startswith(":") else ""
        if name in CHAINS:
            chains[name] = []
        elif line.startswith("-A "):
            chain, _, rule = line.removeprefix("-A ").partition(" ")
            if chain in CHAINS or line.removeprefix("-A ") in JUMPS:
                chains.setdefault(chain, []).append(rule)
    return chains


def _transaction(lines: Sequence[str]) -> str:
    return "\n".join(["*nat", *lines, "COMMIT", ""])


# The machine


def _run(command: Sequence[str], script: str | None = None) -> str:
    try:
        done = subprocess.run(command, input=script, text=True, capture_output=True, check=False)
    except FileNotFoundError:
        raise click.ClickException(f"{command[0]} is not installed (on Debian: apt-get install iptables)") from None
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)}: {done.stderr.strip()}\nThe rules need CAP_NET_ADMIN.")
    return done.stdout


def _present() -> list[str]:
    return _run(["iptables-save", "-t", "nat"]).splitlines()


def _restore(script: str) -> None:
    _run(["iptables-restore", "--noflush", "--wait"], script)


def _print_chains(lines: Sequence[str]) -> None:
    click.echo(json.dumps(rules_by_chain(lines), indent=2))


# The command line

PORT = click.IntRange(1, 65535)


def parse_ports(text: str) -> tuple[int, ...]:
    """`80,443` → (80, 443). Raises click.BadParameter."""
    ports = [part.strip() for part in text.split(",") if part.strip()]
    for port in ports:
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise click.BadParameter(f"{port!r} is not a port: write numbers from 1 to 65535 with commas between")
    return tuple(int(port) for port in ports)


def parse_ranges(text: str) -> tuple[str, ...]:
    """`10.0.0.0/8,192.168.1.7` → networks in canonical form. Raises click.BadParameter."""
    try:
        return tuple(str(ipaddress.IPv4Network(part.strip())) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise click.BadParameter(f"{error}: write IPv4 networks like 10.0.0.0/8 with commas between") from None


def _ports_or_all(text: str) -> Ports:
    return None if text == "*" else parse_ports(text)


def _ranges_or_all(text: str) -> Ranges:
    return None if text == "*" else parse_ranges(text)


_dry_run = click.option(
    "--dry-run", is_flag=True, help="Print what iptables-restore would be given, and change nothing."
)
_output = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: the rules by chain, those that are there, were written or were taken away.",
)


@click.group()
def iptables() -> None:
    """Capture a workload's traffic transparently (Linux; needs NET_ADMIN).

    \b
    Example:
      pyproxy iptables apply --exclude-outbound-ports 5432
      pyproxy iptables remove
    """


@iptables.command(context_settings={"auto_envvar_prefix": "PYPROXY", "show_default": True})
@click.option("--proxy-uid", type=int, default=1337, help="User that runs the proxy.")
@click.option("--proxy-gid", type=int, default=1337, help="Group that runs the proxy.")
@click.option("--outbound-port", type=PORT, default=15001, help="Where the workload's outgoing traffic is sent.")
@click.option("--inbound-port", type=PORT, default=15006, help="Where the workload's incoming traffic is sent.")
@click.option("--include-inbound-ports", type=_ports_or_all, metavar="PORTS", default="*", help="Captured; * is all.")
@click.option("--exclude-inbound-ports", type=parse_ports, metavar="PORTS", default="", help="Not captured.")
@click.option("--include-outbound-ip-ranges", type=_ranges_or_all, metavar="CIDRS", default="*", help="Captured.")
@click.option("--exclude-outbound-ip-ranges", type=parse_ranges, metavar="CIDRS", default="", help="Not captured.")
@click.option("--exclude-outbound-ports", type=parse_ports, metavar="PORTS", default="", help="Not captured.")
@_dry_run
@_output
def apply(
    proxy_uid: int,
    proxy_gid: int,
    outbound_port: int,
    inbound_port: int,
    include_inbound_ports: Ports,
    exclude_inbound_ports: tuple[int, ...],
    include_outbound_ip_ranges: Ranges,
    exclude_outbound_ip_ranges: tuple[str, ...],
    exclude_outbound_ports: tuple[int, ...],
    dry_run: bool,
    output: str,
) -> None:
    """Write the rules. A second time replaces them.

    \b
    Example:
      pyproxy iptables apply --proxy-uid 1337 --dry-run
    """
    capture = Capture(
        proxy_uid=proxy_uid,
        proxy_gid=proxy_gid,
        outbound_port=outbound_port,
        inbound_port=inbound_port,
        include_inbound_ports=include_inbound_ports,
        exclude_inbound_ports=exclude_inbound_ports,
        include_outbound_ip_ranges=include_outbound_ip_ranges,
        exclude_outbound_ip_ranges=exclude_outbound_ip_ranges,
        exclude_outbound_ports=exclude_outbound_ports,
    )
    script = apply_script(capture, present=() if dry_run else _present())
    if not dry_run:
        _restore(script)
    if output == "json":
        _print_chains(apply_script(capture, present=()).splitlines())
    elif dry_run:
        click.echo(script, nl=False)


@iptables.command()
@_dry_run
@_output
def remove(dry_run: bool, output: str) -> None:
    """Take the rules away. Does nothing when there are none.

    \b
    Example:
      pyproxy iptables remove
    """
    present = _present()
    script = remove_script(present)
    if script and not dry_run:
        _restore(script)
    if output == "json":
        _print_chains(present)
    elif dry_run:
        click.echo(script, nl=False)


@iptables.command()
@_output
def show(output: str) -> None:
    """Show the rules that are in force, by chain.

    \b
    Example:
      pyproxy iptables show --output json
    """
    present = _present()
    if output == "json":
        _print_chains(present)
    else:
        for chain, rules in rules_by_chain(present).items():
            click.echo("\n".join([chain, *(f"  {rule}" for rule in rules)]))
