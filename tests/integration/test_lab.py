"""The whole lab for real: services, sidecars, gateway, traffic, reload, and nothing left at the end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.peers import until
from tests.ports import free_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]

START_SECONDS = 60.0
PROMISED_SECONDS = 10.0
"""Until it is up, where nothing else runs."""


@dataclass
class RunningLab:
    """`pyproxy lab --output json` with documents in `folder`."""

    process: subprocess.Popen[str]
    folder: Path
    temporary: Path
    page: str
    subnet: str
    reports: list[dict[str, Any]] = field(default_factory=list)

    def next_report(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.reports.append(json.loads(line))
        return self.reports[-1]

    def requests(self, source: str, service: str, *, last: int = 0) -> Counter[str]:
        """Target → requests, summed over the last reports (0: all)."""
        found: Counter[str] = Counter()
        for report in self.reports[-last:]:
            for row in report["rows"]:
                if (row["source"], row["service"]) == (source, service):
                    found[row["target"]] += row["requests"]
        return found

    def served(self, user: str, *, last: int = 0) -> Counter[str]:
        """Version of reviews on the user's pages → pages."""
        found: Counter[str] = Counter()
        for report in self.reports[-last:]:
            found.update(report["traffic"]["served"].get(user, {}))
        return found

    def get(self, **headers: str) -> dict[str, Any]:
        request = urllib.request.Request(self.page, headers={name.replace("_", "-"): v for name, v in headers.items()})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            return dict(json.load(response))

    def until(self, served: set[str], seconds: float = 60.0) -> None:
        """Read reports until the anonymous users of one whole interval saw exactly these versions."""
        deadline = time.monotonic() + seconds
        while set(self.next_report()["traffic"]["served"].get("anonymous", {})) != served:
            assert time.monotonic() < deadline, f"still {self.reports[-1]}"

    def end(self) -> str:
        """Wait for the end; what it said to people."""
        output, errors = self.process.communicate(timeout=90)
        self.reports += [json.loads(line) for line in output.splitlines()]
        return errors


