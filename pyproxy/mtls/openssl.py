"""A TLS context of OpenSSL's: what connections made from it show, trust and agree to.

The library is the one of `cryptography`, which is newer than what many a Python has for `ssl`: a full handshake takes
it half the time that OpenSSL 3.0 takes (docs/decisions/0032-openssl-by-cryptography.md).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pyproxy.mtls.engine import Room, TlsConnection, ffi, last_error, lib
from pyproxy.mtls.failure import TlsError
from pyproxy.mtls.roots import Roots

if TYPE_CHECKING:
    from pyproxy.wire.client_hello import ClientHello

CIPHERS: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""Of TLS 1.3, in BoringSSL's order on machines that have instructions for AES."""
GROUPS: Final = b"X25519:P-256:P-384:P-521"
"""Envoy's two, the first of which a client sends a share for, and those that servers outside may insist on."""
SIGNATURES: Final = (
    b"ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256:rsa_pkcs1_sha256:ecdsa_secp384r1_sha384:rsa_pss_rsae_sha384:"
    b"rsa_pkcs1_sha384:ecdsa_secp521r1_sha512:rsa_pss_rsae_sha512:rsa_pkcs1_sha512:ed25519"
)
"""BoringSSL's, without SHA-1 and with two kinds of keys that it signs by and does not verify."""
_WHOM: Final[dict[str, int]] = {
    "nobody": lib.SSL_VERIFY_NONE,
    "who shows one": lib.SSL_VERIFY_PEER,
    "everybody": lib.SSL_VERIFY_PEER | lib.SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
}
"""Whose certificate is verified."""
_OPTIONS: Final[int] = (
    lib.SSL_OP_ALL | lib.SSL_OP_NO_COMPRESSION | lib.SSL_OP_NO_RENEGOTIATION | lib.SSL_OP_IGNORE_UNEXPECTED_EOF
)
_NO_AUTO_CHAIN: Final = 0x8
"""SSL_MODE_NO_AUTO_CHAIN: show what we have, and look for no root of it in every handshake."""
_MODE: Final[int] = lib.SSL_MODE_AUTO_RETRY | lib.SSL_MODE_RELEASE_BUFFERS | _NO_AUTO_CHAIN
_CHOOSE: Final = "int(SSL *, unsigned char **, unsigned char *, const unsigned char *, unsigned int, void *)"
_log: Final = logging.getLogger("pyproxy.certs")
_JUDGE: Final = "int(int, X509_STORE_CTX *)"
_OFFERS: Final = 64
"""Lists of protocols whose choice is remembered: programs have one each."""
_FITS: Final[int] = lib.SSL_TLSEXT_ERR_OK
_NONE_FITS: Final[int] = lib.SSL_TLSEXT_ERR_NOACK
_TLS_1_2: Final = 0x0303
_NAME: Final = b"pyproxy"
"""Sessions are of this context and this program."""


