"""TLS errors in Envoy's words."""

from __future__ import annotations

import errno

import pytest

from pyproxy.mtls.failure import DISTRUSTED, TlsError, distrust_text, failure_text, loss_text, refusal_text


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("CERTIFICATE_VERIFY_FAILED", "268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"),
        ("WRONG_VERSION_NUMBER", "268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER"),
        ("TLSV1_ALERT_UNKNOWN_CA", "268436504:SSL routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA"),
        (
            "TLSV13_ALERT_CERTIFICATE_REQUIRED",
            "268436572:SSL routines:OPENSSL_internal:TLSV1_ALERT_CERTIFICATE_REQUIRED",
        ),
        ("NO_SUCH_WORD", "268435456:SSL routines:OPENSSL_internal:NO_SUCH_WORD"),
    ],
)
def test_words_and_numbers_are_boringssls(reason: str, text: str) -> None:
    assert failure_text(TlsError(reason)) == f"TLS_error:|{text}:TLS_error_end"


def test_a_refused_hello_is_told_from_a_handshake_that_failed_later() -> None:
    alert = TlsError("SSLV3_ALERT_HANDSHAKE_FAILURE")
    lead = "TLS_error:|268436496:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE"
    more = "|268435610:SSL routines:OPENSSL_internal:HANDSHAKE_FAILURE_ON_CLIENT_HELLO"
    assert failure_text(alert) == f"{lead}:TLS_error_end"
    assert failure_text(alert, unanswered=True) == f"{lead}{more}:TLS_error_end"


def test_a_certificate_that_was_refused_has_its_cause() -> None:
    why = distrust_text(1, "self-signed certificate")
    assert why == (
        "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: "
        "X509_verify_cert: certificate verification error at depth 1: self signed certificate:TLS_error_end"
    )
    assert DISTRUSTED in why and DISTRUSTED not in refusal_text("SAN matcher")
    assert failure_text(TlsError("CERTIFICATE_VERIFY_FAILED", "self-signed certificate", why)) == why


def test_a_connection_that_broke_says_how() -> None:
    lost = ConnectionResetError(errno.ECONNRESET, "reset")
    text = "TLS_error:|33554536:system library:OPENSSL_internal:Connection reset by peer:TLS_error_end"
    assert loss_text(lost) == text
    assert loss_text(RuntimeError("loop closed")) == ""
