"""What one request would meet: listener, virtual host, route, destinations, their policies, the other side's verdict.

Nothing is sent. What chance or the runtime decides (weights, faults, ejections, DNS) is said as it is configured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from pyproxy.analysis.conditions import check
from pyproxy.analysis.explanation import Asked, Explanation, Reached, Target, Tried
from pyproxy.analysis.policies import Values, cluster_values, fault_values, header_values, redirect_values, route_values
from pyproxy.analysis.server_side import Caller, Servers, ServerSide
from pyproxy.core.context import RequestContext
from pyproxy.core.errors import CommandError
from pyproxy.core.http import RequestHead
from pyproxy.core.tls import ClientTlsMode, MtlsMode, Peer
from pyproxy.downstream.filter_chains import server_for
from pyproxy.istio.resources import Document
from pyproxy.policy.rbac_matchers import NO_REQUEST
from pyproxy.proxy.environment import ClientConnection, split_authority
from pyproxy.proxy.headers import apply_ops, rewrite_target
from pyproxy.runtime.counters import HttpStats
from pyproxy.snapshot.model import (
    Cluster,
    Destination,
    DirectResponse,
    Endpoint,
    Forward,
    Identity,
    Listener,
    ListenerKind,
    PathNormalization,
    Redirect,
    Route,
    Snapshot,
    VirtualHost,
)
from pyproxy.snapshot.tcp_routes import TcpRoute
from pyproxy.wire.paths import normalize

_PORTS = {b"http": 80, b"https": 443}


def ask(method: str, url: str, lines: Sequence[tuple[str, str]], *, inbound: bool = False) -> Asked:
    """A request as a client would make it. A `host` among the header lines beats the URL's. Raises CommandError."""
    parts = urlsplit(url if "//" in url or url.startswith("/") else f"//{url}")
    authority = next((value for name, value in lines if name.lower() == "host"), parts.netloc)
    if not authority:
        raise CommandError(f"{url} names no host: write http://reviews{url}, or give -H 'Host: reviews'")
    split = split_authority(authority.encode("latin-1", "replace"))
    if split is None:
        raise CommandError(f"{authority!r} can be no host")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = [(name.lower().encode(), value.encode()) for name, value in lines if name.lower() != "host"]
    scheme = (parts.scheme or "http").encode()
    head = RequestHead(method.upper().encode(), target.encode(), authority.encode(), headers, scheme=scheme)
    return Asked(head, *split, inbound)