@pytest.fixture
def start_lab(tmp_path: Path) -> Iterator[Any]:
    started: list[RunningLab] = []

    def start(*options: str, subnet: str = f"127.2.{os.getpid() % 250}", documents: str = "documents") -> RunningLab:
        port = free_port()
        temporary = tmp_path / "tmp"
        temporary.mkdir(exist_ok=True)
        folder = tmp_path / documents
        command = [sys.executable, "-m", "pyproxy", "lab", "--output", "json", "--dir", str(folder)]
        process = subprocess.Popen(
            [*command, "--port", str(port), "--subnet", subnet, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        started.append(RunningLab(process, folder, temporary, f"http://127.0.0.1:{port}/productpage", subnet))
        return started[-1]

    yield start
    for lab in started:
        if lab.process.poll() is None:
            lab.process.kill()
        lab.process.communicate()


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that have a file of `folder` open or work in it, or name it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if str(folder) in command or os.readlink(process / "cwd").startswith(str(folder)):
                found.append(command)
        except OSError:
            continue
    return found


def assert_nothing_remains(lab: RunningLab, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while (left := processes_of(lab.temporary)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    assert list(lab.temporary.iterdir()) == []
    for address in (f"{lab.subnet}.1:9080", f"{lab.subnet}.4:15001", lab.page.split("/")[2]):
        host, _, port = address.partition(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=1)


def test_the_split_and_jasons_route_hold_and_nothing_remains(start_lab: Any) -> None:
    calm = os.getloadavg()[0] < 1
    lab = start_lab("--duration", "8", "--rate", "60", "--interval", "1")
    started = time.monotonic()
    lab.next_report()
    assert time.monotonic() - started < (PROMISED_SECONDS if calm else START_SECONDS)
    errors = lab.end()
    assert lab.process.returncode == 0, errors
    assert_nothing_remains(lab)

    jason, anonymous = lab.served("jason"), lab.served("anonymous")
    assert set(jason) == {"v2"}
    total = sum(anonymous.values())
    assert total > 200
    for version, share in {"v1": 0.50, "v2": 0.30, "v3": 0.20}.items():
        assert anonymous[version] / total == pytest.approx(share, abs=0.10)

    counted = lab.requests("productpage v1", "reviews")
    assert set(counted) == {"reviews v1", "reviews v2", "reviews v3"}
    assert sum(counted.values()) == pytest.approx(total + sum(jason.values()), abs=10)
    assert counted["reviews v2"] == pytest.approx(anonymous["v2"] + jason["v2"], abs=10)
    assert lab.requests("reviews v2", "ratings").keys() == {"ratings v1"}
    assert lab.requests("reviews v1", "ratings") == {}
    assert lab.requests("gateway", "productpage").keys() == {"productpage v1"}
    sent: Counter[tuple[str, str]] = Counter()
    arrived: Counter[tuple[str, str]] = Counter()
    for row in (row for report in lab.reports for row in report["rows"]):
        sent[row["source"], row["target"]] += row["requests"]
        arrived[row["source"], row["target"]] += row["arrived"]
    for edge, count in sent.items():
        assert arrived[edge] == pytest.approx(count, abs=5), edge
    assert all(row["success"] == 1 for report in lab.reports for row in report["rows"])
    assert sum(report["traffic"]["failed"] for report in lab.reports) == 0


def test_an_edit_moves_the_traffic_and_a_mistake_does_not(start_lab: Any) -> None:
    lab = start_lab("--rate", "40", "--interval", "0.5")
    lab.next_report()
    reviews = lab.folder / "reviews.yaml"
    first = reviews.read_text()
    reviews.write_text(re.sub("weight: (50|20)", "weight: 0", first))
    lab.until({"v2"})
    reviews.write_text(first.replace("weight: 50", "weight: many"))
    deadline = time.monotonic() + 60
    while not (notes := lab.next_report()["notes"]):
        assert time.monotonic() < deadline
    assert any("reviews.yaml" in note and "weight" in note for note in notes), notes
    assert set(lab.served("anonymous", last=1)) == {"v2"}
    reviews.write_text(first)
    while lab.next_report()["notes"]:
        assert time.monotonic() < deadline + 10
    assert lab.get(end_user="jason")["reviews"]["version"] == "v2"
    assert sum(report["traffic"]["failed"] for report in lab.reports) == 0

    lab.process.send_signal(signal.SIGINT)
    assert "Traceback" not in lab.end()
    assert lab.process.returncode == 0
    assert_nothing_remains(lab)


def test_everything_between_sidecars_is_mutual_tls_with_an_identity(start_lab: Any) -> None:
    lab = start_lab("--rate", "40", "--interval", "1")
    lab.next_report()
    lab.next_report()
    arrived: Counter[tuple[str, str, str]] = Counter()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for number in range(1, 7):
        with opener.open(f"http://{lab.subnet}.{number}:15090/stats/prometheus", timeout=30) as response:
            lines = response.read().decode().splitlines()
        for line in lines:
            if line.startswith('istio_requests_total{reporter="destination"'):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
                principals = (labels["source_principal"], labels["destination_principal"])
                source, target = (principal.rpartition("/sa/bookshop-")[2] for principal in principals)
                arrived[source, target, labels["connection_security_policy"]] += 1
    assert set(arrived) == {
        ("gateway", "productpage", "mutual_tls"),
        ("productpage", "details", "mutual_tls"),
        ("productpage", "reviews", "mutual_tls"),
        ("reviews", "ratings", "mutual_tls"),
    }
    with pytest.raises(ConnectionResetError):
        opener.open(f"http://{lab.subnet}.2:9080/details/0", timeout=30)
    security = lab.folder / "security.yaml"
    security.write_text(security.read_text().replace("mode: STRICT", "mode: PERMISSIVE"))
    deadline = time.monotonic() + 60
    while True:
        try:
            opener.open(f"http://{lab.subnet}.2:9080/details/0", timeout=30).close()
            break
        except ConnectionResetError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_mirror_is_seen_where_it_arrives_and_by_no_visitor(start_lab: Any) -> None:
    lab = start_lab("--rate", "40", "--interval", "1")
    lab.next_report()
    mirroring = Path(__file__).parents[2] / "examples" / "documents" / "mirroring.yaml"
    (lab.folder / "reviews.yaml").write_text(mirroring.read_text())
    lab.until({"v1"})

    def mirrored() -> bool:
        """Whether one interval shows it."""
        rows = {(row["source"], row["target"]): row for row in lab.next_report()["rows"]}
        there = rows.get(("productpage v1", "reviews v3"), {"requests": 0, "arrived": 0})
        assert there["requests"] == 0
        asked = rows.get(("reviews v3", "ratings v1"), {"requests": 0})["requests"]
        return asked > 0 and 0 < there["arrived"] < rows["productpage v1", "reviews v1"]["arrived"]

    until(mirrored)
    assert set(lab.served("anonymous", last=1)) == set(lab.served("jason", last=1)) == {"v1"}


def test_on_one_address_with_ports_of_their_own_it_works_the_same(start_lab: Any) -> None:
    lab = start_lab("--rate", "40", "--duration", "6", "--interval", "1", subnet="none")
    errors = lab.end()
    assert lab.process.returncode == 0, errors
    assert set(lab.served("jason")) == {"v2"}
    assert set(lab.requests("productpage v1", "reviews")) == {"reviews v1", "reviews v2", "reviews v3"}
    assert processes_of(lab.temporary) == []
    assert list(lab.temporary.iterdir()) == []


def test_killed_without_mercy_it_leaves_nothing_either(start_lab: Any) -> None:
    lab = start_lab("--interval", "0.5")
    lab.next_report()
    assert len(processes_of(lab.temporary)) >= 13
    lab.process.kill()
    lab.process.wait()
    assert_nothing_remains(lab)


def test_a_sidecar_that_is_killed_ends_the_lab_with_a_word(start_lab: Any) -> None:
    lab = start_lab("--interval", "0.5")
    lab.next_report()
    (log,) = lab.temporary.glob("pyproxy-lab-*/logs/the mesh.log")
    (pid,) = re.findall(r"^details-v1: process (\d+)$", log.read_text(), re.MULTILINE)
    os.kill(int(pid), signal.SIGKILL)
    errors = lab.end()
    assert "details-v1 ended with signal 9" in errors
    assert lab.process.returncode == 1
    assert_nothing_remains(lab)


def test_a_second_lab_on_the_same_addresses_is_told_what_to_do(start_lab: Any) -> None:
    first = start_lab("--interval", "0.5")
    first.next_report()
    second = start_lab(documents="others")
    errors = second.end()
    assert second.process.returncode == 2
    assert "is taken, perhaps by another lab" in errors
    assert "--subnet" in errors
    third = start_lab()
    assert "already" in third.end() and third.process.returncode == 2
    first.next_report()
