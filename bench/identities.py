"""Certificates for a scenario with mutual TLS: a root, the client's and the service's, in the folders proxies read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pyproxy.core.spiffe import SpiffeId
from pyproxy.mtls.authority import Names, make_root
from pyproxy.mtls.issuing import Order, Wish, fill
from pyproxy.mtls.keys import new_key
from pyproxy.mtls.layout import CHAIN, KEY


@dataclass(frozen=True)
class Identities:
    """A folder for each side, with Istio's file names."""

    client: Path
    service: Path

    @property
    def shown(self) -> Path:
        """The client's certificate and key in one file, as tlsload wants them."""
        return self.client / "shown.pem"


def make(folder: Path) -> Identities:
    """ECDSA P-256, as `pyproxy certs` makes them."""
    now = datetime.now(UTC)
    root = make_root(new_key(), "cluster.local", now)
    for account in ("client", "reviews"):
        fill(Order(account, Names(SpiffeId("cluster.local", "default", account))), folder, root, now, Wish())
    found = Identities(folder / "client", folder / "reviews")
    found.shown.write_bytes((found.client / CHAIN).read_bytes() + (found.client / KEY).read_bytes())
    return found