class Explainer:
    """Explains requests to one proxy."""

    def __init__(self, snapshot: Snapshot, documents: Sequence[Document]) -> None:
        self._snapshot = snapshot
        self._servers = Servers(documents)
        self._notes: list[str] = []

    def explain(self, asked: Asked, caller: Identity | None = None) -> Explanation:
        """The way of one request. `caller`: the workload that sends it to us, where we are the server."""
        self._notes = []
        listener = self._listener(asked)
        head = self._normalized(asked.head, listener)
        connection = self._connection(asked, listener, caller)
        explanation = Explanation(_request(asked, head), _listener_values(listener, self._snapshot))
        if listener.server_tls and connection.server is None:
            return self._finished(explanation, answer=f"none, the connection is closed: {_no_server(asked)}")
        connections = self._as_tcp(asked, listener, connection)
        if connections is not None:
            targets = tuple(self._tcp_targets(connections))
            self._notes.append("the connection is carried as TCP: no routes of HTTP are met")
            return self._finished(explanation, targets=targets)
        found = connection.virtual_host(self._snapshot, asked.host, asked.port)
        if asked.inbound or self._snapshot.identity.gateway:
            here = self._here(asked, head, found, connection, caller)
            explanation = replace(explanation, here=here)
            if here.connection.startswith("refused"):
                return self._finished(explanation, answer=f"none, the connection is closed: {here.connection}")
            if here.authorization.startswith("denied"):
                return self._finished(explanation, answer="403 RBAC: access denied")
        if found is None:
            return self._finished(explanation, answer="404 NR: no virtual host is for it here")
        explanation = replace(explanation, virtual_host=_host_values(found))
        tried, route = _routes(found, head)
        explanation = replace(explanation, routes=tuple(tried))
        if route is None:
            return self._finished(explanation, answer="404 NR: no route matches")
        explanation = replace(explanation, fault=fault_values(route.fault))
        action = route.action
        if isinstance(action, DirectResponse):
            return self._finished(explanation, answer=f"{action.status} {action.body.decode('latin-1')}".strip())
        if isinstance(action, Redirect):
            return self._finished(explanation, answer=f"{action.status} redirect", policies=redirect_values(action))
        targets = tuple(self._targets(route, action, head))
        return self._finished(explanation, policies=route_values(route), targets=targets)

    def _finished(
        self,
        explanation: Explanation,
        answer: str = "",
        policies: Values | None = None,
        targets: tuple[Target, ...] = (),
    ) -> Explanation:
        return replace(
            explanation,
            answer=answer,
            policies=policies or {},
            targets=targets,
            notes=tuple(dict.fromkeys(self._notes)),
        )

    # The way in

    def _listener(self, asked: Asked) -> Listener:
        snapshot = self._snapshot
        listeners = snapshot.listeners
        if snapshot.identity.gateway:
            port = asked.port or _PORTS.get(asked.head.scheme, 80)
            found = [each for each in listeners if each.port == port]
            if not found:
                ports = ", ".join(str(each.port) for each in listeners) or "none"
                raise CommandError(f"this gateway has no listener on port {port}; its ports are {ports}")
            return found[0]
        if asked.inbound:
            named = [each for each in listeners if each.workload_port and each.workload_port == asked.port]
            kind = ListenerKind.INBOUND_CAPTURE
        else:
            named = [
                each for each in listeners if each.kind is ListenerKind.NAMED and each.route_table == str(asked.port)
            ]
            kind = ListenerKind.OUTBOUND_CAPTURE
        return named[0] if named else next(each for each in listeners if each.kind is kind)

    def _normalized(self, head: RequestHead, listener: Listener) -> RequestHead:
        kind = listener.http.path_normalization
        if kind is PathNormalization.NONE:
            return head
        merge = kind is not PathNormalization.BASE
        decode = kind is PathNormalization.DECODE_AND_MERGE_SLASHES
        target = normalize(head.target, merge_slashes=merge, decode_slashes=decode)
        if target is None:
            raise CommandError(f"the answer is 400: {head.target.decode()} cannot be made a path in canonical form")
        return RequestHead(head.method, target, head.authority, head.headers, scheme=head.scheme)

    def _connection(self, asked: Asked, listener: Listener, caller: Identity | None) -> ClientConnection:
        connection = ClientConnection(listener, listener.http, HttpStats())
        if listener.server_tls:
            if asked.head.scheme == b"https":
                connection.server = server_for(listener.server_tls, asked.host.decode())
            connection.tls = Peer()
        elif asked.inbound and caller is not None:
            connection.tls = Peer(uri_sans=(self._servers.principal(caller),))
        return connection

    def _here(
        self,
        asked: Asked,
        head: RequestHead,
        found: VirtualHost | None,
        connection: ClientConnection,
        caller: Identity | None,
    ) -> ServerSide:
        identity = self._snapshot.identity
        port = found.workload_port if found is not None and found.workload_port else asked.port or 0
        port = connection.listener.port if identity.gateway else port
        who = Caller("127.0.0.1") if caller is None else Caller(caller.address, self._servers.principal(caller))
        if identity.gateway:  # its servers say what they take, and no PeerAuthentication
            side = self._servers.judge(identity, port, who, head, MtlsMode.PERMISSIVE)
            tls = connection.server.mode.value if connection.server is not None else "plaintext"
            side = replace(side, accepts=tls, connection=tls)
        else:
            side = self._servers.judge(identity, port, who, head)
        if side.tokens:
            self._notes.append("tokens are not verified here: rules on what they claim do not match")
        return side

    # The way out

    def _as_tcp(self, asked: Asked, listener: Listener, connection: ClientConnection) -> TcpRoute | None:
        """Where the connection goes if it is none of HTTP: TLS that is passed on, or a port that carries TCP."""
        host = asked.host.decode()
        if connection.server is not None:
            return listener.tcp.find(host) if not connection.server.route_table else None
        if listener.kind is ListenerKind.NAMED:
            return listener.tcp.find(host) if listener.protocol == "tcp" else None
        if asked.inbound or asked.port is None:
            return None
        table = self._snapshot.port_tables.get(asked.port)
        named = table is not None and table.named(asked.host) is not None
        return None if named else self._snapshot.connect_route(host, asked.port)

    def _tcp_targets(self, route: TcpRoute) -> Iterator[Target]:
        total = sum(weight for _, weight in route.clusters)
        for name, weight in route.clusters:
            share = 100 * weight / total if len(route.clusters) > 1 and total else 100.0
            yield replace(self._target(Destination(name), f"{share:.4g} %", NO_REQUEST), server_side=())

    def _targets(self, route: Route, action: Forward, head: RequestHead) -> Iterator[Target]:
        total = sum(each.weight for each in action.destinations)
        for each in action.destinations:
            share = 100.0 if len(action.destinations) == 1 or not total else 100 * each.weight / total
            yield self._target(each, f"{share:.4g} %", _rewritten(route, action, each, head))

    def _target(self, destination: Destination, share: str, head: RequestHead) -> Target:
        cluster = self._snapshot.clusters.get(destination.cluster)
        headers = {
            "requestHeaders": header_values(destination.request_headers),
            "responseHeaders": header_values(destination.response_headers),
        }
        target = Target(destination.cluster, share, headers={name: value for name, value in headers.items() if value})
        if cluster is None:
            return replace(target, problem="503 NC: there is no such cluster")
        problem = ""
        if not cluster.endpoints and cluster.discovery.value in ("STATIC", "STRICT_DNS", "LOGICAL_DNS"):
            problem = "503 UH: it has no endpoints"
        return replace(
            target,
            host=cluster.service.host if cluster.service is not None else "",
            subset=cluster.subset,
            port=cluster.port,
            destination_rule=cluster.destination_rule,
            policies={**cluster_values(cluster), "discovery": cluster.discovery.value},
            endpoints=tuple(_reached(cluster, each) for each in sorted(cluster.endpoints, key=_by_priority)),
            server_side=tuple(self._servers_of(cluster, head)),
            problem=problem,
        )

    def _servers_of(self, cluster: Cluster, head: RequestHead) -> Iterator[ServerSide]:
        """The verdict of each workload behind a cluster, those in the mesh alone."""
        ours = self._servers.principal(self._snapshot.identity)
        for each in cluster.endpoints:
            if not each.workload or cluster.mesh_external or cluster.name.startswith("inbound"):
                continue
            identity = Identity(
                workload=each.workload,
                namespace=each.namespace,
                labels=each.labels,
                service_account=each.service_account or "default",
                address=each.address,
            )
            mutual = _connection_to(cluster, each) == "mutual TLS"
            sni = cluster.tls.sni if cluster.tls is not None and mutual else ""
            caller = Caller(self._snapshot.identity.address, ours if mutual else "", sni)
            side = self._servers.judge(identity, each.port, caller, head)
            if side.tokens:
                self._notes.append("tokens are not verified here: rules on what they claim do not match")
            yield side


