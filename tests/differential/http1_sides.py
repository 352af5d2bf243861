"""The same bytes through a real Envoy and through pyproxy, each before an upstream of its own; what both did with them.

Envoy is set up as Istio sets up a sidecar: an outbound listener with Istio's default retries and `block_all`, and an
inbound one. pyproxy reads the documents that would make Istio do so.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.differential.envoy_process import EXTENSIONS, Envoy, loopback
from tests.peers import OK, Answer, Gone, Headers, RawClient, Upstream, until, whole_lines
from tests.pyproxy_process import PyproxyProcess

PROBE = b"GET /probe HTTP/1.1\r\nhost: app.test\r\n\r\n"
LOG_FIELDS = {
    "client": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "authority": "%REQ(:AUTHORITY)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}


@dataclass(frozen=True)
class Case:
    """One client connection: what it sends, how the upstream answers, and how many responses to wait for."""

    request: bytes
    answer: Answer = OK
    responses: int = 1
    inbound: bool = False
    leaves: bool = False
    """The client closes once the upstream has the request."""
    then: bytes = b""
    """Sent when the first response head is there (101, 100)."""
    early: int = 0
    """Bytes behind the request's head that a tunnel gives back too."""


@dataclass
class Seen:
    """What one proxy did."""

    responses: list[tuple[bytes, Headers, bytes, bool]] = field(default_factory=list)
    """Status line, headers, body, and whether the body was whole: else it is left out, for it may end anywhere."""
    upstream: list[tuple[bytes, Headers, bytes]] = field(default_factory=list)
    """Request line, headers and body of each request that the upstream saw, but for what broke off in a 400."""
    end: str = ""
    """Whether the connection served another request afterwards: open, closed, broken, or silent."""
    log: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The last response's; 0 when none came."""
        return int(self.responses[-1][0].split(b" ")[1]) if self.responses else 0

    @property
    def flags(self) -> str:
        """The last line's response flags."""
        return str(self.log[-1]["flags"]) if self.log else ""


class Side:
    """One proxy before its upstream."""

    def __init__(self, upstream: Upstream, ports: Mapping[str, int], log: Path) -> None:
        self.upstream = upstream
        self._ports = ports
        self._log = log
        self._seen: dict[str, Seen] = {}

    def run(self, case: Case) -> Seen:
        """Send a case's bytes."""
        seen = Seen()
        self.upstream.forget()
        self.upstream.answer = case.answer
        number = len(self._seen)
        source = f"127.1.{number // 250}.{number % 250 + 1}"  # by which the log tells the cases apart
        self._seen[source] = seen
        client = RawClient(self._ports["inbound" if case.inbound else "outbound"], source=source)
        client.send(case.request)
        try:
            if case.leaves:
                until(lambda: bool(self.upstream.requests))
                client.close()
                time.sleep(0.05)
            else:
                self._converse(client, case, seen)
        finally:
            client.close()
        refused = bool(seen.responses) and seen.responses[-1][0].startswith(b"HTTP/1.1 400 ")
        seen.upstream = [
            (request.line, masked(request.headers, self.upstream.port), request.body)
            for request in self.upstream.requests
            if request.target != b"/probe" and (request.whole or not refused)
        ]
        return seen

    def _converse(self, client: RawClient, case: Case, seen: Seen) -> None:
        method = case.request.lstrip().partition(b" ")[0]
        try:
            for _ in range(case.responses):
                response = client.read_head()
                if case.then and not seen.responses:
                    client.send(case.then)
                if response.status < 200 and response.status != 101:
                    response.body = b""
                elif response.status == 101:
                    response.body = client.exactly(case.early + len(case.then)) if case.then else b""
                else:
                    client.read_body(response, method=method)
                body = response.body if response.whole else b""
                found = response.status_line, masked(response.headers, self.upstream.port), body
                seen.responses.append((*found, response.whole))
            if response.status != 101:
                self.upstream.answer = OK
                seen.end = "open" if client.ask(PROBE).status == 200 else "broken"
        except TimeoutError:
            seen.end = "silent"
        except (Gone, OSError):
            seen.end = "closed"

    def read_log(self) -> None:
        """Give each connection the lines that were logged of it: they are there when that of one more request is."""
        self.run(Case(PROBE.replace(b"/probe", b"/")))
        last = list(self._seen)[-1]
        until(lambda: any(line["client"] == last for line in self._lines()))
        for line in self._lines():
            seen = self._seen[line["client"]]
            if line["path"] != "/probe":
                broken = any(not whole for *_, whole in seen.responses)
                left_out = (
                    {"client", "sent"} if broken else {"client", "received"} if line["status"] == 400 else {"client"}
                )
                seen.log.append({key: value for key, value in line.items() if key not in left_out})

    def _lines(self) -> list[Any]:
        return [json.loads(line) for line in whole_lines(self._log)]


