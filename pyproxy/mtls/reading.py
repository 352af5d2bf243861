"""From files to a checked set of certificates.

Everything is read at once and checked as it was read, so that a set which somebody replaces file by file is never
taken up half.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pyproxy.mtls.chains import parse_certificates
from pyproxy.mtls.facts import CertificateFacts, facts_of
from pyproxy.mtls.failure import TlsError
from pyproxy.mtls.keys import parse_key, same_public
from pyproxy.mtls.material import Material, MaterialError, Sources, workload_sources
from pyproxy.mtls.openssl import TlsContext

_LIMIT = 1024 * 1024
"""Bytes: no file of certificates is larger, and no other file should be read whole."""
_AGAIN = "issue it again (pyproxy certs issue) or put the right file there"


def read(sources: Sources, now: float) -> Material:
    """Read a set and check it: the key fits, the certificate is valid now. Raises MaterialError."""
    chain_pem, key_pem, roots_pem, crl_pem = (_contents(path) if path else b"" for path in sources)
    chain = _certificates(chain_pem, sources.certificate) if sources.certificate else ()
    roots = _certificates(roots_pem, sources.ca) if sources.ca else ()
    if sources.certificate:
        _check_key(chain[0], key_pem, sources)
        for each in chain:
            _check_time(each, sources.certificate, now)
    if sources.crl:
        _check_revocations(crl_pem, sources.crl)
    return Material(sources, chain, roots, chain_pem, key_pem, crl_pem)


def read_workload(folder: Path, now: float) -> Material:
    """Read a workload's folder: also, the certificate has an identity and its chain leads to the root, as peers will
    ask. Raises MaterialError.
    """
    if not folder.is_dir():
        raise MaterialError(
            f"{folder}: there is no such folder; make one with `pyproxy certs issue`, or leave --certs out"
        )
    material = read(workload_sources(folder), now)
    if not material.identity:
        raise MaterialError(
            f"{material.sources.certificate}: the certificate has no identity (a URI such as "
            f"spiffe://cluster.local/ns/default/sa/reviews among its subject alternative names); {_AGAIN}"
        )
    _check_chain(material)
    return material


# Checks


def _contents(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            found = file.read(_LIMIT + 1)
    except OSError as error:
        raise MaterialError(f"{path}: {os.strerror(error.errno or 0)}; {_AGAIN}") from None
    if len(found) > _LIMIT:
        raise MaterialError(f"{path}: larger than {_LIMIT} bytes, which no file of certificates is; {_AGAIN}")
    return found


def _certificates(pem: bytes, path: str) -> tuple[CertificateFacts, ...]:
    try:
        return tuple(facts_of(each.public_bytes(Encoding.DER)) for each in parse_certificates(pem))
    except ValueError as error:
        raise MaterialError(f"{path}: {error}; {_AGAIN}") from None


def _check_key(leaf: CertificateFacts, key_pem: bytes, sources: Sources) -> None:
    try:
        key = parse_key(key_pem)
    except ValueError as error:
        raise MaterialError(f"{sources.key}: {error}; {_AGAIN}") from None
    if not same_public(key.public_key(), x509.load_der_x509_certificate(leaf.der).public_key()):
        raise MaterialError(f"{sources.key}: the key is not that of {sources.certificate}; {_AGAIN}")


def _check_time(facts: CertificateFacts, path: str, now: float) -> None:
    if facts.not_after < now:
        raise MaterialError(f"{path}: expired at {_date(facts.not_after)}; {_AGAIN}")
    if facts.not_before > now:
        raise MaterialError(f"{path}: not valid before {_date(facts.not_before)}; set the clock right, or {_AGAIN}")


def _date(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")


def _check_revocations(pem: bytes, path: str) -> None:
    try:
        x509.load_pem_x509_crl(pem)
    except ValueError:
        raise MaterialError(f"{path}: there is no revocation list in PEM form in it; {_AGAIN}") from None


def _check_chain(material: Material) -> None:
    """Shake hands with ourselves, both sides asking for a certificate: what OpenSSL refuses, a peer would refuse."""
    client, server = (TlsContext(server_side=each) for each in (False, True))
    for context in (client, server):
        context.verify("everybody")
        try:
            material.load_into(context)
        except TlsError as error:
            raise MaterialError(f"{material.sources.certificate}: {error.reason}; {_AGAIN}") from None
    sides = [client.connection(), server.connection()]
    try:
        for side, other in (sides, sides[::-1]) * 2:
            side.shake()
            other.feed(side.outgoing())
    except TlsError as error:
        why = error.verify_message or error.reason
        files = f"{material.sources.certificate}: does not lead to {material.sources.ca}"
        raise MaterialError(f"{files}: {why}; {_AGAIN}") from None
