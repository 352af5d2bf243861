"""`pyproxy certs init`, `show` and `verify`, and what the commands print."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import rsa

from pyproxy.cli.certs import certs
from pyproxy.core.errors import CommandError
from pyproxy.mtls.folders import read_certificates, read_key

DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-v1, namespace: shop}
spec: {address: 10.0.0.1, serviceAccount: reviews}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, with documents in `config`, where commands run."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "mesh.yaml").write_text(DOCUMENTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(certs, arguments, catch_exceptions=False)


def refused(*arguments: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return caught.value


def keys_in(folder: Path) -> list[str]:
    """The secret lines of every key below."""
    return [
        line
        for file in folder.rglob("*")
        if file.is_file() and "key" in file.name
        for line in file.read_text().splitlines()
        if not line.startswith("-----")
    ]


def test_init_makes_a_root_and_guards_its_key(here: Path) -> None:
    result = run("init")
    assert result.exit_code == 0
    folder = here / "certs" / "ca"
    assert stat.S_IMODE((folder / "ca-key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    head, row, last = result.stdout.splitlines()
    assert head.split() == ["NAME", "IDENTITY", "VALID", "UNTIL", "STATUS", "ISSUER", "SERIAL"]
    assert row.startswith("(authority)   Root CA ")
    assert last == "wrote certs/ca: guard ca-key.pem, whoever has it can be anybody in the mesh"


def test_init_takes_flags(here: Path) -> None:
    flags = ("--algorithm", "rsa", "--lifetime", "30d", "--trust-domain", "shop.example", "--ca", "elsewhere")
    [printed] = json.loads(run("init", *flags, "--output", "json").stdout)
    assert printed["subject"] == printed["issuer"] == "Root CA"
    [certificate] = read_certificates(here / "elsewhere" / "ca-cert.pem")
    assert certificate.subject.rfc4514_string() == "CN=Root CA,O=shop.example"
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 30
    assert isinstance(read_key(here / "elsewhere" / "ca-key.pem"), rsa.RSAPrivateKey)
    assert not (here / "certs").exists()


def test_a_key_is_overwritten_by_force_alone(here: Path) -> None:
    run("init")
    key = (here / "certs/ca/ca-key.pem").read_bytes()
    error = refused("init")
    assert "certs/ca has an authority already" in str(error)
    assert "--force" in str(error)
    assert error.exit_code == 1
    assert (here / "certs/ca/ca-key.pem").read_bytes() == key
    assert run("init", "--force").exit_code == 0
    assert (here / "certs/ca/ca-key.pem").read_bytes() != key


def test_a_roots_key_alone_is_not_overwritten_either(here: Path) -> None:
    run("init", "--intermediate")
    folder = here / "certs/ca"
    (folder / "ca-key.pem").unlink()
    key = (folder / "root-key.pem").read_bytes()
    assert "has an authority already" in str(refused("init", "--intermediate"))
    assert (folder / "root-key.pem").read_bytes() == key


def test_a_root_that_allows_no_intermediate_is_found_out(here: Path) -> None:
    """An intermediate of ours may have no authority below itself; one more is made all the same."""
    run("init", "--intermediate", "--ca", "mine")
    both = (here / "mine/ca-cert.pem").read_bytes() + (here / "mine/root-cert.pem").read_bytes()
    (here / "bundle.pem").write_bytes(both)
    message = str(refused("init", "--root-cert", "bundle.pem", "--root-key", "mine/ca-key.pem", "--intermediate"))
    assert message.startswith("CN=Intermediate CA,O=cluster.local allows no more than 0 authorities below itself")
    assert not (here / "certs").exists()


def test_an_intermediate_signs_and_the_roots_key_can_go_away(here: Path) -> None:
    run("init", "--intermediate")
    folder = here / "certs" / "ca"
    assert stat.S_IMODE((folder / "root-key.pem").stat().st_mode) == 0o600
    (folder / "root-key.pem").unlink()
    assert run("issue", "--all").exit_code == 0
    chain = read_certificates(here / "certs" / "reviews-v1.shop" / "cert-chain.pem")
    assert [each.issuer.rfc4514_string().partition(",")[0] for each in chain] == ["CN=Intermediate CA", "CN=Root CA"]
    assert run("verify").stdout == "2 certificates: all good\n"


@pytest.mark.parametrize("intermediate", [False, True])
def test_a_root_can_be_brought(here: Path, intermediate: bool) -> None:
    run("init", "--ca", "mine")
    bring = ("--root-cert", "mine/root-cert.pem", "--root-key", "mine/ca-key.pem")
    assert run("init", *bring, *(["--intermediate"] if intermediate else [])).exit_code == 0
    assert not (here / "certs/ca/root-key.pem").exists()
    assert read_certificates(here / "certs/ca/root-cert.pem") == read_certificates(here / "mine/root-cert.pem")
    assert run("issue", "--all").exit_code == 0
    assert run("verify").exit_code == 0


def test_what_is_brought_must_fit(here: Path) -> None:
    run("init", "--ca", "one")
    run("init", "--ca", "two")
    assert "belong together" in str(refused("init", "--root-cert", "one/root-cert.pem"))
    message = str(refused("init", "--root-cert", "one/root-cert.pem", "--root-key", "two/ca-key.pem"))
    assert message == "two/ca-key.pem is not the key of one/root-cert.pem: bring the two that belong together"
    message = str(refused("init", "--root-cert", "no.pem", "--root-key", "two/ca-key.pem"))
    assert message == "cannot read no.pem: No such file or directory"
    assert not (here / "certs").exists()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
@pytest.mark.parametrize("algorithm", ["EC", "RSA"])
def test_istios_own_folder_needs_no_init(here: Path, algorithm: str) -> None:
    """Made by openssl as Istio's tools/certs/common.mk does, keys in the old form among them."""

    def openssl(command: str) -> None:
        subprocess.run(["openssl", *command.split()], cwd=here / "cacerts", check=True, capture_output=True)

    (here / "cacerts").mkdir()
    usage = "keyUsage=critical,digitalSignature,nonRepudiation,keyEncipherment,keyCertSign"
    common = f"[ext]\nsubjectKeyIdentifier=hash\n{usage}\nbasicConstraints=critical,CA:true"
    (here / "cacerts" / "root.conf").write_text(common + "\n[req]\ndistinguished_name=dn\n[dn]\n")
    (here / "cacerts" / "ca.conf").write_text(common + ",pathlen:0\n")
    for name in ("root-key.pem", "ca-key.pem"):
        make = "ecparam -genkey -name prime256v1 -noout" if algorithm == "EC" else "genrsa -traditional"
        openssl(f"{make} -out {name}" + ("" if algorithm == "EC" else " 2048"))
    new = "req -new -config root.conf -sha256"
    openssl(f"{new} -x509 -key root-key.pem -subj /O=Istio/CN=Root_CA -extensions ext -days 9 -out root-cert.pem")
    openssl(f"{new} -key ca-key.pem -subj /O=Istio/CN=Intermediate_CA/L=here -out ca.csr")
    signing = "-CA root-cert.pem -CAkey root-key.pem -CAcreateserial -extfile ca.conf -extensions ext -days 9"
    openssl(f"x509 -req -sha256 -in ca.csr {signing} -out ca-cert.pem")
    both = [(here / "cacerts" / name).read_text() for name in ("ca-cert.pem", "root-cert.pem")]
    (here / "cacerts" / "cert-chain.pem").write_text("".join(both))

    assert run("issue", "--all", "--ca", "cacerts").exit_code == 0
    folder = here / "certs" / "reviews-v1.shop"
    assert len(read_certificates(folder / "cert-chain.pem")) == 2
    verify = ["openssl", "verify", "-purpose", "sslserver", "-CAfile", "root-cert.pem"]
    done = subprocess.run([*verify, "-untrusted", "cert-chain.pem", "cert-chain.pem"], cwd=folder, check=False)
    assert done.returncode == 0
    assert run("verify", "--ca", "cacerts").exit_code == 0