def _no_server(asked: Asked) -> str:
    """Why no server of a gateway's port takes a connection."""
    if asked.head.scheme != b"https":
        return "the port takes TLS alone (ask with https://)"
    return f"no server here is for {asked.host.decode()}"


def _routes(host: VirtualHost, head: RequestHead) -> tuple[list[Tried], Route | None]:
    """Every route up to the one that matches."""
    tried = []
    for index, route in enumerate(host.routes):
        matched = route.matches is None or route.matches(head)
        conditions = tuple(check(route.conditions, head))
        tried.append(Tried(index, route.name, route.virtual_service, route.description, matched, conditions))
        if matched:
            return tried, route
    return tried, None


def _rewritten(route: Route, action: Forward, destination: Destination, head: RequestHead) -> RequestHead:
    """The request as the upstream sees it, as far as configuration alone decides."""
    sent = RequestHead(head.method, head.target, head.authority, list(head.headers), scheme=head.scheme)
    context = RequestContext(sent, 0.0, 0.0)
    if destination.request_headers is not None:
        apply_ops(sent, destination.request_headers, context)
    if route.request_headers is not None:
        apply_ops(sent, route.request_headers, context)
    authority = action.rewrite_authority or destination.host_rewrite
    if authority is not None:
        sent.authority = authority
    if action.rewrite_path is not None:
        sent.target = rewrite_target(sent.target, action.rewrite_path)
        sent.path = sent.target.partition(b"?")[0]
    return sent


def _connection_to(cluster: Cluster, endpoint: Endpoint) -> str:
    tls = cluster.tls
    if tls is None or (tls.automatic and not endpoint.mutual_tls):
        return "plaintext"
    return "mutual TLS" if tls.mode is ClientTlsMode.ISTIO_MUTUAL else f"TLS ({tls.mode.value})"


def _by_priority(endpoint: Endpoint) -> tuple[int, str]:
    return endpoint.priority, endpoint.locality


def _reached(cluster: Cluster, each: Endpoint) -> Reached:
    address = each.address if each.address.startswith("unix:") else f"{each.address}:{each.port}"
    workload = f"{each.workload}.{each.namespace}" if each.workload else ""
    return Reached(address, workload, each.locality, each.priority, each.weight, _connection_to(cluster, each))


def _request(asked: Asked, head: RequestHead) -> Values:
    return {
        "method": head.method.decode(),
        "authority": asked.head.authority.decode(),
        "path": head.target.decode("latin-1"),
        "scheme": head.scheme.decode(),
        "headers": {name.decode(): value.decode("latin-1") for name, value in head.headers},
    }


def _listener_values(listener: Listener, snapshot: Snapshot) -> Values:
    found = {"name": listener.name, "address": listener.address, "port": listener.port, "protocol": listener.protocol}
    if listener.route_table:
        found["routeTable"] = listener.route_table
    return {**found, "version": snapshot.version}


def _host_values(host: VirtualHost) -> Values:
    found: dict[str, object] = {"name": host.name, "domains": list(host.domains)}
    if host.service is not None:
        found["service"] = host.service.host
    return found
