"""What the README has a newcomer do by hand, done as it says: a document, two programs, a proxy, requests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
README = Path(__file__).parents[2] / "README.md"
FIXED = {
    "9081": "",
    "9082": "",
    "15001": "PYPROXY_OUTBOUND_PORT",
    "15090": "PYPROXY_METRICS_PORT",
}
"""The ports in it, which others may have here; and of the proxy's the variables that give it other ones."""


@pytest.fixture
def section(unused_tcp_port_factory: Callable[[], int]) -> tuple[list[str], dict[str, str]]:
    """The code of the section, with ports that are free; and the environment that tells the proxy so."""
    text = README.read_text().partition("## One proxy, by hand\n")[2].partition("\n## ")[0]
    environment = {f"PYPROXY_{name}_PORT": "0" for name in ("INBOUND", "HTTP_PROXY", "ADMIN", "STATUS")}
    for port, variable in FIXED.items():
        free = str(unused_tcp_port_factory())
        text = re.sub(rf"\b{port}\b", free, text)
        if variable:
            environment[variable] = free
    return re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL), environment


@pytest.fixture
def shell(tmp_path: Path, section: tuple[list[str], dict[str, str]]) -> Iterator[Callable[[str], str]]:
    """Runs lines in one folder, and ends what they left running."""
    scripts = Path(sys.executable).parent
    environment = {**os.environ, **section[1], "PATH": f"{scripts}:{os.environ['PATH']}"}
    groups: list[int] = []

    def run(lines: str) -> str:
        told = tmp_path / f"output-{len(groups)}"  # programs that stay write on into theirs
        with told.open("w") as output:
            process = subprocess.Popen(
                ["bash", "-c", lines],
                cwd=tmp_path,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        groups.append(process.pid)
        assert process.wait(60) == 0
        return told.read_text()

    yield run
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_the_first_proxy_does_what_the_readme_says(
    tmp_path: Path, section: tuple[list[str], dict[str, str]], shell: Callable[[str], str]
) -> None:
    _, document, programs, requests = section[0]
    (tmp_path / "reviews.yaml").write_text(document)
    shell(programs)
    anyone, jason, metrics = requests.strip().splitlines()
    until = time.monotonic() + 60
    while "reviews v" not in (answer := shell(f"{anyone}\ntrue")):
        assert time.monotonic() < until, answer
        time.sleep(0.2)
    assert "reviews v2\n" in shell(jason)
    answers = shell(f"for n in $(seq 60); do {anyone.partition('#')[0].replace('curl', 'curl -s')}; done").splitlines()
    assert len(answers) == 60
    assert answers.count("reviews v1") > answers.count("reviews v2")
    assert 'destination_service="reviews.default.svc.cluster.local"' in shell(metrics)
