"""Reading certificates, and why a chain does not hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pyproxy.core.spiffe import SpiffeId
from pyproxy.mtls.authority import Authority, Names, make_intermediate, make_root, sign_workload
from pyproxy.mtls.chains import (
    chain_fault,
    encode_certificates,
    is_authority,
    names_of,
    parse_certificates,
    self_signed,
    serial_of,
    signed_by,
    uris_of,
)
from pyproxy.mtls.keys import new_key

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
WHO = Names(SpiffeId("cluster.local", "shop", "reviews"), ("reviews.shop",))
ROOT = make_root(new_key(), "cluster.local", NOW)
MIDDLE = make_intermediate(ROOT, new_key(), "cluster.local", NOW)
OTHER = make_root(new_key(), "cluster.local", NOW)
KEY = new_key()
LEAF = sign_workload(MIDDLE, KEY.public_key(), WHO, NOW)


def test_pem_holds_several_in_order() -> None:
    pem = encode_certificates([LEAF, MIDDLE.certificate, ROOT.certificate])
    assert parse_certificates(pem) == (LEAF, MIDDLE.certificate, ROOT.certificate)
    assert parse_certificates(b"any text before\n" + pem)[0] == LEAF


@pytest.mark.parametrize("pem", [b"", b"hello", encode_certificates([LEAF])[:200], b"\xff\xfe"])
def test_what_holds_none_is_said(pem: bytes) -> None:
    with pytest.raises(ValueError, match="holds no certificate in PEM"):
        parse_certificates(pem)


def test_a_certificate_tells_whom_it_names_and_what_it_may() -> None:
    assert names_of(LEAF) == WHO
    assert uris_of(LEAF) == ("spiffe://cluster.local/ns/shop/sa/reviews",)
    assert names_of(ROOT.certificate) == Names()
    assert not is_authority(LEAF)
    assert is_authority(MIDDLE.certificate)
    assert self_signed(ROOT.certificate)
    assert not self_signed(MIDDLE.certificate)
    assert signed_by(LEAF, MIDDLE.certificate)
    assert not signed_by(LEAF, ROOT.certificate)
    assert int(serial_of(LEAF), 16) == LEAF.serial_number


def test_a_whole_chain_has_no_fault() -> None:
    assert chain_fault(LEAF, [MIDDLE.certificate], ROOT.roots, NOW) == ""
    assert chain_fault(LEAF, [ROOT.certificate, MIDDLE.certificate], [OTHER.certificate, *ROOT.roots], NOW) == ""
    assert chain_fault(ROOT.certificate, [], ROOT.roots, NOW) == ""


def test_a_trusted_intermediate_is_enough() -> None:
    assert chain_fault(LEAF, [], [MIDDLE.certificate], NOW) == ""


def test_each_fault_is_named() -> None:
    def fault(*, now: datetime = NOW, roots: tuple[object, ...] = ROOT.roots, middle: bool = True) -> str:
        return chain_fault(LEAF, [MIDDLE.certificate] if middle else [], roots, now)  # type: ignore[arg-type]

    assert fault(now=NOW + 24 * HOUR) == "expired at 2026-01-03 03:04 UTC"
    assert fault(now=NOW - HOUR) == "not valid before 2026-01-02 03:02 UTC: look at the clock"
    assert fault(middle=False) == "no certificate of CN=Intermediate CA,O=cluster.local that signed it is there"
    assert fault(roots=(OTHER.certificate,)) == "no certificate of CN=Root CA,O=cluster.local that signed it is there"


def test_an_expired_signer_is_a_fault() -> None:
    short = make_root(new_key(), "cluster.local", NOW, HOUR)
    leaf = sign_workload(short, KEY.public_key(), WHO, NOW)
    assert chain_fault(leaf, [], short.roots, NOW + HOUR) == "expired at 2026-01-02 04:04 UTC"
    long_middle = make_intermediate(ROOT, short.key, "cluster.local", NOW)
    assert "CN=Root CA" in chain_fault(
        long_middle.certificate, [], [make_root(ROOT.key, "cluster.local", NOW - 3 * HOUR, HOUR).certificate], NOW
    )


def test_an_authority_allows_so_many_below_it() -> None:
    """An intermediate of ours signs leaves only: RFC 5280, 4.2.1.9."""
    lower = make_intermediate(MIDDLE, new_key(), "cluster.local", NOW)
    leaf = sign_workload(lower, KEY.public_key(), WHO, NOW)
    fault = "CN=Intermediate CA,O=cluster.local allows no more than 0 authorities below itself"
    assert chain_fault(leaf, lower.intermediates, ROOT.roots, NOW) == fault
    assert chain_fault(lower.certificate, lower.intermediates, ROOT.roots, NOW) == fault
    assert chain_fault(MIDDLE.certificate, [], ROOT.roots, NOW) == ""


def test_a_leaf_signs_nothing() -> None:
    leaf_as_signer = Authority(LEAF, KEY, (), ROOT.roots)
    forged = sign_workload(leaf_as_signer, new_key().public_key(), WHO, NOW)
    assert "which signed it, is no authority" in chain_fault(forged, [LEAF, MIDDLE.certificate], ROOT.roots, NOW)
