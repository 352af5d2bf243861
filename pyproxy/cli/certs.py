"""`pyproxy certs`: the mesh's own certificate authority, and an identity for every workload."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from pyproxy.cli.certs_flags import ALGORITHM, FOLDERS, FORCE, OUTPUT, lifetime_flag, now_utc
from pyproxy.cli.certs_issue import issue
from pyproxy.cli.certs_report import print_findings, print_seen
from pyproxy.cli.process import options
from pyproxy.core.errors import CommandError
from pyproxy.mtls.authority import Authority, make_intermediate, make_root
from pyproxy.mtls.chains import chain_fault
from pyproxy.mtls.folders import (
    CA,
    CA_CERTIFICATE,
    CA_KEY,
    ROOT_KEY,
    assemble,
    has_authority,
    write_authority,
    write_key,
)
from pyproxy.mtls.inspection import AUTHORITY, Seen, examine, look, places
from pyproxy.mtls.keys import KeyKind, new_key


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """As ever; folders that are another user's are said as what they are."""
        try:
            return super().invoke(ctx)
        except PermissionError as error:
            raise CommandError(
                f"cannot look at {error.filename}: {error.strerror}. Do it as the user whose it is", exit_code=1
            ) from error


@click.group(cls=_Group)
def certs() -> None:
    """The mesh's own certificate authority: a root, and a SPIFFE certificate for every workload.

    Keys are written so that only their owner reads them, never overwritten without --force, and never shown.

    \b
    Example:
      pyproxy certs issue --init --all --gateway --config config
      pyproxy run --config config --workload reviews-v1 --certs certs
    """


@certs.command()
@options(*FOLDERS)
@click.option("--intermediate", is_flag=True, help="Sign workloads with an authority under the root.")
@click.option("--root-cert", type=click.Path(path_type=Path), help="A root that you have; with --root-key.")
@click.option("--root-key", type=click.Path(path_type=Path), help="Its key.")
@click.option("--trust-domain", default="cluster.local", show_default=True, help="Organization in its name.")
@lifetime_flag("3650d")
@ALGORITHM
@FORCE
@OUTPUT
def init(
    certs: Path,
    ca: Path | None,
    intermediate: bool,
    root_cert: Path | None,
    root_key: Path | None,
    trust_domain: str,
    lifetime: float,
    algorithm: str | None,
    force: bool,
    output: str,
) -> None:
    """Make the authority: a new root, or one that you bring.

    With --intermediate the root's own key goes to root-key.pem; move it to where nobody reaches it, since issuing
    does not need it. A folder that has Istio's four files needs no init: name it with --ca.

    \b
    Example:
      pyproxy certs init
      pyproxy certs init --root-cert root.pem --root-key root.key --intermediate
    """
    folder, now = ca or certs / CA, now_utc()
    if (has_authority(folder) or (folder / ROOT_KEY).exists()) and not force:
        raise CommandError(
            f"{folder} has an authority already, and every certificate depends on it. `pyproxy certs issue` uses it; "
            "--force puts a new one in its place",
            exit_code=1,
        )
    if (root_cert is None) != (root_key is None):
        raise CommandError("--root-cert and --root-key belong together: give both or none")
    kind, lasting = KeyKind(algorithm or KeyKind.ECDSA.value), timedelta(seconds=lifetime)
    if root_cert is not None and root_key is not None:
        root = assemble(root_cert, root_key, (), (), now)
    else:
        root = make_root(new_key(kind), trust_domain or "cluster.local", now, lasting)
    authority = _under(root, kind, trust_domain or "cluster.local", now, lasting) if intermediate else root
    write_authority(folder, authority)
    if intermediate and root_key is None:
        write_key(folder / ROOT_KEY, root.key)
    print_seen([Seen(AUTHORITY, folder / CA_CERTIFICATE, authority.certificate)], now, output)
    if output == "text":
        click.echo(f"wrote {folder}: guard {CA_KEY}, whoever has it can be anybody in the mesh")


def _under(root: Authority, kind: KeyKind, organization: str, now: datetime, lifetime: timedelta) -> Authority:
    """An intermediate below the root. Raises CommandError when the root allows none."""
    authority = make_intermediate(root, new_key(kind), organization, now, lifetime)
    if fault := chain_fault(authority.certificate, authority.intermediates, authority.roots, now):
        raise CommandError(f"{fault}: leave --intermediate out, or bring another root", exit_code=1)
    return authority


certs.add_command(issue)


@certs.command()
@options(*FOLDERS)
@OUTPUT
def show(certs: Path, ca: Path | None, output: str) -> None:
    """List the certificates: whom they name, until when they are valid, who signed them.

    \b
    Example:
      pyproxy certs show
      pyproxy certs show --certs certs/reviews-v1.default --output json
    """
    seen = look(certs, ca or certs / CA)
    if not seen:
        raise _nothing_in(certs)
    print_seen(seen, now_utc(), output)


@certs.command()
@options(*FOLDERS)
@OUTPUT
def verify(certs: Path, ca: Path | None, output: str) -> None:
    """Check every folder: chain, dates, key, identity, and who can read the keys.

    Exit code 0 when all is good (what is due for renewal is a warning), 1 when anything is wrong.

    \b
    Example:
      pyproxy certs verify && echo good
    """
    folder = ca or certs / CA
    examined = len(places(certs)) + has_authority(folder)
    if not examined:
        raise _nothing_in(certs)
    findings = examine(certs, folder, now_utc())
    print_findings(findings, examined, output)
    sys.exit(1 if any(each.serious for each in findings) else 0)


def _nothing_in(certs: Path) -> CommandError:
    return CommandError(f"no certificates in {certs}: make some with `pyproxy certs issue --init --all`", exit_code=1)
