"""`pyproxy completion`: the script that teaches a shell to complete pyproxy's commands and flags."""

from __future__ import annotations

import json

import click

_VARIABLE = "_PYPROXY_COMPLETE"
"""By which the script asks pyproxy for completions; click's name for it."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)
@click.pass_context
def completion(context: click.Context, shell: str, output: str) -> None:
    """Print the script for a shell. It asks pyproxy itself, so that it need not be made anew for a new version.

    \b
    Example:
      eval "$(pyproxy completion bash)"           # for this shell; in ~/.bashrc for all
      eval "$(pyproxy completion zsh)"            # ~/.zshrc
      pyproxy completion fish > ~/.config/fish/completions/pyproxy.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None  # the three that click has
    script = found(context.find_root().command, {}, "pyproxy", _VARIABLE).source()
    click.echo(json.dumps({"shell": shell, "script": script}, indent=2) if output == "json" else script)
