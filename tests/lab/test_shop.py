import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pyproxy.lab.shop import Instance, parse_instance


def test_an_argument_is_one_instance() -> None:
    assert parse_instance("reviews,v2,127.0.1.4,8080,http://127.0.1.4:15007") == Instance(
        "reviews", "v2", "127.0.1.4", 8080, "http://127.0.1.4:15007"
    )
    with pytest.raises(ValueError):
        parse_instance("reviews")


@pytest.fixture
def shop() -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
    """Two programs, each with its process id."""
    instances = [f"{name},v1,127.0.0.1,{free_port()},http://127.0.0.1:1" for name in ("details", "ratings")]
    process = subprocess.Popen(
        [sys.executable, "-m", "pyproxy.lab.shop", *instances], stdout=subprocess.PIPE, text=True, process_group=0
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().split() for _ in instances]
    yield process, {" ".join(words[:2]).rstrip(":"): int(words[3].rstrip(",")) for words in lines}
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.integration
def test_each_program_has_a_process_and_all_end_together(shop: tuple[subprocess.Popen[str], dict[str, int]]) -> None:
    process, pids = shop
    assert set(pids) == {"details v1", "ratings v1"}
    assert len({process.pid, *pids.values()}) == 3
    process.terminate()
    assert process.wait(10) == 0


@pytest.mark.integration
def test_the_death_of_one_ends_all(shop: tuple[subprocess.Popen[str], dict[str, int]]) -> None:
    process, pids = shop
    os.kill(pids["ratings v1"], signal.SIGKILL)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert output == "ratings v1 ended with -9\n"
