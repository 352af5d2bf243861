"""A certificate's bytes to its facts: what a running proxy shows and compares, and no more.

OpenSSL verifies; here is only read, strictly. cryptography would read as much and more, with a second OpenSSL in memory
for it (docs/decisions/0028-idle-memory.md); the tests compare with it. Source: RFC 5280, section 4.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address

from pyproxy.mtls.der import (
    BIT_STRING,
    IDENTIFIER,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    Element,
    elements,
    expect,
    identifier,
    only,
)
from pyproxy.mtls.facts import CertificateFacts

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----")
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_BOOLEAN = 0x01
_EMAIL, _DNS, _URI, _ADDRESS = 0x81, 0x82, 0x86, 0x87
_OTHER_NAMES = frozenset({0xA0, 0xA3, 0xA4, 0xA5, 0x88})
"""GeneralName, section 4.2.1.6; the others are otherName, x400Address, directoryName, ediPartyName, registeredID."""
_ALTERNATIVE_NAMES, _SUBJECT_KEY, _AUTHORITY_KEY = "2.5.29.17", "2.5.29.14", "2.5.29.35"
_KEY_IDENTIFIER = 0x80
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_DIGITS = re.compile(rb"\d{14}Z")
_ENCODINGS = {0x1C: "utf-32-be", 0x1E: "utf-16-be"}
"""UniversalString and BMPString; all others hold ASCII or UTF-8."""
_NAMES = {
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.3": "CN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
}
"""As OpenSSL prints them in RFC 2253 form."""
_SPECIAL = re.compile(r'[\\"+,;<>]')


def parse_pem(pem: bytes) -> tuple[bytes, ...]:
    """Every certificate of a PEM file, at least one, in DER. Raises ValueError."""
    found = tuple(base64.b64decode(b"".join(block.split()), validate=True) for block in _PEM.findall(pem))
    if not found:
        raise ValueError("holds no certificate in PEM")
    return found


def parse_facts(der: bytes) -> CertificateFacts:
    """Raises ValueError when it is no certificate."""
    fields, extensions = _parts(der)
    serial, _, issuer, validity, subject, key = fields
    not_before, not_after = (_time(each) for each in elements(expect(validity, SEQUENCE).content))
    sans = list(_alternative_names(extensions))
    return CertificateFacts(
        subject=_text(subject),
        issuer=_text(issuer),
        serial=_hexadecimal(int.from_bytes(expect(serial, INTEGER).content, signed=True)),
        not_before=not_before,
        not_after=not_after,
        uri_sans=tuple(name for kind, name in sans if kind == _URI),
        dns_sans=tuple(name for kind, name in sans if kind == _DNS),
        ip_sans=tuple(name for kind, name in sans if kind == _ADDRESS),
        sans=tuple(name for _, name in sans),
        sha256=hashlib.sha256(der).hexdigest(),
        spki_sha256=hashlib.sha256(expect(key, SEQUENCE).whole).hexdigest(),
        der=der,
    )


def may_have_issued(signer: bytes, der: bytes) -> bool:
    """Whether OpenSSL would look at `signer` for the one that signed a certificate: by name, and by key identifier
    where both say one (X509_check_issued). Both are certificates that were read before.
    """
    (_, _, issuer, *_), extensions = _parts(der)
    (_, _, _, _, subject, _), above = _parts(signer)
    if issuer.whole != subject.whole:
        return False
    if _AUTHORITY_KEY not in extensions or _SUBJECT_KEY not in above:
        return True
    named = elements(only(extensions[_AUTHORITY_KEY], SEQUENCE).content)
    key = only(above[_SUBJECT_KEY], OCTET_STRING).content
    return all(each.content == key for each in named if each.tag == _KEY_IDENTIFIER)


def key_algorithm(der: bytes) -> str:
    """The object identifier of a certificate's kind of key."""
    (*_, key), _ = _parts(der)
    algorithm, _ = elements(key.content)
    name, *_ = elements(algorithm.content)
    return identifier(expect(name, IDENTIFIER).content)


