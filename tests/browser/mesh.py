"""A mesh of one proxy and two real services, one of which fails on demand; and traffic through it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientError, ClientSession, web
from aiohttp.test_utils import RawTestServer

from tests.pyproxy_process import PyproxyProcess

DOCUMENTS = """\
# The web, and the reviews that it asks for.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews}}
spec:
  hosts: [reviews.default.svc.cluster.local]
  http:
    - name: everybody
      route:
        - destination: {{host: reviews, subset: v1}}
          weight: 50
        - destination: {{host: reviews, subset: v2}}
          weight: 50
      retries: {{attempts: 0}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews}}
spec:
  host: reviews
  trafficPolicy:
    outlierDetection: {{consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 12s, maxEjectionPercent: 100}}
    connectionPool:
      tcp: {{maxConnections: 2}}
      http: {{http1MaxPendingRequests: 1}}
  subsets:
    - {{name: v1, labels: {{version: v1}}}}
    - {{name: v2, labels: {{version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: reviews}}
spec:
  hosts: [reviews.default.svc.cluster.local]
  resolution: STATIC
  location: MESH_INTERNAL
  ports: [{{number: 9080, name: http, protocol: HTTP}}]
  workloadSelector: {{labels: {{app: reviews}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: reviews-v1}}
spec: {{address: 127.0.0.1, ports: {{http: {first}}}, labels: {{app: reviews, version: v1}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: reviews-v2}}
spec: {{address: 127.0.0.1, ports: {{http: {second}}}, labels: {{app: reviews, version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: web-v1}}
spec: {{address: 127.0.0.1, labels: {{app: web, version: v1}}}}
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec: {{meshConfig: {{accessLogFile: {log}}}}}
"""


@dataclass
class Service:
    """Answers as it is told."""

    status: int = 200
    delay: float = 0.0

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        await asyncio.sleep(self.delay)
        return web.Response(status=self.status)


@dataclass
class Mesh:
    """What runs."""

    proxy: PyproxyProcess
    first: Service
    second: Service
    rate: float = 40.0
    """Requests a second."""
    path: str = "/reviews/0"
    _visits: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def admin(self) -> str:
        return f"127.0.0.1:{self.proxy.ports['admin']}"

    @property
    def file(self) -> Path:
        return self.proxy.folder / "config" / "mesh.yaml"

    @property
    def log(self) -> Path:
        return self.proxy.folder / "web-v1.log"

    async def send(self) -> None:
        """Until cancelled; an open loop, so that what is slow does not slow it down."""
        async with ClientSession(f"http://127.0.0.1:{self.proxy.outbound}") as session:
            try:
                while True:
                    if len(self._visits) < 100:
                        visit = asyncio.create_task(self._visit(session))
                        self._visits.add(visit)
                        visit.add_done_callback(self._visits.discard)
                    await asyncio.sleep(1 / self.rate)
            finally:
                for visit in self._visits:
                    visit.cancel()
                await asyncio.gather(*self._visits, return_exceptions=True)

    async def _visit(self, session: ClientSession) -> None:
        try:
            async with session.get(self.path, headers={"Host": "reviews:9080"}) as response:
                await response.read()
        except ClientError:
            pass


@asynccontextmanager
async def running_mesh(folder: Path) -> AsyncIterator[Mesh]:
    """The proxy, the services and the traffic, from first to last."""
    first, second = Service(), Service()
    servers = [RawTestServer(first), RawTestServer(second)]
    for server in servers:
        await server.start_server()
    documents = DOCUMENTS.format(first=servers[0].port, second=servers[1].port, log=folder / "web-v1.log")
    proxy = await asyncio.to_thread(PyproxyProcess, folder, documents, "--workload", "web-v1")
    mesh = Mesh(proxy, first, second)
    sending = asyncio.create_task(mesh.send())
    try:
        yield mesh
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await asyncio.to_thread(proxy.close)
        for server in servers:
            await server.close()
