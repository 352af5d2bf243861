"""gRPC through two sidecars with mutual TLS: HTTP/2 all the way, identities known on both sides."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.certificates import PRODUCTPAGE, REVIEWS, Authority
from tests.peers import until, whole_lines
from tests.pyproxy_process import PyproxyProcess

pytestmark = pytest.mark.integration
grpc = pytest.importorskip("grpc")

LOG = json.dumps(
    {
        "protocol": "%PROTOCOL%",
        "status": "%GRPC_STATUS%",
        "peer": "%DOWNSTREAM_PEER_URI_SAN%",
        "flags": "%RESPONSE_FLAGS%",
    }
)
MESH = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh}}
spec: {{meshConfig: {{accessLogFile: {log}, accessLogEncoding: JSON, accessLogFormat: '{format}'}}}}
---
"""
SERVER = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: reviews}}
spec:
  hosts: [reviews.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: grpc, protocol: GRPC, targetPort: {port}}}]
  workloadSelector: {{labels: {{app: reviews}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: reviews}}
spec: {{address: 127.0.0.1, labels: {{app: reviews}}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default}}
spec: {{mtls: {{mode: STRICT}}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: reviews}}
spec:
  rules:
  - from: [{{source: {{principals: [cluster.local/ns/default/sa/productpage]}}}}]
    to: [{{operation: {{notPaths: [/t/Forbidden]}}}}]
"""
CLIENT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: reviews}}
spec:
  hosts: [reviews.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: grpc, protocol: GRPC}}]
  endpoints: [{{address: 127.0.0.1, ports: {{grpc: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews}}
spec: {{host: reviews.default.svc.cluster.local, trafficPolicy: {{tls: {{mode: ISTIO_MUTUAL}}}}}}
"""


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Sends back what it is sent, in either kind of call."""

    def service(self, details: Any) -> Any:
        if details.method.endswith("Chat"):
            return grpc.stream_stream_rpc_method_handler(lambda messages, _: (each for each in messages))
        return grpc.unary_unary_rpc_method_handler(lambda message, _: message)


class Mesh:
    """Two sidecars, one before the other."""

    def __init__(self, folder: Any, port: int) -> None:
        authority = Authority("mesh")
        certificates = {
            name: authority.workload(folder / f"certs-{name}", identity)
            for name, identity in (("server", REVIEWS), ("client", PRODUCTPAGE))
        }
        self.log = folder / "server-access.log"
        documents = MESH.format(log=self.log, format=LOG) + SERVER.format(port=port)
        self.server = PyproxyProcess(
            folder / "server", documents, "--workload", "reviews", "--certs", str(certificates["server"])
        )
        documents = CLIENT.format(port=self.server.ports["virtualInbound"])
        self.client = PyproxyProcess(folder / "client", documents, "--certs", str(certificates["client"]))

    def lines(self, count: int) -> list[Any]:
        """The server side's access log, once it has so many lines."""
        until(lambda: len(whole_lines(self.log)) >= count)
        return [json.loads(line) for line in whole_lines(self.log)]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    server = grpc.server(ThreadPoolExecutor(4), handlers=[Echo()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    mesh = Mesh(tmp_path_factory.mktemp("mesh"), port)
    yield mesh
    mesh.client.close()
    mesh.server.close()
    server.stop(None)


def test_calls_pass_with_identities(mesh: Mesh) -> None:
    options = [("grpc.default_authority", "reviews.default.svc.cluster.local"), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{mesh.client.outbound}", options=options) as channel:
        large = bytes(3_000_000)
        assert channel.unary_unary("/t/Unary")(large) == large
        assert list(channel.stream_stream("/t/Chat")(iter([b"a", b"b"]))) == [b"a", b"b"]
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/t/Forbidden")(b"x")
        error: Any = caught.value
        assert (error.code().name, error.details()) == ("PERMISSION_DENIED", "RBAC: access denied")
    lines = mesh.lines(3)
    assert {line["protocol"] for line in lines} == {"HTTP/2"}
    assert {line["peer"] for line in lines} == {PRODUCTPAGE}
    assert [line["status"] for line in lines] == ["OK", "OK", "PermissionDenied"]


def test_metrics_know_both_sides(mesh: Mesh) -> None:
    page = f"http://127.0.0.1:{mesh.server.ports['metrics']}/stats/prometheus"
    with urllib.request.urlopen(page, timeout=30) as found:
        lines = [line for line in found.read().decode().splitlines() if line.startswith("istio_requests_total{")]
    assert any(
        'grpc_response_status="0"' in line and 'connection_security_policy="mutual_tls"' in line for line in lines
    )
    assert all('request_protocol="grpc"' in line for line in lines)
    assert any('source_principal="spiffe://cluster.local/ns/default/sa/productpage"' in line for line in lines)