def _parts(der: bytes) -> tuple[list[Element], dict[str, bytes]]:
    """Serial number, signature's algorithm, issuer, validity, subject, key; extensions by identifier."""
    body, _, signature = elements(only(der, SEQUENCE).content)
    expect(signature, BIT_STRING)
    fields = list(elements(expect(body, SEQUENCE).content))
    if fields and fields[0].tag == _VERSION:
        del fields[0]
    if len(fields) < 6:
        raise ValueError("a certificate that lacks something")
    extensions: dict[str, bytes] = {}
    for name, content in _extensions(fields[6:]):
        if name in extensions:
            raise ValueError(f"two extensions {name}")
        extensions[name] = content
    return fields[:6], extensions


def _extensions(behind_key: list[Element]) -> Iterator[tuple[str, bytes]]:
    for frame in behind_key:
        if frame.tag == _EXTENSIONS:
            for extension in elements(only(frame.content, SEQUENCE).content):
                name, *critical, content = elements(expect(extension, SEQUENCE).content)
                if [each.tag for each in critical] not in ([], [_BOOLEAN]):
                    raise ValueError("an extension of another shape")
                yield identifier(expect(name, IDENTIFIER).content), expect(content, OCTET_STRING).content


def _alternative_names(extensions: dict[str, bytes]) -> Iterator[tuple[int, str]]:
    """URIs, host names, addresses and e-mail addresses by kind, in order; other kinds are passed over."""
    if _ALTERNATIVE_NAMES not in extensions:
        return
    for name in elements(only(extensions[_ALTERNATIVE_NAMES], SEQUENCE).content):
        if name.tag == _ADDRESS:
            yield _ADDRESS, str(ip_address(name.content))
        elif name.tag in (_URI, _DNS, _EMAIL):
            yield name.tag, name.content.decode("ascii")
        elif name.tag not in _OTHER_NAMES:
            raise ValueError(f"a name of an unknown kind {name.tag:#x}")


def _time(time: Element) -> float:
    """Unix seconds, of either form: years of two digits are those from 1950 on."""
    digits = time.content
    if time.tag == _UTC_TIME:
        digits = (b"19" if digits >= b"5" else b"20") + digits
    elif time.tag != _GENERALIZED_TIME:
        raise ValueError("a time of another form")
    if not _DIGITS.fullmatch(digits):
        raise ValueError("a time that is not whole seconds of UTC")
    month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(4, 14, 2))
    return datetime(int(digits[:4]), month, day, hour, minute, second, tzinfo=UTC).timestamp()


def _text(name: Element) -> str:
    """RFC 2253, what is not ASCII escaped byte by byte as OpenSSL does."""
    relative = ["+".join(map(_attribute, elements(expect(each, SET).content))) for each in elements(name.content)]
    text = ",".join(reversed(relative))
    if text.isascii():
        return text
    return "".join(each if each.isascii() else "".join(f"\\{byte:02X}" for byte in each.encode()) for each in text)


def _attribute(attribute: Element) -> str:
    kind, value = elements(expect(attribute, SEQUENCE).content)
    oid = identifier(expect(kind, IDENTIFIER).content)
    return f"{_NAMES.get(oid, oid)}={_escaped(value)}"


def _escaped(value: Element) -> str:
    if value.tag == BIT_STRING:
        return f"#{value.content.hex()}"
    text = _SPECIAL.sub(r"\\\g<0>", value.content.decode(_ENCODINGS.get(value.tag, "utf-8"))).replace("\0", "\\00")
    if text.startswith("#") or (text.startswith(" ") and len(text) > 1):
        text = "\\" + text
    return text[:-1] + "\\ " if text.endswith(" ") else text


def _hexadecimal(number: int) -> str:
    """Whole bytes, as BN_bn2hex prints them."""
    digits = f"{number:x}"
    return digits if len(digits) % 2 == 0 or number == 0 else "0" + digits
