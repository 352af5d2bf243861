"""The lab's documents: the package's own, copied to a folder where the user edits them while the mesh runs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from pyproxy.core.errors import CommandError
from pyproxy.lab.layout import APP_PORT, INSTANCES, SERVICE_PORT, Workload
from pyproxy.lab.stage import Stage

SHIPPED_SUBNET = "127.0.1"
"""The documents in the package are the ones of this subnet, and valid as they are."""
GATEWAY_PORT = 8080


def write_documents(folder: Path, workloads: Iterable[Workload], gateway_port: int) -> list[str]:
    """Fill `folder` and return the names of the files that were there and stay as they are.

    The files of `workloads/` describe this machine, so they are written anew each time; the rules beside it are the
    user's once they exist. Raises CommandError when the folder cannot be written.
    """
    shipped = files("pyproxy.lab") / "documents"
    kept = []
    try:
        (folder / "workloads").mkdir(parents=True, exist_ok=True)
        Stage(folder).restore()  # a scenario that nobody could end
        for rules in _yaml(shipped):
            if (folder / rules.name).exists():
                kept.append(rules.name)
            else:
                (folder / rules.name).write_text(rules.read_text("utf-8"), "utf-8")
        for name, text in _workload_documents(shipped / "workloads", workloads, gateway_port):
            (folder / "workloads" / name).write_text(text, "utf-8")
    except OSError as error:
        raise CommandError(
            f"cannot write the documents to {folder}: {error.strerror}. Choose another --dir."
        ) from error
    return kept


def _yaml(folder: Traversable) -> list[Traversable]:
    return sorted((entry for entry in folder.iterdir() if entry.name.endswith(".yaml")), key=lambda entry: entry.name)


def _workload_documents(
    shipped: Traversable, workloads: Iterable[Workload], gateway_port: int
) -> Iterable[tuple[str, str]]:
    """The shipped files with this machine's address and ports in the place of the shipped ones."""
    numbers = {instance: number for number, instance in enumerate(INSTANCES, start=1)}
    for workload in workloads:
        text = (shipped / f"{workload.name}.yaml").read_text("utf-8")
        text = text.replace(f"{SHIPPED_SUBNET}.{numbers[workload.service, workload.version]}", workload.address)
        text = text.replace(f": {SERVICE_PORT}", f": {workload.service_port}")
        yield f"{workload.name}.yaml", text.replace(f":{APP_PORT}", f":{workload.app_port}")
    text = (shipped / "gateway.yaml").read_text("utf-8")
    yield "gateway.yaml", text.replace(f": {GATEWAY_PORT}", f": {gateway_port}")
