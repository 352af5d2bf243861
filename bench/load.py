"""Runs wrk, h2load, or a program of our own in Go where the client shows a certificate, and reads what it measured."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.scenarios import APPLICATION_HEADERS, HOST, SERVICE_PORT, Scenario
from bench.tokens import issued
from bench.upstream import GRPC_MESSAGE

_REQUESTS = """\
local headers = {{ {headers} }}
local hosts, paths, tokens = {{ {hosts} }}, {{ {paths} }}, {{ {tokens} }}
local requests, at = {{}}, 0
for number = 1, math.max(#hosts, #paths, #tokens) do
  headers["Host"] = hosts[(number - 1) % #hosts + 1]
  headers["authorization"] = tokens[number]
  requests[number] = wrk.format("{method}", paths[(number - 1) % #paths + 1], headers, {body})
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"""

_ONE_REQUEST = """\
wrk.method, wrk.path, wrk.body = "{method}", {paths}, {body}
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
    paths = [f"{load.path}{number}" for number in range(load.paths)] if load.paths > 1 else [load.path]
    tokens = issued().authorizations if mesh.tokens else []
    template = _REQUESTS if len(hosts) + len(paths) + len(tokens) > 2 else _ONE_REQUEST
    body = f'string.rep("x", {load.body})' if load.body else "nil"
    return (
        template.format(
            headers=", ".join(f'["{name}"] = "{value}"' for name, value in headers),
            hosts=", ".join(f'"{host}"' for host in hosts),
            method="POST" if load.body else "GET",
            paths=", ".join(f'"{path}"' for path in paths),
            tokens=", ".join(f'"{token}"' for token in tokens),
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


def run_h2load(scenario: Scenario, port: int, *, seconds: int, cores: str, folder: Path) -> LoadResult:
    """One run of HTTP/2 against a proxy's port."""
    load, log = scenario.load, folder / "h2load.log"
    log.unlink(missing_ok=True)
    command = ["taskset", "-c", cores, "h2load", "-t1", f"-c{load.connections}", f"-m{load.streams}", f"-D{seconds}"]
    headers = [(":authority", f"{HOST}:{SERVICE_PORT}"), *APPLICATION_HEADERS]
    headers += [scenario.mesh.header_match] if scenario.mesh.header_match is not None else []
    if load.grpc:
        (folder / "message").write_bytes(GRPC_MESSAGE)
        headers += [("content-type", "application/grpc"), ("te", "trailers")]
        command += ["-d", str(folder / "message")]
    for name, value in headers:
        command += ["-H", f"{name}: {value}"]
    command += [f"--log-file={log}", f"http://127.0.0.1:{port}{load.path}"]
    subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
    return parse_h2load(log.read_text(), seconds)


def parse_h2load(log: str, seconds: float) -> LoadResult:
    """h2load's log → numbers: a line a request, with when it began, its status (-1: none), and microseconds."""
    lines = [line.split("\t") for line in log.splitlines()]
    taken = sorted(int(line[2]) for line in lines)
    if not taken:
        raise RuntimeError("h2load got no answer at all")
    return LoadResult(
        requests=len(taken),
        seconds=seconds,
        p50=taken[len(taken) // 2] / 1e6,
        p99=taken[len(taken) * 99 // 100] / 1e6,
        errors=sum(line[1] != "200" for line in lines),
    )


def run_tlsload(
    scenario: Scenario, port: int, certificate: Path, *, seconds: int, cores: str, folder: Path
) -> LoadResult:
    """One run of TLS connections against a proxy's port; `certificate` holds the client's key too."""
    load = scenario.load
    program, request = folder / "tlsload", folder / "request"
    if not program.exists():
        source = Path(__file__).with_name("tlsload")
        subprocess.run(["go", "build", "-o", str(program), "."], cwd=source, check=True, timeout=120)
    headers = (("Host", f"{HOST}:{SERVICE_PORT}"), *APPLICATION_HEADERS)
    lines = [f"GET {load.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    request.write_text("\r\n".join(lines) + "\r\n\r\n")
    command = ["taskset", "-c", cores, str(program), "-address", f"127.0.0.1:{port}", "-pair", str(certificate)]
    command += ["-request", str(request), "-connections", str(load.connections), "-seconds", str(seconds)]
    command += [] if load.keep_alive else ["-reconnect"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
    return parse_result(done.stdout)


def parse_result(output: str) -> LoadResult:
    """The load program's output → numbers. Raises RuntimeError when the script's line is not there."""
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
    raise RuntimeError(f"the load said nothing usable:\n{output[-1000:]}")
