"""`pyproxy certs issue`: fills what is ordered, once or for as long as it runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import click

from pyproxy.cli.certs_flags import ALGORITHM, FOLDERS, FORCE, OUTPUT, lifetime_flag, now_utc
from pyproxy.cli.certs_report import print_issued
from pyproxy.cli.process import flag, options
from pyproxy.core.errors import CommandError
from pyproxy.istio.files import fingerprint
from pyproxy.istio.loader import load
from pyproxy.istio.resources import Document
from pyproxy.mtls.authority import make_root
from pyproxy.mtls.folders import CA, CA_CERTIFICATE, CA_KEY, has_authority, read_authority, write_authority
from pyproxy.mtls.issuing import Done, Issued, Order, Wish, due, fill
from pyproxy.mtls.keys import KeyKind, new_key
from pyproxy.mtls.layout import CHAIN, ROOT
from pyproxy.mtls.orders import every_workload, one_identity, one_server, one_workload, trust_domain_in

WATCH_SECONDS = 5.0
"""Between two looks at documents and dates."""
_GATEWAY = "gateway"
"""What `pyproxy gateway` is called unless its labels say otherwise."""


@click.command()
@click.option("--all", "everyone", is_flag=True, help="Every WorkloadEntry of the documents.")
@click.option(
    "--workload", "workloads", metavar="NAME[.NAMESPACE]", multiple=True, help="One WorkloadEntry. Repeatable."
)
@click.option("--gateway", is_flag=True, help="`pyproxy gateway`, which has no WorkloadEntry.")
@click.option(
    "--identity",
    metavar="NAMESPACE/ACCOUNT",
    help="Who the --gateway, or the one --workload, is: for proxies that no WorkloadEntry names.",
)
@click.option(
    "--dns", multiple=True, metavar="HOST", help="A Gateway server's certificate for these names. Repeatable."
)
@click.option("--credential", metavar="NAME", default="", help="Its credentialName.  [default: the first --dns]")
@options(
    flag(
        "--config",
        multiple=True,
        type=click.Path(path_type=Path),
        default=("config",),
        help="File or folder of Istio documents. Repeatable.",
    ),
    *FOLDERS,
)
@click.option("--trust-domain", help="First part of every identity.  [default: MeshConfig's]")
@lifetime_flag("24h")
@ALGORITHM
@click.option("--init", "start", is_flag=True, help="Make the authority first, if there is none.")
@click.option("--renew", is_flag=True, help="New certificates also where the old ones are good for long.")
@FORCE
@click.option("--watch", is_flag=True, help="Stay: renew what is due, follow the documents, until SIGTERM or Ctrl-C.")
@OUTPUT
def issue(
    everyone: bool,
    workloads: tuple[str, ...],
    gateway: bool,
    identity: str | None,
    dns: tuple[str, ...],
    credential: str,
    config: tuple[Path, ...],
    certs: Path,
    ca: Path | None,
    trust_domain: str | None,
    lifetime: float,
    algorithm: str | None,
    start: bool,
    renew: bool,
    force: bool,
    watch: bool,
    output: str,
) -> None:
    """Make certificates. Each workload's goes to a folder NAME.NAMESPACE of --certs: cert-chain.pem, key.pem,
    root-cert.pem; that of a Gateway's server to credentials/NAME: tls.crt, tls.key, ca.crt.

    Again, it renews: a certificate that has less than a third of its life left, another identity or another signer
    gets a successor for the same key; the others stay (--renew: none stays; --force: a new key too). Running proxies
    take the new files up by themselves. Call it from a timer, or leave that to --watch.

    \b
    Example:
      pyproxy certs issue --init --all --gateway --config config
      pyproxy certs issue --workload reviews-v1 --renew
      pyproxy certs issue --workload edge --identity istio-system/edge
      pyproxy certs issue --dns shop.example.com --credential shop-cert --lifetime 90d
    """
    wanted = _Wanted(everyone, workloads, gateway, identity, dns, credential, config, trust_domain)
    wanted.check()
    kind = KeyKind(algorithm) if algorithm else None
    clerk = _Clerk(certs, ca or certs / CA, Wish(timedelta(seconds=lifetime), kind, renew, force))
    orders = wanted.orders()
    if start:
        clerk.begin(next((each.names.identity.trust_domain for each in orders if each.names.identity), "cluster.local"))
    filled = clerk.fill(orders)
    print_issued(filled, output)
    if watch:
        _watch(clerk, wanted.orders, config, filled, output)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """For whom the flags want certificates."""

    everyone: bool
    workloads: tuple[str, ...]
    gateway: bool
    identity: str | None
    dns: tuple[str, ...]
    credential: str
    config: tuple[Path, ...]
    trust_domain: str | None

    def check(self) -> None:
        """Raises CommandError for flags that mean nothing, or nothing together."""
        if not (self.everyone or self.workloads or self.gateway or self.dns):
            raise CommandError("nothing to issue: give --all, --workload NAME, --gateway or --dns HOST")
        if self.credential and not self.dns:
            raise CommandError("--credential names a server's certificate: say for which hosts with --dns")
        if self.identity and len(self.workloads) + self.gateway != 1:
            raise CommandError("--identity says who one proxy is: give it with --gateway or with one --workload")

    def orders(self) -> list[Order]:
        """By the documents as they are now. Raises CommandError."""
        needed = bool(self.everyone or (self.workloads and not self.identity))
        documents = _documents(self.config, needed=needed) if needed or not self.trust_domain else ()
        domain = self.trust_domain or trust_domain_in(documents)
        found = every_workload(documents, domain) if self.everyone else []
        if self.identity:
            found += [one_identity(each, self.identity, domain) for each in self.workloads]
        else:
            found += [one_workload(documents, each, domain) for each in self.workloads]
        if self.gateway:
            found.append(one_identity(_GATEWAY, self.identity or "default/default", domain))
        return [*found, *([one_server(self.dns, self.credential)] if self.dns else [])]


class _Clerk:
    """Fills orders with one authority, into one folder."""

    def __init__(self, certs: Path, ca: Path, wish: Wish) -> None:
        self._certs = certs
        self._ca = ca
        self.wish = wish

    @property
    def files(self) -> tuple[Path, ...]:
        """What the authority is made of."""
        return tuple(self._ca / name for name in (ROOT, CHAIN, CA_CERTIFICATE, CA_KEY))

    def begin(self, trust_domain: str) -> None:
        """Make the authority if there is none."""
        if not has_authority(self._ca):
            write_authority(self._ca, make_root(new_key(self.wish.kind or KeyKind.ECDSA), trust_domain, now_utc()))
            click.echo(f"made an authority in {self._ca}", err=True)

    def fill(self, orders: list[Order]) -> list[Issued]:
        """Raises CommandError."""
        now = now_utc()
        authority = read_authority(self._ca, now)
        return [fill(order, self._certs, authority, now, self.wish) for order in orders]


def _watch(
    clerk: _Clerk, orders: Callable[[], list[Order]], config: tuple[Path, ...], filled: list[Issued], output: str
) -> None:
    """Issue again when documents or the authority change, or a certificate is due. An error is said once, and tried
    again."""
    stop = threading.Event()  # a signal ends it between two rounds, never in the middle of a file
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clerk.wish = replace(clerk.wish, renew=False, force=False)
    files = (*config, *clerk.files)
    seen, failed = fingerprint(files), ""
    while not stop.wait(WATCH_SECONDS):
        before, seen = seen, fingerprint(files)
        if seen == before and not failed and all(now_utc() < due(each.certificate) for each in filled):
            continue
        try:
            filled = clerk.fill(orders())
        except CommandError as error:
            if str(error) != failed:
                click.echo(f"pyproxy: {error}", err=True)
            failed = str(error)
        else:
            failed = ""
            if news := [each for each in filled if each.done is not Done.KEPT]:
                print_issued(news, output)


def _documents(config: tuple[Path, ...], *, needed: bool) -> tuple[Document, ...]:
    """The documents; none where they are not needed and not there. Raises CommandError for those with errors."""
    missing = [str(path) for path in config if not path.exists()]
    if missing and needed:
        raise CommandError(
            f"no such file or folder: {', '.join(missing)}. Give --config PATH with the WorkloadEntry documents, "
            "or say who the proxy is with --identity NAMESPACE/ACCOUNT."
        )
    loaded = load([path for path in config if path.exists()])
    errors = [problem for problem in loaded.problems if problem.severity == "error"]
    if errors:
        said = "\n".join(f"error: {problem}" for problem in errors)
        raise CommandError(f"{len(errors)} error(s) in the documents; nothing was issued\n{said}", exit_code=1)
    return loaded.documents
