"""How connections to clusters are secured."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.tls import ClientTls, ClientTlsMode, TlsParameters
from pyproxy.snapshot.model import Identity
from pyproxy.snapshot.tls import HTTP1_ALPN, HTTP2_ALPN, TCP_ALPN, cluster_sni
from tests.snapshot.documents import HERE, compiled, entry, mesh, rules
from tests.snapshot.test_peer_authentication import policy

DOOR = Identity(namespace="default", labels={"istio": "ingress"}, gateway=True)
ABLE = "{address: 10.0.0.1, serviceAccount: shop, labels: {version: v1}}"
BARE = "{address: 10.0.0.2, labels: {version: v2}}"
SHOP = entry("shop.mesh", "80/HTTP", "81/TCP", "82/GRPC", "83", endpoints=f"{ABLE}, {BARE}")
SPIFFE = "spiffe://cluster.local/ns/default/sa/shop"


def rule(policy: str, more: str = "", host: str = "shop.mesh") -> str:
    return rules(f"host: {host}\n{more}trafficPolicy: {{{policy}}}", kind="DestinationRule")


def tls(*texts: str, name: str = "outbound|80||shop.mesh", identity: Identity = HERE) -> ClientTls | None:
    return compiled(*texts, identity=identity).clusters[name].tls


def given_tls(*texts: str, name: str = "outbound|80||shop.mesh", identity: Identity = HERE) -> ClientTls:
    found = tls(*texts, name=name, identity=identity)
    assert found is not None
    return found


# Automatic


def test_mutual_tls_is_automatic_where_an_endpoint_can() -> None:
    assert tls(SHOP) == ClientTls(
        ClientTlsMode.ISTIO_MUTUAL,
        automatic=True,
        sni="outbound_.80_._.shop.mesh",
        subject_alt_names=(SPIFFE,),
        alpn=HTTP1_ALPN,
    )


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param((entry("shop.mesh", endpoints=BARE),), id="no endpoint can"),
        pytest.param((SHOP, mesh("enableAutoMtls: false")), id="the mesh does not want it"),
        pytest.param((SHOP.replace("MESH_INTERNAL", "MESH_EXTERNAL"),), id="it is not in the mesh"),
        pytest.param((SHOP, policy("mtls: {mode: DISABLE}")), id="its namespace takes none"),
        pytest.param((SHOP, policy("mtls: {mode: DISABLE}", namespace="istio-system")), id="the mesh takes none"),
        pytest.param((SHOP, rule("tls: {mode: DISABLE}")), id="the rule says plaintext"),
        pytest.param((SHOP, rule("tls: {sni: x}")), id="a rule without mode says plaintext"),
    ],
)
def test_plaintext_where(texts: tuple[str, ...]) -> None:
    assert tls(*texts) is None


def test_where_the_client_was_going_all_must_be_able() -> None:
    passing = rule("loadBalancer: {simple: PASSTHROUGH}")

    assert tls(SHOP, passing) is None
    assert not given_tls(SHOP.replace(f", {BARE}", ""), passing).automatic
    headless = "apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: default}\nspec: " + (
        "{clusterIP: None, ports: [{port: 80, name: http}], selector: {app: shop}}"
    )
    name = "outbound|80||shop.default.svc.cluster.local"
    assert tls(headless, workload("a"), workload(""), name=name) is None
    assert not given_tls(headless, workload("a"), name=name).automatic


def workload(account: str) -> str:
    given_account = f", serviceAccount: {account}" if account else ""
    return (
        f"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n"
        f"metadata: {{name: shop{account}, namespace: default}}\n"
        f"spec: {{address: 10.0.0.1, labels: {{app: shop}}{given_account}}}"
    )


@pytest.mark.parametrize(("port", "alpn"), [(80, HTTP1_ALPN), (81, TCP_ALPN), (82, HTTP2_ALPN), (83, ())])
def test_application_protocols_by_what_the_port_speaks(port: int, alpn: tuple[str, ...]) -> None:
    assert given_tls(SHOP, name=f"outbound|{port}||shop.mesh").alpn == alpn


def test_names_of_a_service_in_every_trust_domain() -> None:
    named = entry(
        "shop.mesh",
        endpoints=f"{ABLE}, {{address: 10.0.0.3, serviceAccount: other}}",
        more="subjectAltNames: ['spiffe://far/ns/a/sa/b', shop.com]",
    )
    found = given_tls(named, mesh("trustDomain: td\ntrustDomainAliases: [old]"))

    assert found.subject_alt_names == (
        "shop.com",
        "spiffe://far/ns/a/sa/b",
        "spiffe://old/ns/a/sa/b",
        "spiffe://old/ns/default/sa/other",
        "spiffe://old/ns/default/sa/shop",
        "spiffe://td/ns/default/sa/other",
        "spiffe://td/ns/default/sa/shop",
    )


def test_accounts_that_a_kubernetes_service_names() -> None:
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: default, annotations: "
        "{alpha.istio.io/kubernetes-serviceaccounts: 'a, b', alpha.istio.io/canonical-serviceaccounts: 'spiffe://x'}}\n"
        "spec: {ports: [{port: 80, name: http}], selector: {app: shop}}"
    )
    found = given_tls(service, workload("c"), name="outbound|80||shop.default.svc.cluster.local")

    accounts = [f"spiffe://cluster.local/ns/default/sa/{name}" for name in "abc"]
    assert found.subject_alt_names == (*accounts, "spiffe://x")


# Rules


def test_a_rule_may_ask_for_mutual_tls_by_its_own_names() -> None:
    assert tls(SHOP, rule("tls: {mode: ISTIO_MUTUAL}")) == ClientTls(
        ClientTlsMode.ISTIO_MUTUAL, sni="outbound_.80_._.shop.mesh", subject_alt_names=(SPIFFE,), alpn=HTTP1_ALPN
    )
    own = given_tls(SHOP, rule("tls: {mode: ISTIO_MUTUAL, sni: door.com, subjectAltNames: [spiffe://a]}"))
    assert (own.sni, own.subject_alt_names) == ("door.com", ("spiffe://a",))


def test_simple_tls_checks_the_name_that_was_asked_for() -> None:
    outside = entry("shop.com", "443/HTTPS", resolution="DNS").replace("MESH_INTERNAL", "MESH_EXTERNAL")
    found = given_tls(outside, rule("tls: {mode: SIMPLE}", host="shop.com"), name="outbound|443||shop.com")

    assert found == ClientTls(ClientTlsMode.SIMPLE, auto_san=True)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("sni: a.com", ("a.com", (), False, False)),
        ("sni: a.com, subjectAltNames: [b.com]", ("a.com", ("b.com",), False, False)),
        ("subjectAltNames: [b.com]", ("", ("b.com",), False, False)),
        ("insecureSkipVerify: true", ("", (), False, True)),
    ],
)
def test_which_name_is_checked(block: str, expected: tuple[str, tuple[str, ...], bool, bool]) -> None:
    shop = entry("shop.mesh", endpoints=BARE)
    found = given_tls(shop, rule(f"tls: {{mode: SIMPLE, {block}}}"))

    assert (found.sni, found.subject_alt_names, found.auto_san, found.insecure_skip_verify) == expected


def test_names_of_the_entry_come_before_the_name_that_was_asked_for() -> None:
    shop = entry("shop.mesh", endpoints=BARE, more="subjectAltNames: [b.com]")
    found = given_tls(shop, rule("tls: {mode: SIMPLE}"))

    assert (found.subject_alt_names, found.auto_san) == (("b.com",), False)


def test_files_of_mutual_tls() -> None:
    files = "clientCertificate: c.pem, privateKey: c.key, caCertificates: ca.pem, caCrl: ca.crl"
    found = given_tls(SHOP, rule(f"tls: {{mode: MUTUAL, {files}}}"))

    assert (found.certificate_file, found.key_file, found.ca_file, found.crl_file) == (
        "c.pem",
        "c.key",
        "ca.pem",
        "ca.crl",
    )


def test_a_simple_client_shows_no_certificate() -> None:
    found = given_tls(SHOP, rule("tls: {mode: SIMPLE, caCertificates: system}"))

    assert (found.certificate_file, found.key_file, found.ca_file) == ("", "", "")


def test_credentials_are_for_gateways_and_for_those_whom_a_rule_selects() -> None:
    text = rule("tls: {mode: MUTUAL, credentialName: shop}")
    selecting = rule("tls: {mode: MUTUAL, credentialName: shop}", "workloadSelector: {matchLabels: {app: me}}\n")
    folder = Path("certs", "credentials", "shop")

    assert tls(SHOP, text) is None
    for found in (given_tls(SHOP, text, identity=DOOR), given_tls(SHOP, selecting, identity=Identity(labels=ME))):
        assert found.certificate_file == str(folder / "tls.crt")
        assert found.ca_file == str(folder / "ca.crt")
    authority = rule("tls: {mode: SIMPLE, credentialName: 'configmap://default/shop'}")
    assert given_tls(SHOP, authority).ca_file == str(folder / "ca.crt")


ME = {"app": "me"}


def test_ciphers_of_the_mesh_for_tls_with_strangers() -> None:
    ciphers = mesh("tlsDefaults: {cipherSuites: [AES128-SHA, NONE-SUCH]}")

    assert given_tls(SHOP, rule("tls: {mode: SIMPLE}"), ciphers).parameters == TlsParameters(ciphers=("AES128-SHA",))
    assert given_tls(SHOP, ciphers).parameters == TlsParameters()


# Which block holds

SOMETHING = "outlierDetection: {interval: 1s}"
MODES = st.sampled_from([None, "DISABLE", "SIMPLE", "ISTIO_MUTUAL"])


def block(mode: str | None) -> str:
    return "" if mode is None else f"tls: {{mode: {mode}}}"


def level(general: str | None, port: str | None, has_port: bool) -> str:
    entry_of_port = f"portLevelSettings: [{{port: {{number: 80}}, {SOMETHING}, {block(port)}}}]" if has_port else ""
    return "{" + ", ".join(filter(None, (SOMETHING, block(general), entry_of_port))) + "}"


@given(modes=st.tuples(MODES, MODES, MODES, MODES), ports=st.tuples(st.booleans(), st.booleans()))
def test_port_before_general_and_subset_before_rule(modes: tuple[str | None, ...], ports: tuple[bool, bool]) -> None:
    text = rules(
        f"host: shop.mesh\ntrafficPolicy: {level(modes[0], modes[1], ports[0])}\n"
        f"subsets: [{{name: v1, labels: {{version: v1}}, trafficPolicy: {level(modes[2], modes[3], ports[1])}}}]",
        kind="DestinationRule",
    )
    snapshot = compiled(SHOP, text)
    # A port's entry stands for the whole; a subset with one takes nothing from the rule.
    main = modes[1] if ports[0] else modes[0]
    subset = modes[3] if ports[1] else modes[2] or main

    for name, mode in (("outbound|80||shop.mesh", main), ("outbound|80|v1|shop.mesh", subset)):
        found = snapshot.clusters[name].tls
        if mode == "DISABLE":
            assert found is None
        else:
            assert found is not None
            assert (found.mode.value, found.automatic) == (mode or "ISTIO_MUTUAL", mode is None)


def test_istios_name_of_a_cluster_for_tls() -> None:
    assert cluster_sni(80, "v1", "shop.mesh") == "outbound_.80_.v1_.shop.mesh"
