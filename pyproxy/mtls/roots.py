"""Whom a TLS context trusts, and whether a chain of certificates leads there.

A chain is verified whole, by OpenSSL, when it is first seen. The same bytes lead to the same root for as long as no
certificate on the way begins or ends to be valid, so until then they are not verified again: half of what verifying a
client costs is the root's signature. Where lists of revoked certificates count, nothing is remembered.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from pyproxy.mtls.engine import Room, ffi, last_error, lib
from pyproxy.mtls.facts import CertificateFacts, facts_if_readable
from pyproxy.mtls.failure import TlsError

KNOWN: Final = 1024
"""Chains that are remembered, the latest that were verified."""
_LONGEST: Final = 4096
"""Bytes of such a chain."""
CA_KEY_TOO_SMALL: Final = 67
"""X509_V_ERR_CA_KEY_TOO_SMALL; and the next, CA_MD_TOO_WEAK. The binding has no names for them."""
CA_MD_TOO_WEAK: Final = 68
UNSPECIFIED: Final = 1
_CLIENTS: Final = 1
"""X509_PURPOSE_SSL_CLIENT; and the next, SSL_SERVER."""
_SERVERS: Final = 2
_REVOKED: Final[int] = lib.X509_V_FLAG_CRL_CHECK | lib.X509_V_FLAG_CRL_CHECK_ALL
_NULL: Final[Any] = ffi.NULL


class Distrust(NamedTuple):
    """Why a chain is not trusted."""

    depth: int
    """How far from the leaf."""
    error: int
    """OpenSSL's number, X509_V_ERR_*."""


class Roots:
    """The roots of one context, and the chains that are known to lead to them."""

    def __init__(self, room: Room, *, of_clients: bool, now: Callable[[], float]) -> None:
        """`of_clients`: it is clients who show certificates. `now` gives Unix seconds."""
        self._room = room
        self._now = now
        self._store = ffi.gc(lib.X509_STORE_new(), lib.X509_STORE_free)
        self._remembers = True
        self._known: dict[bytes, tuple[float, float]] = {}
        """What was shown, DER → from when and until when it leads to a root."""
        lib.X509_STORE_set_purpose(self._store, _CLIENTS if of_clients else _SERVERS)
        lib.X509_STORE_set_flags(self._store, lib.X509_V_FLAG_PARTIAL_CHAIN)

    def add(self, roots: tuple[bytes, ...]) -> None:
        """Certificates in DER; that of an intermediate is as good. Raises TlsError."""
        for der in roots:
            memory = ffi.gc(lib.BIO_new_mem_buf(der, len(der)), lib.BIO_free)
            root = ffi.gc(lib.d2i_X509_bio(memory, _NULL), lib.X509_free)
            if root == _NULL or lib.X509_STORE_add_cert(self._store, root) != 1:
                raise TlsError(last_error())

    def add_the_systems(self) -> None:
        """Those that this machine trusts, where Python looks for them. Raises TlsError."""
        paths = ssl.get_default_verify_paths()
        if paths.cafile or paths.capath:
            self._load(paths.cafile, paths.capath)

    def refuse_revoked(self, path: str) -> None:
        """What the lists in a PEM file name, and everything for whose signer there is no list. Raises TlsError."""
        self._load(path)
        self._remembers = False
        lib.X509_STORE_set_flags(self._store, _REVOKED)

    def distrust(self, path: Any, depth: int, leaf: bytes) -> Distrust | None:
        """Why the chain that a peer shows is not trusted. `path` is an X509_STORE_CTX * that has found no root.

        `depth` is how far from `leaf`, its first certificate (DER), it has come.
        """
        shown = b"".join(self._ders(_chain(path))) if depth else leaf
        known = self._known.get(shown)
        if known is not None and known[0] <= self._now() < known[1]:
            return None
        return self._verify(path, shown)

    def _verify(self, rootless: Any, shown: bytes) -> Distrust | None:
        path = ffi.gc(lib.X509_STORE_CTX_new(), lib.X509_STORE_CTX_free)
        between = _chain(rootless)
        lib.X509_STORE_CTX_init(path, self._store, lib.X509_STORE_CTX_get0_cert(rootless), between)
        trusted = lib.X509_verify_cert(path) == 1
        ffi.release(between)  # no sooner: `path` has a pointer to it, of which nobody in Python knows
        if not trusted:
            lib.ERR_clear_error()
            return Distrust(lib.X509_STORE_CTX_get_error_depth(path), lib.X509_STORE_CTX_get_error(path))
        chain = [facts_if_readable(der) for der in self._ders(_chain(path))]
        weakness = _weakness(chain)
        dated = [each for each in chain if each is not None]
        if weakness is None and self._remembers and len(dated) == len(chain) and len(shown) <= _LONGEST:
            self._remember(shown, dated)
        return weakness

    def _remember(self, shown: bytes, chain: list[CertificateFacts]) -> None:
        self._known.pop(shown, None)
        if len(self._known) == KNOWN:
            del self._known[next(iter(self._known))]
        self._known[shown] = max(each.not_before for each in chain), min(each.not_after for each in chain)

    def _ders(self, chain: Any) -> list[bytes]:
        return [self._room.der(lib.sk_X509_value(chain, depth)) for depth in range(lib.sk_X509_num(chain))]

    def _load(self, file: str | None, folder: str | None = None) -> None:
        paths = (name.encode() if name else _NULL for name in (file, folder))
        if lib.X509_STORE_load_locations(self._store, *paths) != 1:
            raise TlsError(last_error())


def _weakness(chain: list[CertificateFacts | None]) -> Distrust | None:
    """As OpenSSL has it for chains whose root its own context knows (check_auth_level in x509_vfy.c).

    That looks at the leaf's key in any case, and nobody at how a root is signed. What cannot be read leads to no root.
    """
    last = len(chain) - 1
    for depth, facts in enumerate(chain):
        if facts is None:
            if 0 < depth < last:
                return Distrust(depth, UNSPECIFIED)
        elif depth and facts.weak_key:
            return Distrust(depth, CA_KEY_TOO_SMALL)
        elif depth < last and facts.weak_digest:
            return Distrust(depth, CA_MD_TOO_WEAK)
    return None


def _chain(path: Any) -> Any:
    """The certificates that are on it, the leaf first."""
    return ffi.gc(lib.X509_STORE_CTX_get1_chain(path), _free)


def _free(chain: Any) -> None:
    for depth in range(lib.sk_X509_num(chain)):
        lib.X509_free(lib.sk_X509_value(chain, depth))
    lib.sk_X509_free(chain)
