"""A client's proxy and a server's proxy with one service between them: two processes, in plaintext or mutual TLS."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from tests.certificates import PRODUCTPAGE, REVIEWS, Authority
from tests.grpc.service import UNLIMITED
from tests.peers import whole_lines
from tests.pyproxy_process import PyproxyProcess

HOST = "interop.default.svc.cluster.local"
LOG = {
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "grpc": "%GRPC_STATUS%",
    "protocol": "%PROTOCOL%",
    "path": "%REQ(:PATH)%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "sent": "%BYTES_SENT%",
}


@dataclass
class Pair:
    """Both proxies; `inbound` is the first of those beside servers."""

    outbound: PyproxyProcess
    inbounds: list[PyproxyProcess]

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self.outbound.outbound}"

    @property
    def inbound(self) -> PyproxyProcess:
        return self.inbounds[0]

    def channel(self, host: str = HOST, *options: tuple[str, Any]) -> Any:
        """A client's connection."""
        own = [*UNLIMITED, ("grpc.default_authority", host), ("grpc.enable_http_proxy", 0)]
        own += [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.insecure_channel(self.address, options=[*own, *options])


@contextmanager
def sidecars(
    folder: Path, ports: Sequence[int], *, mutual_tls: bool = False, more: str = "", inbound_more: str = ""
) -> Iterator[Pair]:
    """A proxy beside the server on each port, and one before clients of all. `more`: documents of the client's."""
    mesh = Authority("mesh")
    folder.mkdir(parents=True, exist_ok=True)
    inbounds: list[PyproxyProcess] = []
    running: list[PyproxyProcess] = []
    try:
        for index, port in enumerate(ports):
            flags = ["--workload", "server"]
            if mutual_tls:
                flags += ["--certs", str(mesh.workload(folder / f"certs{index}", REVIEWS))]
            mode = "STRICT" if mutual_tls else "PERMISSIVE"
            documents = _server(port, mode) + _log(folder / f"in{index}.log") + inbound_more
            inbounds.append(PyproxyProcess(folder / f"in{index}", documents, *flags))
            running.append(inbounds[-1])
        flags = ["--certs", str(mesh.workload(folder / "certs", PRODUCTPAGE))] if mutual_tls else []
        targets = [process.ports["virtualInbound"] for process in inbounds]
        documents = service(HOST, targets, mutual_tls=mutual_tls) + _log(folder / "out.log") + more
        outbound = PyproxyProcess(folder / "out", documents, *flags)
        running.append(outbound)
        yield Pair(outbound, inbounds)
    finally:
        for process in reversed(running):
            process.close()


def logged(folder: Path, name: str = "out") -> list[dict[str, Any]]:
    """Lines of a proxy's access log: `out`, or `in0` and so on."""
    return [json.loads(line) for line in whole_lines(folder / f"{name}.log")]


def metric(proxy: PyproxyProcess, name: str, *labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{proxy.ports['metrics']}/stats/prometheus", timeout=10) as page:
        lines = page.read().decode().splitlines()
    found = [line for line in lines if line.startswith(name + "{") and all(label in line for label in labels)]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def service(host: str, ports: Sequence[int], *, mutual_tls: bool = False, policy: str = "") -> str:
    """A gRPC service on port 80 with an endpoint on each of these loopback ports."""
    endpoints = ", ".join(f"{{address: 127.0.0.1, ports: {{grpc: {port}}}}}" for port in ports)
    tls = f"tls: {{mode: ISTIO_MUTUAL, subjectAltNames: ['{REVIEWS}']}}" if mutual_tls else "tls: {mode: DISABLE}"
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {host.partition(".")[0]}}}
spec:
  hosts: [{host}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: grpc, protocol: GRPC}}]
  endpoints: [{endpoints}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {host.partition(".")[0]}}}
spec:
  host: {host}
  trafficPolicy: {{{tls}{", " if policy else ""}{policy}}}
---
"""


def rule(host: str, http: str) -> str:
    """A VirtualService with one HTTP rule."""
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {host.partition(".")[0]}}}
spec: {{hosts: [{host}], http: [{http}]}}
---
"""


def _server(port: int, mode: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: interop}}
spec:
  hosts: [{HOST}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: grpc, protocol: GRPC, targetPort: {port}}}]
  workloadSelector: {{labels: {{app: interop}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: server}}
spec: {{address: 127.0.0.1, labels: {{app: interop}}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default}}
spec: {{mtls: {{mode: {mode}}}}}
---
"""


def _log(path: Path) -> str:
    return f"""
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec:
  meshConfig:
    accessLogFile: {path}
    accessLogEncoding: JSON
    accessLogFormat: '{json.dumps(LOG)}'
---
"""
