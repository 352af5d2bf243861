"""What flags mean where they leave something open."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyproxy.core.errors import CommandError
from pyproxy.istio.loader import load
from pyproxy.settings import Settings
from pyproxy.snapshot.model import Identity, Listening

WORKLOAD = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web-1, namespace: shop}
spec: {address: 10.0.0.7, labels: {app: web}, serviceAccount: web}
"""


def test_without_an_address_admin_is_for_this_machine_and_probes_come_from_anywhere() -> None:
    settings = Settings()
    assert (settings.admin_address, settings.status_address) == ("127.0.0.1", "0.0.0.0")


def test_one_address_is_for_all() -> None:
    settings = Settings(address="127.0.1.1")
    assert (settings.admin_address, settings.status_address) == ("127.0.1.1", "127.0.1.1")
    assert settings.listening.address == "127.0.1.1"


def test_listening_is_what_flags_say() -> None:
    assert Settings().listening == Listening()
    settings = Settings(outbound_port=1, inbound_port=2, http_proxy_port=3, app_address="10.0.0.1")
    assert settings.listening == Listening(outbound_port=1, inbound_port=2, http_proxy_port=3, app_address="10.0.0.1")


def test_a_workload_is_its_document_s(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(WORKLOAD)
    found = Settings(workload="web-1.shop", labels={"app": "other"}, namespace="other").identity_in(
        load([tmp_path]).documents
    )
    assert (found.workload, found.namespace, found.service_account) == ("web-1", "shop", "web")
    assert (dict(found.labels), found.address) == ({"app": "web"}, "10.0.0.7")


def test_a_workload_that_nobody_has_is_told() -> None:
    with pytest.raises(CommandError, match="web-1: the documents hold none"):
        Settings(workload="web-1").identity_in([])


def test_without_a_workload_flags_say_who_it_is() -> None:
    settings = Settings(namespace="shop", labels={"app": "web"}, service_account="sa", address="127.0.1.1")
    assert settings.identity_in([]) == Identity(
        workload="web", namespace="shop", labels={"app": "web"}, service_account="sa", address="127.0.1.1"
    )
    assert Settings(gateway=True).identity_in([]).workload == "gateway"
    assert Settings().identity_in([]).workload == ""


def test_the_folder_of_certificates_is_the_workloads_own_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "web-1.shop").mkdir()
    mine = Identity(workload="web-1", namespace="shop")
    assert Settings(certs=tmp_path, workload="web-1.shop").certificates_of(mine) == tmp_path / "web-1.shop"
    assert Settings(certs=tmp_path).certificates_of(Identity(workload="web-2", namespace="shop")) == tmp_path


def test_a_folder_that_nobody_named_may_be_missing_or_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings().certificates_of(Identity()) is None
    (tmp_path / "certs").mkdir()
    assert Settings().certificates_of(Identity()) is None
    (tmp_path / "certs" / "cert-chain.pem").touch()
    assert Settings().certificates_of(Identity()) == Path("certs")
    assert Settings(certs=Path("nowhere")).certificates_of(Identity()) == Path("nowhere")


def test_documents_say_by_which_identity_a_workload_is_known() -> None:
    identity = Identity(workload="web-1", namespace="shop", service_account="web", trust_domain="example.org")
    assert Settings(workload="web-1.shop").expected_identity(identity) == "spiffe://example.org/ns/shop/sa/web"
    assert Settings().expected_identity(identity) == ""
