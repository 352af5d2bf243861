"""Whether a workload's folder needs a new certificate, and making it: kept while good, renewed when due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Final

from cryptography.x509 import Certificate

from pyproxy.core.errors import CommandError
from pyproxy.mtls.authority import WORKLOAD_LIFETIME, Authority, Names, sign_workload
from pyproxy.mtls.chains import names_of, signed_by
from pyproxy.mtls.folders import CREDENTIALS, Bundle, Place, read_bundle, read_key, write_bundle
from pyproxy.mtls.keys import KeyKind, kind_of, new_key, same_public

RENEWAL: Final = 1 / 3
"""The part of its life that a certificate has left when it is due: time to notice that renewing fails."""


class Done(Enum):
    """What became of an order."""

    ISSUED = "issued"
    """A new key and certificate."""
    RENEWED = "renewed"
    """A new certificate for the key that was there."""
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Order:
    """A certificate that is wanted: the folder's name and whom it names."""

    name: str
    names: Names
    credential: bool = False
    """For a Gateway's `credentialName`."""

    def place(self, certs: Path) -> Place:
        """Where it goes, in the folder of all certificates."""
        return Place(certs / CREDENTIALS / self.name if self.credential else certs / self.name, self.credential)


@dataclass(frozen=True, slots=True)
class Wish:
    """How certificates are wanted."""

    lifetime: timedelta = WORKLOAD_LIFETIME
    kind: KeyKind | None = None
    """Of new keys; None: ECDSA, and a key that is there may be of either kind."""
    renew: bool = False
    """A new certificate for each, due or not."""
    force: bool = False
    """A new key as well: the old one is overwritten."""


@dataclass(frozen=True, slots=True)
class Issued:
    """An order that was filled."""

    order: Order
    place: Place
    done: Done
    certificate: Certificate
    hint: str = ""
    """What was wished for and not done, and how to get it."""


def fill(order: Order, certs: Path, authority: Authority, now: datetime, wish: Wish) -> Issued:
    """Put what is ordered into its folder in `certs`. Raises CommandError."""
    place = order.place(certs)
    if not wish.force and place.key.exists():
        current = None if wish.renew else _current(place, order, authority, now)
        if current is not None:
            return Issued(order, place, Done.KEPT, current, _hint(current, wish))
        done, key = Done.RENEWED, read_key(place.key)
    else:
        done, key = Done.ISSUED, new_key(wish.kind or KeyKind.ECDSA)
    try:
        certificate = sign_workload(authority, key.public_key(), order.names, now, wish.lifetime)
    except ValueError as error:
        raise CommandError(f"{order.name}: {error}", exit_code=1) from error
    bundle = Bundle((certificate, *authority.intermediates), key, authority.roots)
    write_bundle(place, bundle, with_key=done is Done.ISSUED)
    return Issued(order, place, done, certificate, _hint(certificate, wish))


def _hint(certificate: Certificate, wish: Wish) -> str:
    kind = kind_of(certificate.public_key())
    return "" if wish.kind in (None, kind) else f"{kind.value} key kept; a new key needs --force"


def _current(place: Place, order: Order, authority: Authority, now: datetime) -> Certificate | None:
    """The certificate in a folder when there is no reason to make another."""
    try:
        found = read_bundle(place)
    except CommandError:
        return None
    certificate = found.chain[0]
    good = (
        names_of(certificate) == order.names
        and signed_by(certificate, authority.certificate)
        and found.chain[1:] == authority.intermediates
        and found.roots == authority.roots
        and same_public(certificate.public_key(), found.key.public_key())
        and now < due(certificate)
    )
    return certificate if good else None


def due(certificate: Certificate) -> datetime:
    """When to renew."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return ends - (ends - begins) * RENEWAL
