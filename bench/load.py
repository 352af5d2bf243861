"""Runs wrk and reads what it measured."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.scenarios import APPLICATION_HEADERS, HOST, SERVICE_PORT, Scenario

_REQUESTS = """\
local headers = {{ {headers} }}
local hosts = {{ {hosts} }}
local requests, at = {{}}, 0
for number, host in ipairs(hosts) do
  headers["Host"] = host
  requests[number] = wrk.format("{method}", "{path}", headers, {body})
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"""

_ONE_REQUEST = """\
wrk.method, wrk.path, wrk.body = "{method}", "{path}", {body}
wrk.headers = {{ {headers}, ["Host"] = {hosts} }}
"""
# Without a request() function wrk builds the request once, and its Lua costs nothing.

_REPORT = """\
function done(summary, latency, requests)
  local e = summary.errors
  print(string.format('RESULT {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "errors": %d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class LoadResult:
    """What the client side saw. Latencies in seconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int
    """Replies that were not 2xx or 3xx, and broken or timed-out connections."""

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def script(scenario: Scenario) -> str:
    """The wrk script that sends the scenario's requests and prints the result as one JSON line."""
    load, mesh = scenario.load, scenario.mesh
    headers = list(APPLICATION_HEADERS)
    if mesh.header_match is not None:
        headers.append(mesh.header_match)
    if not load.keep_alive:
        headers.append(("connection", "close"))
    hosts = mesh.hosts() or [f"{HOST}:{SERVICE_PORT}"]
    template = _REQUESTS if mesh.extra_hosts else _ONE_REQUEST
    body = f'string.rep("x", {load.body})' if load.body else "nil"
    return (
        template.format(
            headers=", ".join(f'["{name}"] = "{value}"' for name, value in headers),
            hosts=", ".join(f'"{host}"' for host in hosts),
            method="POST" if load.body else "GET",
            path=load.path,
            body=body,
        )
        + _REPORT
    )


def run_wrk(scenario: Scenario, port: int, *, seconds: int, cores: str, folder: Path) -> LoadResult:
    """One run against a proxy's port."""
    lua = folder / f"{scenario.name}.lua"
    lua.write_text(script(scenario))
    command = ["taskset", "-c", cores, "wrk", "-t1", f"-c{scenario.load.connections}", f"-d{seconds}s"]
    command += ["--timeout", "10s", "-s", str(lua), f"http://127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
    return parse_result(done.stdout)


def parse_result(output: str) -> LoadResult:
    """wrk's output → numbers. Raises RuntimeError when the script's line is not there."""
    for line in output.splitlines():
        if line.startswith("RESULT "):
            found = json.loads(line.removeprefix("RESULT "))
            return LoadResult(
                requests=found["requests"],
                seconds=found["microseconds"] / 1e6,
                p50=found["p50"] / 1e6,
                p99=found["p99"] / 1e6,
                errors=found["errors"],
            )
    raise RuntimeError(f"wrk said nothing usable:\n{output[-1000:]}")