def test_show_lists_everything(here: Path) -> None:
    run("issue", "--init", "--all", "--dns", "example.com")
    result = run("show")
    names = [line.split()[0] for line in result.stdout.splitlines()]
    assert names == ["NAME", "(authority)", "reviews-v1.shop", "example.com"]
    assert "spiffe://cluster.local/ns/shop/sa/reviews" in result.stdout
    listed = json.loads(run("show", "--output", "json").stdout)
    assert listed[1]["identity"] == "spiffe://cluster.local/ns/shop/sa/reviews"
    assert set(listed[1]) == {
        *("name", "file", "identity", "dns", "subject", "issuer", "serial", "validFrom", "validUntil", "status"),
    }
    assert listed[2]["dns"] == ["example.com"]


@pytest.mark.parametrize("command", ["show", "verify"])
def test_an_empty_folder_says_how_to_begin(command: str) -> None:
    error = refused(command, "--certs", "nothing")
    assert str(error).startswith("no certificates in nothing: make some with `pyproxy certs issue")
    assert error.exit_code == 1


@pytest.mark.parametrize("lifetime", ["0", "59s", "36501d", "9999999999d"])
def test_a_lifetime_is_in_reason(lifetime: str) -> None:
    result = run("init", "--lifetime", lifetime)
    assert result.exit_code == 2
    assert "between 1m and 36500d" in result.stderr


