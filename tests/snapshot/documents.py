"""Documents from text, compiled, and the questions that tests ask of a snapshot."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pyproxy.core.http import RequestHead
from pyproxy.istio.loader import load
from pyproxy.istio.problems import ConfigError
from pyproxy.istio.resources import Document
from pyproxy.snapshot.compile import Compilation, compile_snapshot
from pyproxy.snapshot.model import Forward, Identity, Listener, Listening, Route, RouteTable, Snapshot

HERE = Identity()
FLAGS = Listening()


def documents(text: str) -> tuple[Document, ...]:
    """The documents of a YAML text; raises ConfigError when one is not valid."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "mesh.yaml")
        file.write_text(text)
        loaded = load([file])
    if not loaded.ok:
        raise ConfigError(problem for problem in loaded.problems if problem.severity == "error")
    return loaded.documents


def compilation(*texts: str, identity: Identity = HERE, listening: Listening = FLAGS) -> Compilation:
    return compile_snapshot(documents("\n---\n".join(texts)), identity, listening)


def compiled(*texts: str, identity: Identity = HERE, listening: Listening = FLAGS) -> Snapshot:
    return compilation(*texts, identity=identity, listening=listening).snapshot


def entry(
    host: str,
    *ports: str,
    namespace: str = "default",
    name: str = "",
    resolution: str = "STATIC",
    addresses: str = "",
    endpoints: str = "",
    more: str = "",
) -> str:
    """A ServiceEntry; a port is `number/protocol` (`80/HTTP`), or a number alone; endpoints are YAML flow items."""
    lines = [
        "apiVersion: networking.istio.io/v1",
        "kind: ServiceEntry",
        f"metadata: {{name: {name or host.strip('*.').replace('.', '-')}, namespace: {namespace}}}",
        "spec:",
        f'  hosts: ["{host}"]',
        f"  resolution: {resolution}",
        "  location: MESH_INTERNAL",
        "  ports:",
    ]
    for port in ports or ("80/HTTP",):
        number, _, protocol = port.partition("/")
        lines.append(f"  - {{number: {number}, name: p{number}{f', protocol: {protocol}' if protocol else ''}}}")
    if addresses:
        lines.append(f"  addresses: [{addresses}]")
    if endpoints:
        lines.append(f"  endpoints: [{endpoints}]")
    if more:
        lines.append(f"  {more}")
    return "\n".join(lines)


def rules(spec: str, name: str = "rules", namespace: str = "default", kind: str = "VirtualService") -> str:
    """A networking document around a spec written at the margin."""
    body = "\n".join(f"  {line}" for line in spec.strip("\n").splitlines())
    return (
        f"apiVersion: networking.istio.io/v1\nkind: {kind}\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n{body}"
    )


def mesh(config: str) -> str:
    """An IstioOperator with a MeshConfig written at the margin."""
    body = "\n".join(f"    {line}" for line in config.strip("\n").splitlines())
    return (
        "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\n"
        f"metadata: {{name: mesh}}\nspec:\n  meshConfig:\n{body}"
    )


def request(
    path: str = "/",
    headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
    *,
    method: str = "GET",
    host: str = "reviews",
    scheme: str = "http",
) -> RequestHead:
    pairs = headers.items() if isinstance(headers, Mapping) else headers or []
    lines = [(name.encode(), value.encode()) for name, value in pairs]
    return RequestHead(method.encode(), path.encode(), host.encode(), lines, scheme=scheme.encode())


def find(snapshot: Snapshot, port: int, host: str, head: RequestHead | None = None) -> Route | None:
    """The route that a request on a port's table meets."""
    return find_in(snapshot.route_tables[str(port)], host, head)


def find_in(table: RouteTable, host: str, head: RequestHead | None = None) -> Route | None:
    found = table.virtual_host_for(host.encode())
    return None if found is None else found.route_for(head or request())


def forward(route: Route | None) -> Forward:
    assert route is not None
    assert isinstance(route.action, Forward)
    return route.action


def shares(route: Route | None) -> dict[str, int]:
    """Cluster → weight."""
    return {each.cluster: each.weight for each in forward(route).destinations}


def target(snapshot: Snapshot, port: int, host: str, head: RequestHead | None = None) -> str:
    """The one cluster that a request goes to."""
    (cluster,) = shares(find(snapshot, port, host, head))
    return cluster


def leads(listener: Listener, name: str = "") -> str:
    """The cluster that a listener's connections go to which are not HTTP; empty: none."""
    route = listener.tcp.find(name)
    return route.clusters[0][0] if route is not None else ""
