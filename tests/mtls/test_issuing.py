"""When a certificate is kept, when renewed for its key, and when the key is new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pyproxy.core.errors import CommandError
from pyproxy.core.spiffe import SpiffeId
from pyproxy.mtls.authority import Authority, Names, make_root
from pyproxy.mtls.folders import read_bundle, write_key
from pyproxy.mtls.issuing import Done, Issued, Order, Wish, due, fill
from pyproxy.mtls.keys import KeyKind, new_key, same_public

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROOT = make_root(new_key(), "cluster.local", NOW)
ORDER = Order("reviews-v1.shop", Names(SpiffeId("cluster.local", "shop", "reviews")))


def issue(
    certs: Path,
    *,
    order: Order = ORDER,
    now: datetime = NOW,
    authority: Authority = ROOT,
    wish: Wish = Wish(),
) -> Issued:
    return fill(order, certs, authority, now, wish)


def test_the_first_time_a_key_is_made(tmp_path: Path) -> None:
    issued = issue(tmp_path)
    assert issued.done is Done.ISSUED
    assert issued.place.folder == tmp_path / "reviews-v1.shop"
    found = read_bundle(issued.place)
    assert found.chain == (issued.certificate,)
    assert same_public(found.key.public_key(), issued.certificate.public_key())


def test_a_certificate_stays_until_a_third_of_its_life_is_left(tmp_path: Path) -> None:
    first = issue(tmp_path)
    assert due(first.certificate) == NOW + 16 * HOUR - timedelta(seconds=40)  # two minutes are before NOW
    key = first.place.key.read_bytes()
    kept = issue(tmp_path, now=due(first.certificate) - timedelta(seconds=1))
    assert (kept.done, kept.certificate) == (Done.KEPT, first.certificate)
    renewed = issue(tmp_path, now=due(first.certificate))
    assert renewed.done is Done.RENEWED
    assert renewed.certificate.not_valid_after_utc == due(first.certificate) + 24 * HOUR
    assert first.place.key.read_bytes() == key
    assert same_public(renewed.certificate.public_key(), first.certificate.public_key())


def test_renewing_and_forcing_do_not_wait(tmp_path: Path) -> None:
    first = issue(tmp_path)
    renewed = issue(tmp_path, wish=Wish(renew=True))
    assert renewed.done is Done.RENEWED
    assert same_public(renewed.certificate.public_key(), first.certificate.public_key())
    forced = issue(tmp_path, wish=Wish(force=True, kind=KeyKind.RSA))
    assert forced.done is Done.ISSUED
    assert not same_public(forced.certificate.public_key(), first.certificate.public_key())


@pytest.mark.parametrize("renew", [False, True])
def test_another_kind_of_key_is_hinted_at_and_made_by_force_alone(tmp_path: Path, renew: bool) -> None:
    assert issue(tmp_path, wish=Wish(kind=KeyKind.ECDSA)).hint == ""
    kept = issue(tmp_path, wish=Wish(kind=KeyKind.RSA, renew=renew))
    assert kept.done is (Done.RENEWED if renew else Done.KEPT)
    assert kept.hint == "ecdsa key kept; a new key needs --force"
    assert issue(tmp_path, wish=Wish(kind=KeyKind.RSA, force=True)).hint == ""
    assert issue(tmp_path).hint == ""  # nobody asked for a kind


@pytest.mark.parametrize(
    "change",
    [
        {"order": Order(ORDER.name, Names(SpiffeId("cluster.local", "shop", "other")))},
        {"authority": make_root(new_key(), "cluster.local", NOW)},
        {
            "authority": Authority(
                ROOT.certificate, ROOT.key, (), (*ROOT.roots, make_root(new_key(), "x", NOW).certificate)
            )
        },
    ],
    ids=["identity", "authority", "roots"],
)
def test_a_certificate_that_is_not_what_is_wanted_is_renewed(tmp_path: Path, change: dict[str, object]) -> None:
    key = issue(tmp_path).place.key.read_bytes()
    renewed = issue(tmp_path, **change)  # type: ignore[arg-type]
    assert renewed.done is Done.RENEWED
    assert renewed.place.key.read_bytes() == key
    assert issue(tmp_path, **change).done is Done.KEPT  # type: ignore[arg-type]


def test_a_lost_or_wrong_certificate_is_made_again_for_the_key(tmp_path: Path) -> None:
    place = issue(tmp_path).place
    place.chain.unlink()
    assert issue(tmp_path).done is Done.RENEWED
    write_key(place.key, new_key())
    assert issue(tmp_path).done is Done.RENEWED
    assert issue(tmp_path).done is Done.KEPT


def test_a_key_that_cannot_be_read_is_not_overwritten(tmp_path: Path) -> None:
    place = issue(tmp_path).place
    place.key.write_text("precious")
    with pytest.raises(CommandError, match=r"key.pem is no private key"):
        issue(tmp_path)
    assert place.key.read_text() == "precious"
    assert issue(tmp_path, wish=Wish(force=True)).done is Done.ISSUED


def test_an_expired_authority_is_said(tmp_path: Path) -> None:
    short = make_root(new_key(), "cluster.local", NOW, HOUR)
    with pytest.raises(CommandError, match=r"reviews-v1.shop: the authority expired at 2026-01-02 01:00 UTC"):
        issue(tmp_path, authority=short, now=NOW + 2 * HOUR)


def test_a_credential_has_a_folder_of_its_own(tmp_path: Path) -> None:
    issued = issue(tmp_path, order=Order("shop-cert", Names(dns=("example.com",)), credential=True))
    assert issued.place.chain == tmp_path / "credentials" / "shop-cert" / "tls.crt"
    assert issued.place.key.exists()