def test_anothers_folder_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(*_: Path) -> None:
        raise PermissionError(13, "Permission denied", "certs/ca")

    monkeypatch.setattr("pyproxy.cli.certs.look", look)
    message = str(refused("show"))
    assert message == "cannot look at certs/ca: Permission denied. Do it as the user whose it is"


def test_verify_fails_with_what_to_do(here: Path) -> None:
    run("issue", "--init", "--all")
    assert run("verify").exit_code == 0
    assert json.loads(run("verify", "--output", "json").stdout) == []
    (here / "certs/reviews-v1.shop/key.pem").chmod(0o644)
    result = run("verify")
    assert result.exit_code == 1
    file = "certs/reviews-v1.shop/key.pem"
    first, last = result.stdout.splitlines()
    assert first == f"error: {file}: others can read it (mode 0644); chmod 600 {file}"
    assert last == "2 certificates: 1 wrong"
    [finding] = json.loads(run("verify", "--output", "json").stdout)
    assert finding == {
        "severity": "error",
        "file": file,
        "message": "others can read it (mode 0644)",
        "remedy": f"chmod 600 {file}",
    }


def test_no_command_prints_a_key(here: Path) -> None:
    printed = ""
    for output in ("text", "json"):
        for command in (("init", "--intermediate", "--force"), ("issue", "--all", "--renew"), ("show",), ("verify",)):
            result = run(*command, "--output", output)
            printed += result.stdout + result.stderr
    secrets = keys_in(here / "certs")
    assert len(secrets) >= 9
    assert not [line for line in secrets if line in printed]


def test_a_root_gives_way_to_another_step_by_step(here: Path) -> None:
    """As certs/README.md says; whoever still has the files of the step before is trusted at each."""
    run("issue", "--init", "--all")
    run("init", "--ca", "next")
    trusted = here / "certs/ca/root-cert.pem"
    old, new = trusted.read_bytes(), (here / "next/root-cert.pem").read_bytes()
    leaf = here / "certs/reviews-v1.shop/cert-chain.pem"
    roots = here / "certs/reviews-v1.shop/root-cert.pem"

    trusted.write_bytes(old + new)
    run("issue", "--all")
    assert roots.read_bytes() == old + new
    before = read_certificates(leaf)

    for name in ("ca-cert.pem", "ca-key.pem", "cert-chain.pem"):
        shutil.copy(here / "next" / name, here / "certs/ca" / name)
    trusted.write_bytes(new + old)
    run("issue", "--all")
    assert before != read_certificates(leaf)
    assert run("verify").stdout == "2 certificates: all good\n"

    trusted.write_bytes(new)
    run("issue", "--all")
    assert roots.read_bytes() == new
    assert run("verify").stdout == "2 certificates: all good\n"
