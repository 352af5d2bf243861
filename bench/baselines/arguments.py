"""The command line that all baselines share: where to listen, where each subset is, how to split."""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Arguments:
    """A mesh as a baseline understands it. Without `header`, every request goes through `split`."""

    port: int
    upstreams: dict[str, int]
    split: tuple[tuple[str, int], ...]
    header: tuple[str, str] | None

    @property
    def first(self) -> str:
        """Where requests without the header go."""
        return self.split[0][0]


def encode(arguments: Arguments) -> list[str]:
    """Arguments → command line."""
    command = ["--port", str(arguments.port)]
    command += [f"--upstream={subset}={port}" for subset, port in arguments.upstreams.items()]
    command += [f"--split={subset}={weight}" for subset, weight in arguments.split]
    return command if arguments.header is None else [*command, "--header", "=".join(arguments.header)]


def parse(command: list[str] | None = None) -> Arguments:
    """Command line → Arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", action="append", required=True, metavar="SUBSET=PORT")
    parser.add_argument("--split", action="append", required=True, metavar="SUBSET=WEIGHT")
    parser.add_argument("--header", metavar="NAME=VALUE")
    found = parser.parse_args(command)
    name, _, value = (found.header or "").partition("=")
    return Arguments(
        port=found.port,
        upstreams=dict(_pairs(found.upstream)),
        split=tuple(_pairs(found.split)),
        header=(name, value) if name else None,
    )


def _pairs(texts: list[str]) -> list[tuple[str, int]]:
    return [(name, int(number)) for name, _, number in (text.partition("=") for text in texts)]
