"""One TLS connection on memory: bytes of the network in and out, bytes of the application in and out. No sockets.

OpenSSL is the one of `cryptography`, called through the binding beneath pyOpenSSL. Why, and what guards it:
docs/decisions/0032-openssl-by-cryptography.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.bindings.openssl.binding import Binding

from pyproxy.mtls.failure import TlsError, distrust_text

if TYPE_CHECKING:
    from pyproxy.mtls.openssl import TlsContext

lib: Final[Any] = Binding.lib
ffi: Final[Any] = Binding.ffi
ROOM: Final = 65536
"""Bytes that are taken from OpenSSL at once."""
_ABOVE: Final = "record layer failure"
"""What comes after the word for why."""
_RENAMED: Final = ("ssl/tls alert ", "tls alert ")
"""Of OpenSSL 3.2 and 4, for what everybody else calls `sslv3 alert`."""
_VERSIONS: Final[dict[int, str]] = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
_NO_TICKET: Final[int] = lib.SSL_OP_NO_TICKET
_SERVERS_ORDER: Final[int] = lib.SSL_OP_CIPHER_SERVER_PREFERENCE
_TOO_LATE: Final[int] = lib.X509_V_ERR_CERT_HAS_EXPIRED
_TOO_EARLY: Final[int] = lib.X509_V_ERR_CERT_NOT_YET_VALID
_IN_ORDER: Final[int] = lib.X509_V_OK
_ROOTLESS: Final[frozenset[int]] = frozenset(
    (
        lib.X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
        lib.X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        lib.X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
        lib.X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
    )
)
"""What every chain comes to where no root is known."""
_UNWELCOME: Final[int] = lib.X509_V_ERR_SUBJECT_ISSUER_MISMATCH
"""None that has an alert of its own: the peer hears `certificate_unknown`."""
_WANT_READ: Final[int] = lib.SSL_ERROR_WANT_READ
_ZERO_RETURN: Final[int] = lib.SSL_ERROR_ZERO_RETURN
_NULL: Final[Any] = ffi.NULL
_MEMORY: Final[Any] = lib.BIO_s_mem()
# What every connection calls, looked up once
_new: Final[Any] = lib.SSL_new
_free: Final[Any] = lib.SSL_free
_new_memory: Final[Any] = lib.BIO_new
_connect: Final[Any] = lib.SSL_set_bio
_shake: Final[Any] = lib.SSL_do_handshake
_why: Final[Any] = lib.SSL_get_error
_agreed_on: Final[Any] = lib.SSL_get0_alpn_selected
_bytes_of: Final[Any] = ffi.buffer
_feed: Final[Any] = lib.BIO_write
_take: Final[Any] = lib.BIO_read
_waiting: Final[Any] = lib.BIO_get_mem_data
_ciphers: Final[dict[Any, str]] = {}
"""OpenSSL's tables of them are fixed."""
_read: Final[Any] = lib.SSL_read
_write: Final[Any] = lib.SSL_write


class Room:
    """Where OpenSSL puts what it is asked for; shared by all connections of a context, which are one thread's."""

    def __init__(self) -> None:
        self.start: Any = ffi.new(f"char[{ROOM}]")
        self.view: Any = ffi.buffer(self.start)
        self.memory: Any = ffi.gc(_new_memory(_MEMORY), lib.BIO_free)
        """Takes what OpenSSL writes to nothing else; read empty before it is left."""
        self.name: Any = ffi.new("unsigned char **")
        self.size: Any = ffi.new("unsigned int *")

    def taken(self, memory: Any) -> bytes:
        """All that is in it, however much."""
        size: int = _take(memory, self.start, ROOM)
        if size <= 0:
            return b""
        taken: bytes = self.view[:size]
        if size < ROOM:
            return taken
        pieces = [taken]
        while size == ROOM:
            size = _take(memory, self.start, ROOM)
            if size > 0:
                pieces.append(self.view[:size])
        return b"".join(pieces)

    def der(self, certificate: Any) -> bytes:
        """Of an X509 *."""
        lib.i2d_X509_bio(self.memory, certificate)
        return self.taken(self.memory)