class TlsContext:
    """What is common to connections of one kind; all of them belong to one thread. Errors are TlsErrors."""

    def __init__(self, *, server_side: bool, now: Callable[[], float] = time.time) -> None:
        """`now` gives Unix seconds."""
        self.server_side = server_side
        self.local_uri_san = ""
        """The first URI SAN of our certificate."""
        self.local_subject = ""
        self.verifies = "nobody"
        self.shaking: TlsConnection | None = None
        """Whose handshake is under way."""
        self._newest = True
        """TLS 1.3 may be spoken."""
        self._context = context = ffi.gc(lib.SSL_CTX_new(lib.TLS_method()), lib.SSL_CTX_free)
        self._room = Room()
        self.roots = Roots(self._room, of_clients=server_side, now=now)
        """Whom peers' certificates must lead to."""
        self._kept: list[Any] = []
        """What OpenSSL has pointers to."""
        lib.SSL_CTX_set_options(context, _OPTIONS)
        lib.SSL_CTX_set_mode(context, _MODE)
        lib.SSL_CTX_set_session_cache_mode(context, lib.SSL_SESS_CACHE_OFF)  # tickets hold everything
        lib.SSL_CTX_set_session_id_context(context, _NAME, len(_NAME))
        lib.X509_STORE_set_flags(lib.SSL_CTX_get_cert_store(context), lib.X509_V_FLAG_PARTIAL_CHAIN)
        _check(lib.SSL_CTX_set1_curves_list(context, GROUPS))
        _check(lib.SSL_CTX_set_ciphersuites(context, CIPHERS))
        _check(lib.SSL_CTX_set1_sigalgs_list(context, SIGNATURES))

    @property
    def options(self) -> int:
        """OpenSSL's, SSL_OP_*."""
        return int(lib.SSL_CTX_get_options(self._context))

    def connection(
        self, server_name: str | None = None, session: Any = None, *, hello: ClientHello | None = None
    ) -> TlsConnection:
        """A new one; a client's has its server's name and a session to resume, a server's answers a `hello`."""
        made = TlsConnection(self, self._context, self._room, self.server_side)
        if server_name is not None:
            made.ask_for(server_name)
        if session is not None:
            made.resume(session)
        if hello is not None:
            made.answer(hello.takes_tickets, newest=self._newest and "TLSv1.3" in hello.versions)
        return made

    def set_versions(self, lowest: int, highest: int) -> None:
        """As they stand on the wire: 0x0303 is TLS 1.2."""
        self._newest = highest > _TLS_1_2
        _check(lib.SSL_CTX_set_min_proto_version(self._context, lowest))
        _check(lib.SSL_CTX_set_max_proto_version(self._context, highest))

    def set_ciphers(self, names: str) -> None:
        """Of TLS 1.2, OpenSSL's names with colons between; names that do not exist are passed over."""
        _check(lib.SSL_CTX_set_cipher_list(self._context, names.encode()))

    def set_alpn(self, protocols: tuple[str, ...]) -> None:
        """What a client offers; what a server takes, the first of its own that is offered, else none."""
        listed = b"".join(bytes((len(each),)) + each.encode() for each in protocols)
        if self.server_side:
            refused = lib.SSL_TLSEXT_ERR_ALERT_FATAL
            self._kept.append(choose := ffi.callback(_CHOOSE, _Choice(protocols), error=refused))
            lib.SSL_CTX_set_alpn_select_cb(self._context, choose, ffi.NULL)
        elif lib.SSL_CTX_set_alpn_protos(self._context, listed, len(listed)):
            raise TlsError(last_error())

    def verify(self, whom: str) -> None:
        """Ask for certificates, and refuse what is not trusted: of `nobody`, `who shows one`, `everybody`."""
        self.verifies = whom
        judge = ffi.NULL
        if whom != "nobody":
            self._kept.append(judge := ffi.callback(_JUDGE, self._judge, error=0, onerror=_say))
        lib.SSL_CTX_set_verify(self._context, _WHOM[whom], judge)

    def show(self, chain_path: str, key_path: str) -> None:
        """A certificate with what leads to its root, and its key, of PEM files; one for each kind of key."""
        _check(lib.SSL_CTX_use_certificate_chain_file(self._context, chain_path.encode()))
        _check(lib.SSL_CTX_use_PrivateKey_file(self._context, key_path.encode(), lib.SSL_FILETYPE_PEM))
        _check(lib.SSL_CTX_check_private_key(self._context))

    def _judge(self, trusted: int, path: Any) -> int:
        return self.shaking is not None and self.shaking.judge(trusted == 1, path)


class _Choice:
    """A server's choice of protocol, which OpenSSL asks for."""

    def __init__(self, protocols: tuple[str, ...]) -> None:
        self._ours = [(name, ffi.new("unsigned char[]", name)) for name in (each.encode() for each in protocols)]
        self._made: dict[bytes, tuple[Any, int] | None] = {}

    def __call__(self, _ssl: Any, out: Any, out_size: Any, offered: Any, size: int, _arg: Any) -> int:
        names: bytes = ffi.buffer(offered, size)[:]
        if names not in self._made:
            if len(self._made) == _OFFERS:
                self._made.clear()
            self._made[names] = self._of(_split(names))
        found = self._made[names]
        if found is None:
            return _NONE_FITS
        out[0], out_size[0] = found
        return _FITS

    def _of(self, names: list[bytes]) -> tuple[Any, int] | None:
        return next(((kept, len(name)) for name, kept in self._ours if name in names), None)


def _say(kind: Any, error: Any, trace: Any) -> None:
    """What was called from within OpenSSL failed: whom it was about is refused."""
    _log.error("no verdict on a certificate", exc_info=(kind, error, trace))


def _split(names: bytes) -> list[bytes]:
    found = []
    while names:
        end = 1 + names[0]
        found.append(names[1:end])
        names = names[end:]
    return found


def _check(done: Any) -> None:
    if not done or done < 0:
        raise TlsError(last_error())