_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
_COOKIE = re.compile(rb'="[0-9a-f]{16}"')
_MASKED = {b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"date", b"x-envoy-upstream-service-time"}


def masked(headers: Headers, port: int) -> Headers:
    """Sorted by name, what differs from run to run replaced; values of one name stay in order."""
    found: Headers = []
    for name, value in sorted(headers, key=lambda line: line[0]):
        if name in _MASKED or (name == b"x-request-id" and _UUID.match(value)):
            value = b"*"
        elif name == b"set-cookie":
            value = _COOKIE.sub(b'="*"', value)
        found.append((name, value.replace(b"%d" % port, b"PORT")))
    return found


def run_all(cases: Mapping[str, Case], envoy: Side, ours: Side) -> dict[str, tuple[Seen, Seen]]:
    """Every case through both; (Envoy, pyproxy)."""
    found: list[dict[str, Seen]] = [{}, {}]

    def run(side: Side, into: dict[str, Seen]) -> None:
        for name, case in cases.items():
            into[name] = side.run(case)
        side.read_log()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, (envoy, ours), found))
    return {name: (found[0][name], found[1][name]) for name in cases}


# Envoy, as Istio sets it up


def envoy_listeners(log: Path, hosts: Sequence[Any], **settings: Any) -> list[dict[str, Any]]:
    """A sidecar's outbound and inbound listener; `settings` are the connection managers'."""
    block_all = {
        "name": "block_all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 502}}],
    }
    inbound = {
        "name": "inbound|http|80",
        "domains": ["*"],
        "routes": [
            {
                "match": {"prefix": "/"},
                "route": {
                    "cluster": "app",
                    "timeout": "0s",
                    "retry_policy": {"retry_on": "reset-before-request", "num_retries": 2},
                },
                "decorator": {"operation": "app.test:80/*"},
            }
        ],
    }
    return [
        _listener("outbound", log, [*hosts, block_all], "envoy", settings),
        _listener("inbound", log, [inbound], "istio-envoy", settings),
    ]


def _listener(name: str, log: Path, hosts: Sequence[Any], server: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "server_name": server,
        "use_remote_address": False,
        "normalize_path": True,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "proxy_100_continue": True,
        "stream_idle_timeout": "0s",
        "delayed_close_timeout": "0.05s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "tracing": _tracing(),
        "access_log": [_access_log(log)],
        "http_filters": [
            _filter("fault", "fault.v3.HTTPFault"),
            _filter("cors", "cors.v3.Cors"),
            _filter("router", "router.v3.Router"),
        ],
        "route_config": {
            "name": name,
            "ignore_port_in_host_matching": True,
            "validate_clusters": False,
            "virtual_hosts": [{**host, "include_request_attempt_count": True} for host in hosts],
        },
        **settings,
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": name, "address": loopback(0), "traffic_direction": name.upper(), "filter_chains": [chain]}


def _filter(name: str, message: str) -> dict[str, Any]:
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": f"{EXTENSIONS}.filters.http.{message}"},
    }


