"""What went wrong with TLS, in the words of an Envoy: BoringSSL's error queue as text. Source: Envoy ssl_socket.cc."""

from __future__ import annotations

import os
from typing import Final

_LIBRARY: Final = 16 << 24
"""ERR_LIB_SSL, as BoringSSL packs it."""
_SYSTEM_LIBRARY: Final = 2 << 24
"""ERR_LIB_SYS."""
SYSTEM: Final = "system library"
"""Stands in the text of a connection that was lost: no error of TLS's own, and not counted as one."""
REFUSED: Final = "CERTIFICATE_VERIFY_FAILED"
DISTRUSTED: Final = "X509_verify_cert"
"""Stands in the text of a certificate that was refused, whoever it names."""
_REASONS: Final = {
    "CERTIFICATE_VERIFY_FAILED": 125,
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": 139,
    "HANDSHAKE_FAILURE_ON_CLIENT_HELLO": 154,
    "HTTPS_PROXY_REQUEST": 155,
    "HTTP_REQUEST": 156,
    "NO_SHARED_CIPHER": 184,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": 192,
    "UNEXPECTED_MESSAGE": 223,
    "UNSUPPORTED_PROTOCOL": 240,
    "WRONG_VERSION_NUMBER": 247,
    "NO_APPLICATION_PROTOCOL": 307,
    "SSLV3_ALERT_UNEXPECTED_MESSAGE": 1010,
    "SSLV3_ALERT_BAD_RECORD_MAC": 1020,
    "TLSV1_ALERT_RECORD_OVERFLOW": 1022,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": 1040,
    "SSLV3_ALERT_BAD_CERTIFICATE": 1042,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": 1043,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": 1044,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": 1045,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": 1046,
    "SSLV3_ALERT_ILLEGAL_PARAMETER": 1047,
    "TLSV1_ALERT_UNKNOWN_CA": 1048,
    "TLSV1_ALERT_ACCESS_DENIED": 1049,
    "TLSV1_ALERT_DECODE_ERROR": 1050,
    "TLSV1_ALERT_DECRYPT_ERROR": 1051,
    "TLSV1_ALERT_PROTOCOL_VERSION": 1070,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": 1071,
    "TLSV1_ALERT_INTERNAL_ERROR": 1080,
    "TLSV1_ALERT_UNRECOGNIZED_NAME": 1112,
    "TLSV1_ALERT_CERTIFICATE_REQUIRED": 1116,
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": 1120,
}
"""Reason → its number in BoringSSL (include/openssl/ssl.h). OpenSSL has the words, and other numbers below 1000."""
_SAME: Final = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "TLSV1_ALERT_CERTIFICATE_REQUIRED",
    "TLSV1_UNRECOGNIZED_NAME": "TLSV1_ALERT_UNRECOGNIZED_NAME",
}
"""OpenSSL's word → BoringSSL's, where they are two."""
_CAUSES: Final = {"self-signed": "self signed", " or the system clock is incorrect": ""}
"""The same of what is wrong with a certificate."""


class TlsError(Exception):
    """OpenSSL refuses: its word for why; of a certificate that was refused, what is wrong with it too.

    `verify_message` has that in OpenSSL's words, `refusal` in Envoy's.
    """

    def __init__(self, reason: str, verify_message: str = "", refusal: str = "") -> None:
        super().__init__(f"{reason}: {verify_message}" if verify_message else reason)
        self.reason = reason or "UNKNOWN"
        self.verify_message = verify_message
        self.refusal = refusal


def failure_text(error: TlsError, *, unanswered: bool = False) -> str:
    """`TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end`.

    `unanswered`: our ClientHello has not been answered by a ServerHello.
    """
    if error.refusal:
        return error.refusal
    reason = _SAME.get(error.reason, error.reason)
    if unanswered and reason == "SSLV3_ALERT_HANDSHAKE_FAILURE":
        return _text(reason, _entry("HANDSHAKE_FAILURE_ON_CLIENT_HELLO"))
    return _text(reason)


def distrust_text(depth: int, why: str) -> str:
    """Of a chain that leads to no root, or not now: how far from the leaf, and OpenSSL's words for what is wrong."""
    for theirs, ours in _CAUSES.items():
        why = why.replace(theirs, ours)
    return refusal_text(f"X509_verify_cert: certificate verification error at depth {depth}: {why}")


def refusal_text(why: str) -> str:
    """Of a certificate that was refused, the cause after the words `verify cert failed`."""
    return _text(REFUSED, f":verify cert failed: {why}" if why else "")


def loss_text(error: Exception) -> str:
    """Of a connection that broke in the handshake; empty when the system did not say why."""
    number = error.errno if isinstance(error, OSError) else None
    if not number:
        return ""
    return f"TLS_error:|{_SYSTEM_LIBRARY + number}:{SYSTEM}:OPENSSL_internal:{os.strerror(number)}:TLS_error_end"


def _text(reason: str, more: str = "") -> str:
    return f"TLS_error:{_entry(reason)}{more}:TLS_error_end"


def _entry(reason: str) -> str:
    return f"|{_LIBRARY + _REASONS.get(reason, 0)}:SSL routines:OPENSSL_internal:{reason}"
