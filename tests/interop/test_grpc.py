"""gRPC's interop cases in mutual TLS between pyproxy and a real Envoy, as `pyproxy export envoy` sets it up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import grpc
import pytest
from aiohttp.test_utils import unused_port

from tests.certificates import PRODUCTPAGE, REVIEWS, Authority
from tests.grpc.interop import CASES
from tests.grpc.service import UNLIMITED, Server
from tests.interop.mesh import caller, operator
from tests.interop.proxies import Proxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

FORMAT = "%PROTOCOL% %RESPONSE_CODE% %GRPC_STATUS%"
SERVER = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: reviews-v1}}
spec: {{address: 127.0.0.1, labels: {{app: reviews}}, serviceAccount: reviews}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: reviews}}
spec:
  workloadSelector: {{labels: {{app: reviews}}}}
  ingress:
  - port: {{number: {port}, name: grpc, protocol: GRPC}}
    bind: 127.0.0.1
    captureMode: NONE
    defaultEndpoint: 127.0.0.1:{application}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: reviews}}
spec: {{selector: {{matchLabels: {{app: reviews}}}}, mtls: {{mode: STRICT}}}}
"""
CLIENT = """
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: reviews}}
spec:
  hosts: [reviews.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: grpc, protocol: GRPC}}]
  endpoints: [{{address: 127.0.0.1, ports: {{grpc: {port}}}, labels: {{app: reviews}}, serviceAccount: reviews}}]
"""


@pytest.fixture(scope="module", params=[("envoy", "pyproxy"), ("pyproxy", "envoy")], ids="-to-".join)
def address(request: pytest.FixtureRequest, envoy_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a client's proxy, before a server's proxy of the other kind."""
    client_kind, server_kind = request.param
    folder, mesh, server, port = tmp_path_factory.mktemp("grpc"), Authority("mesh"), Server(), unused_port()
    log = operator(FORMAT)
    called = SERVER.format(port=port, application=server.port) + log
    certs = ("--certs", str(mesh.workload(folder / "certs-server", REVIEWS)))
    with closing(Proxy(server_kind, envoy_path, folder / "server", called, "--workload", "reviews-v1", *certs)):
        certs = ("--certs", str(mesh.workload(folder / "certs-client", PRODUCTPAGE)))
        calling = caller() + CLIENT.format(port=port) + log
        flags = ("--workload", "productpage-v1", *certs)
        with closing(Proxy(client_kind, envoy_path, folder / "client", calling, *flags)) as client:
            yield f"127.0.0.1:{client.ports['virtualOutbound']}"
    server.stop()


@pytest.mark.parametrize("case", CASES)
def test_core_calls_core_through_both_proxies(address: str, case: str) -> None:
    options = [*UNLIMITED, ("grpc.default_authority", "reviews.test"), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(address, options=[*options, ("grpc.use_local_subchannel_pool", 1)]) as channel:
        CASES[case](channel)