class TlsConnection:
    """OpenSSL's end of one connection."""

    def __init__(self, maker: TlsContext, context: Any, room: Room, server_side: bool) -> None:
        """`context` is an SSL_CTX *, and `maker` owns it and all that OpenSSL calls back."""
        self._maker = maker
        self._ssl = ssl = ffi.gc(_new(context), _free)
        self._incoming = _new_memory(_MEMORY)  # both belong to the connection from here on
        self._outgoing = _new_memory(_MEMORY)
        _connect(ssl, self._incoming, self._outgoing)
        self._room = room
        self._start = room.start
        self._view = room.view
        self.ended = False
        """The peer said close_notify."""
        self.welcome: Callable[[bytes], str | None] | None = None
        """Asked of the peer's certificate (DER) when it leads to a root: why it is not welcome, in Envoy's words."""
        self._shown = b""
        """The peer's certificate, of a full handshake."""
        self._judged = False
        """The peer's certificate is in order, and the peer welcome."""
        self._refusal = ""
        """Why not."""
        if server_side:
            lib.SSL_set_accept_state(ssl)
        else:
            lib.SSL_set_connect_state(ssl)

    def ask_for(self, server_name: str) -> None:
        """SNI, of a client."""
        lib.SSL_set_tlsext_host_name(self._ssl, server_name.encode("ascii"))

    def resume(self, session: Any) -> None:
        """Of a client; an SSL_SESSION *."""
        lib.SSL_set_session(self._ssl, session)

    def answer(self, takes_tickets: bool, *, newest: bool) -> None:
        """Of a server that knows what the client said first: whether it can resume, and whether it speaks TLS 1.3.

        There the client's order of ciphers counts, and before it the server's, as in BoringSSL.
        """
        options: int = 0 if takes_tickets else _NO_TICKET
        if not newest:
            options |= _SERVERS_ORDER
        if options:
            lib.SSL_set_options(self._ssl, options)

    def feed(self, data: bytes) -> None:
        """What came from the network."""
        _feed(self._incoming, data, len(data))

    def outgoing(self) -> bytes:
        """What the network must be sent; empty for nothing."""
        return self._room.taken(self._outgoing)

    def shake(self) -> bool:
        """One step of the handshake; gives whether it is done. Raises TlsError."""
        self._maker.shaking = self
        result: int = _shake(self._ssl)
        if result == 1:
            return True
        if _why(self._ssl, result) == _WANT_READ:
            return False
        raise self._error()

    def judge(self, trusted: bool, path: Any) -> bool:
        """OpenSSL's context has no roots, and asks for a verdict on a chain; it is reached once. `path` is an
        X509_STORE_CTX *. What it is set to decides on the alert: Envoy's.
        """
        if self._judged:
            if not trusted:
                lib.X509_STORE_CTX_set_error(path, _IN_ORDER)
            return True
        depth: int = lib.X509_STORE_CTX_get_error_depth(path)
        error: int = lib.X509_STORE_CTX_get_error(path)
        self._shown = leaf = self._room.der(lib.X509_STORE_CTX_get0_cert(path))
        if error in _ROOTLESS:
            distrust = self._maker.roots.distrust(path, depth, leaf)
            if distrust is None:
                return self._received(path, leaf)
            depth, error = distrust
        self._refusal = distrust_text(depth, _text(lib.X509_verify_cert_error_string(error)))
        lib.X509_STORE_CTX_set_error(path, _TOO_LATE if error == _TOO_EARLY else error)
        return False

    def _received(self, path: Any, leaf: bytes) -> bool:
        """The chain is in order; whether its owner is welcome."""
        reason = self.welcome(leaf) if self.welcome is not None else None
        self._judged = reason is None
        self._refusal = reason or ""
        lib.X509_STORE_CTX_set_error(path, _UNWELCOME if reason is not None else _IN_ORDER)
        return self._judged

    @property
    def waiting(self) -> bool:
        """Whether some of what came has not been looked at."""
        size: int = _waiting(self._incoming, _NULL)
        return size > 0

    def read(self) -> bytes:
        """Everything that can be decrypted. Raises TlsError."""
        chunk = b""
        pieces: list[bytes] | None = None
        while True:
            size: int = _read(self._ssl, self._start, ROOM)
            if size <= 0:
                reason: int = _why(self._ssl, size)
                if reason == _WANT_READ:
                    break
                if reason != _ZERO_RETURN:
                    raise self._error()
                self.ended = True
                break
            if chunk:
                pieces = pieces or [chunk]
            chunk = self._view[:size]
            if pieces is not None:
                pieces.append(chunk)
            if not self.waiting:  # a record is read whole, so nothing is left within OpenSSL either
                break
        return chunk if pieces is None else b"".join(pieces)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt; memory takes everything. Raises TlsError."""
        sent: int = _write(self._ssl, data if isinstance(data, bytes) else ffi.from_buffer(data), len(data))
        if sent <= 0:
            raise self._error()

    def end(self) -> None:
        """Say close_notify."""
        if lib.SSL_shutdown(self._ssl) < 0:
            lib.ERR_clear_error()

    # What was agreed on

    @property
    def version(self) -> str:
        """`TLSv1.3`."""
        return _VERSIONS.get(lib.SSL_version(self._ssl)) or _text(lib.SSL_get_version(self._ssl))

    @property
    def cipher(self) -> str:
        """OpenSSL's name of it; empty before the ServerHello."""
        cipher = lib.SSL_get_current_cipher(self._ssl)
        name = _ciphers.get(cipher)
        if name is None:
            name = _ciphers[cipher] = _text(lib.SSL_CIPHER_get_name(cipher)) if cipher != _NULL else ""
        return name

    @property
    def alpn(self) -> str:
        """The protocol that was agreed on; empty when none was."""
        name, size = self._room.name, self._room.size
        _agreed_on(self._ssl, name, size)
        length = size[0]
        return str(_bytes_of(name[0], length)[:], "ascii", "replace") if length else ""

    @property
    def certificate(self) -> bytes:
        """The peer's, DER; empty when it showed none."""
        if self._shown:
            return self._shown
        certificate = lib.SSL_get_peer_certificate(self._ssl)
        if certificate == _NULL:
            return b""
        der = self._room.der(certificate)
        lib.X509_free(certificate)
        return der

    @property
    def welcomed(self) -> bool:
        """Whether `welcome` was asked, in this handshake, and had nothing against the peer."""
        return self._judged and self.welcome is not None

    @property
    def resumed(self) -> bool:
        """Whether an earlier session went on."""
        return not self._judged and bool(lib.SSL_session_reused(self._ssl))

    @property
    def session(self) -> Any:
        """To resume by (an SSL_SESSION *); in TLS 1.3 that takes a ticket, which comes after the handshake."""
        session = lib.SSL_get1_session(self._ssl)
        return ffi.gc(session, lib.SSL_SESSION_free) if session != _NULL else None

    def _error(self) -> TlsError:
        reason = last_error()
        if reason != "CERTIFICATE_VERIFY_FAILED":
            return TlsError(reason)
        result = lib.SSL_get_verify_result(self._ssl)
        return TlsError(reason, _text(lib.X509_verify_cert_error_string(result)), self._refusal)


def last_error() -> str:
    """OpenSSL's word for what went wrong last, `HTTP_REQUEST`; empty for none. Nothing of it remains."""
    last = ""
    while code := lib.ERR_get_error():
        text = lib.ERR_reason_error_string(code)
        if text != _NULL and _text(text) != _ABOVE:
            last = _text(text)
    for new in _RENAMED:
        if last.startswith(new):
            last = "sslv3 alert " + last.removeprefix(new)
    return last.upper().replace(" ", "_")


def _text(words: Any) -> str:
    return str(ffi.string(words), "ascii", "replace")
