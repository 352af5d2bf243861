"""Certificates, keys and at last the root are replaced under two running sidecars: no request fails.

The steps are those of certs/README.md.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.interop.mesh import called, caller, operator, towards
from tests.interop.proxies import Proxy
from tests.peers import Gone, RawClient, Upstream, until
from tests.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
EVERY = 0.01
"""Seconds between two requests."""
STEP = 1.5
"""Seconds for a step to arrive: changed files are taken up within one."""


@dataclass
class Load:
    """Asks all the time, on a new connection now and then; keeps what went wrong."""

    port: int
    answers: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        client = RawClient(self.port)
        due = time.monotonic()
        while not self._stop.is_set():
            try:
                response = client.ask(b"GET /principal HTTP/1.1\r\nhost: reviews.test\r\n\r\n")
                self.answers["200" if response.status == 200 else f"{response.status} {response.body!r}"] += 1
            except (Gone, OSError) as error:
                self.answers[repr(error)] += 1
                client.close()
                client = RawClient(self.port)
            due += EVERY
            time.sleep(max(0.0, due - time.monotonic()))
        client.close()


@dataclass
class Pair:
    client: Proxy
    server: Proxy
    certs: Path
    config: Path

    def issue(self, *flags: str) -> None:
        run_certs("issue", "--all", "--config", str(self.config), "--certs", str(self.certs), *flags)


def run_certs(*arguments: str) -> str:
    command = [sys.executable, "-m", "pyproxy", "certs", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    application = Upstream()
    ports = {mode: free_port() for mode in ("strict", "permissive", "disable")}
    # Every fifth request has a handshake of its own.
    policy = "connectionPool: {http: {maxRequestsPerConnection: 5}}"
    servers = called(application.port, ports)
    clients = caller() + towards("reviews", ports["strict"], policy=policy) + operator("%RESPONSE_CODE%")
    config, certs = tmp_path / "everybody.yaml", tmp_path / "certs"
    config.write_text(servers + caller())
    run_certs("init", "--certs", str(certs))
    run_certs("issue", "--all", "--config", str(config), "--certs", str(certs))
    started: list[Proxy] = []
    try:
        for name, documents in (("reviews-v1", servers), ("productpage-v1", clients)):
            flags = ("--workload", name, "--certs", str(certs))
            started.append(Proxy("pyproxy", "", tmp_path / name, documents, *flags))
        yield Pair(started[1], started[0], certs, config)
    finally:
        for proxy in started:
            proxy.close()
        application.close()


def in_use(proxy: Proxy) -> dict[str, Any]:
    """The certificate that a proxy shows, and the roots that it trusts, by serial number."""
    first = json.loads(proxy.page("/certs"))["certificates"]
    return {
        "chain": [each["serial_number"] for entry in first for each in entry["cert_chain"]],
        "roots": {each["serial_number"] for entry in first for each in entry["ca_cert"]},
    }


def change(pair: Pair, how: Callable[[], None]) -> None:
    """Do it, and wait until both proxies have what it made."""
    before = [in_use(each) for each in (pair.client, pair.server)]
    how()
    until(lambda: all(in_use(each) != old for each, old in zip((pair.client, pair.server), before, strict=True)))
    time.sleep(STEP)


def test_no_request_fails(pair: Pair, tmp_path: Path) -> None:
    ca, new = pair.certs / "ca", tmp_path / "new"
    run_certs("init", "--certs", str(new), "--intermediate")
    old_root, new_root = ((each / "root-cert.pem").read_bytes() for each in (ca, new / "ca"))

    def trust_both() -> None:
        (ca / "root-cert.pem").write_bytes(old_root + new_root)
        pair.issue()

    def sign_with_the_new() -> None:
        for name in ("ca-cert.pem", "ca-key.pem", "cert-chain.pem"):
            shutil.copy(new / "ca" / name, ca / name)
        (ca / "root-cert.pem").write_bytes(new_root + old_root)
        pair.issue()

    def forget_the_old() -> None:
        (ca / "root-cert.pem").write_bytes(new_root)
        pair.issue()

    with Load(pair.client.ports["virtualOutbound"]) as load:
        time.sleep(STEP)
        change(pair, lambda: pair.issue("--renew"))
        change(pair, lambda: pair.issue("--force"))
        for step in (trust_both, sign_with_the_new, forget_the_old):
            change(pair, step)
        until(lambda: load.answers["200"] > 500)
    assert set(load.answers) == {"200"}, load.answers
    assert pair.client.statistic(r"cluster\.outbound.*reviews\.test\.ssl\.handshake") > 100
    assert "all good" in run_certs("verify", "--certs", str(pair.certs))
    for proxy in (pair.client, pair.server):
        assert len(in_use(proxy)["chain"]) == 2
        assert len(in_use(proxy)["roots"]) == 1
