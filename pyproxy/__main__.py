"""The command line: `pyproxy COMMAND`. Commands load when they are called, so that help is quick."""

from __future__ import annotations

import importlib
import sys

import click
from click.shell_completion import CompletionItem

from pyproxy import __version__
from pyproxy.core.errors import CommandError

# Command → (module, attribute, one line of help), in the order in which a newcomer meets them.
_COMMANDS = {
    "lab": ("pyproxy.cli.lab", "lab", "A whole small mesh on this machine."),
    "run": ("pyproxy.cli.run", "run", "Run one proxy beside one workload."),
    "gateway": ("pyproxy.cli.run", "gateway", "Run one proxy as a gateway."),
    "console": ("pyproxy.cli.console", "console", "A live page of running proxies."),
    "validate": ("pyproxy.cli.validate", "validate", "Check Istio documents, each alone."),
    "analyze": ("pyproxy.cli.analyze", "analyze", "Check Istio documents against each other."),
    "explain": ("pyproxy.cli.explain", "explain", "What one request would meet, and why."),
    "describe": ("pyproxy.cli.describe", "describe", "Which documents are about a workload or a service."),
    "test": ("pyproxy.cli.route_tests", "test", "Route tests in the format of istio-config-validator."),
    "proxy-config": ("pyproxy.cli.proxy_config", "proxy_config", "A running proxy in istioctl's columns (pc)."),
    "top": ("pyproxy.cli.top", "top", "Live: what the clusters of running proxies do."),
    "export": ("pyproxy.cli.export", "export", "The same mesh as an Envoy bootstrap."),
    "certs": ("pyproxy.cli.certs", "certs", "The mesh's own authority: an identity for every workload."),
    "iptables": ("pyproxy.cli.iptables", "iptables", "Transparent capture: write, remove or show the rules."),
    "completion": ("pyproxy.cli.completion", "completion", "Completion for bash, zsh or fish."),
    "version": ("pyproxy.cli.version", "version", "Versions of pyproxy and of what it stands on."),
}
_ALIASES = {"pc": "proxy-config"}


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = _ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names of commands without loading any."""
        found = [
            CompletionItem(name, help=text) for name, (_, _, text) in _COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "PYPROXY"})
@click.version_option(__version__, prog_name="pyproxy")
def cli() -> None:
    """The service-mesh data plane without Kubernetes: Istio's documents in, Envoy's behaviour out.

    Begin with `pyproxy lab`. `pyproxy COMMAND --help` tells a command's flags.
    """


def main() -> None:
    """Entry point: errors that tell the user what to do go to standard error, without a traceback."""
    try:
        cli(prog_name="pyproxy")
    except CommandError as error:
        click.echo(f"pyproxy: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