def _access_log(path: Path) -> dict[str, Any]:
    return {
        "name": "file",
        "typed_config": {
            "@type": f"{EXTENSIONS}.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"json_format": LOG_FIELDS},
        },
    }


def _tracing() -> dict[str, Any]:
    return {
        "random_sampling": {"value": 0},
        "provider": {
            "name": "envoy.tracers.zipkin",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
                "collector_cluster": "zipkin",
                "collector_endpoint": "/api/v2/spans",
                "collector_endpoint_version": "HTTP_JSON",
                "trace_id_128bit": True,
                "shared_span_context": False,
            },
        },
    }


RETRY = {
    "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    "num_retries": 2,
    "host_selection_retry_max_attempts": "5",
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": f"{EXTENSIONS}.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            },
        }
    ],
}


def envoy_route(
    prefix: str,
    cluster: str = "app",
    host: str = "app.test",
    per_filter: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A route with Istio's defaults; `more` goes into its action, or beside it where Envoy has it there."""
    beside = {name: more.pop(name) for name in list(more) if name.endswith(("_to_add", "_to_remove"))}
    configs = {
        f"envoy.filters.http.{name}": {"@type": f"{EXTENSIONS}.filters.http.{name}.v3.{_PER_ROUTE[name]}", **config}
        for name, config in (per_filter or {}).items()
    }
    return {
        "match": {"prefix": prefix},
        "route": {"cluster": cluster, "timeout": "0s", "retry_policy": RETRY, **more},
        "decorator": {"operation": f"{host}:80{prefix}*"},
        "typed_per_filter_config": configs,
        **beside,
    }


_PER_ROUTE = {"fault": "HTTPFault", "cors": "CorsPolicy"}


def envoy_cluster(name: str, port: int, address: str = "127.0.0.1", **more: Any) -> dict[str, Any]:
    """A static cluster of one host."""
    endpoint = {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        **more,
    }


def start_envoy_side(start: Any, folder: Path, hosts: Sequence[Any], refusing: int = 9, **settings: Any) -> Side:
    """An Envoy with these virtual hosts; clusters are `app` and `sticky`, which are the upstream, and `refusing`."""
    upstream = Upstream()
    log = folder / "envoy-access.log"
    clusters = [
        envoy_cluster("app", upstream.port),
        envoy_cluster("sticky", upstream.port, lb_policy="RING_HASH"),
        envoy_cluster("zipkin", 9),
        envoy_cluster("refusing", refusing, "127.0.0.2"),
    ]
    envoy: Envoy = start(envoy_listeners(log, hosts, **settings), clusters)
    return Side(upstream, envoy.ports, log)


# pyproxy, with the documents that make Istio do the same


def start_our_side(
    folder: Path,
    documents: str,
    metadata: Mapping[str, str] | None = None,
    connections: Mapping[str, str] | None = None,
) -> tuple[Side, PyproxyProcess]:
    """A pyproxy with these documents; UPSTREAM in them is the upstream's port.

    `metadata` is proxyMetadata, `connections` connectionSettings.
    """
    upstream = Upstream()
    log = folder / "pyproxy-access.log"
    mesh = {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": "mesh"},
        "spec": {
            "meshConfig": {
                "accessLogFile": str(log),
                "accessLogEncoding": "JSON",
                "accessLogFormat": json.dumps(LOG_FIELDS),
                "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
                "defaultConfig": {
                    "tracing": {"sampling": 0},
                    "proxyMetadata": dict(metadata or {}),
                    "connectionSettings": dict(connections or {}),
                },
            }
        },
    }
    text = documents.replace("UPSTREAM", str(upstream.port)) + f"\n---\n{json.dumps(mesh)}\n"
    process = PyproxyProcess(folder / "pyproxy", text, "--app-address", "127.0.0.1")
    ports = {"outbound": process.outbound, "inbound": process.ports["virtualInbound"]}
    return Side(upstream, ports, log), process
