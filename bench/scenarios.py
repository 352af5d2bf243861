"""What is measured: the traffic of each scenario and the mesh that it goes through, in no proxy's own language.

`documents.py` says the same mesh to pyproxy, `envoy.py` to Envoy, and command-line arguments to the baselines.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

HOST = "reviews.bench"
SERVICE_PORT = 9080
MATCH_HEADER = ("end-user", "jason")
APPLICATION_HEADERS = (
    ("user-agent", "Go-http-client/1.1"),
    ("accept", "application/json"),
    ("accept-encoding", "gzip"),
)
"""What a Go service's own request looks like; nobody sends a bare request line."""
MESH_PROXIES = ("envoy", "pyproxy", "aiohttp")
WITH_FLOORS = ("envoy", "pyproxy", "uncompiled", "aiohttp", "parse", "copy")
"""`uncompiled` is pyproxy in plain Python; parse and copy are floors, which not every scenario can have."""
WITH_POLICIES = ("envoy", "pyproxy")
"""Those that can retry, eject and inject faults."""
WORKERS = ("1 worker", "2 workers")
"""pyproxy with one worker process, and with two."""
WITHOUT_RULES = "no rules"
"""pyproxy without the scenario's AuthorizationPolicy."""
WATCHED = ("alone", "watched")
"""One and the same pyproxy, without a console and with one."""


@dataclass(frozen=True)
class Retries:
    """How often a request is tried again."""

    attempts: int
    on: str
    """Istio's `retryOn`: words, or the one status 503."""


@dataclass(frozen=True)
class Guards:
    """Ceilings, outlier detection and faults that are all there to be looked at and never act, or hardly."""

    ceiling: int
    """Of connections, pending and running requests, and retries."""
    errors: int
    """In a row until an endpoint is ejected."""
    fault_percent: float
    """Of the requests, for a delay and for an abort."""


@dataclass(frozen=True)
class Mesh:
    """One service with two subsets, and how its requests are routed."""

    split: tuple[tuple[str, int], ...]
    """(subset, weight) of the route in question."""
    header_match: tuple[str, str] | None = None
    """The route in question asks for this header; everything else goes to the first subset."""
    extra_hosts: int = 0
    """So many more services with a virtual host each, whose route leads to the one service: connections stay few."""
    retries: Retries | None = None
    """Of every route; None leaves Istio's default."""
    guards: Guards | None = None
    failing: int = 0
    """So many percent of the requests are answered with 503 by the service."""
    mutual_tls: bool = False
    """Outbound: the service asks for it and gets it. Inbound: the proxy takes nothing else."""
    inbound: bool = False
    """The proxy stands before the service, not before its client; there is no route to choose."""
    tcp: bool = False
    """The port says TCP: bytes are passed on, and nobody looks at requests."""
    http2: bool = False
    """The service speaks HTTP/2."""
    rules: int = 0
    """Of an ALLOW AuthorizationPolicy before the service; only the last lets the load through."""
    tokens: bool = False
    """Each request must bring a JSON Web Token, which the proxy before the service verifies."""

    def hosts(self) -> list[str]:
        """The names of the extra hosts."""
        return [f"svc-{number:05}.bench" for number in range(self.extra_hosts)]


@dataclass(frozen=True)
class Load:
    """What wrk sends; h2load where it is HTTP/2."""

    connections: int = 50
    path: str = "/"
    body: int = 0
    """Bytes of request body; more than none makes it a POST."""
    keep_alive: bool = True
    streams: int = 0
    """At once on each connection, over HTTP/2; 0 is HTTP/1.1."""
    grpc: bool = False
    """Each request is a unary call."""
    paths: int = 1
    """Each request takes the next of so many paths: `path`, or `path` and a number."""


@dataclass(frozen=True)
class Scenario:
    """One row group of the table."""

    name: str
    about: str
    mesh: Mesh
    load: Load = field(default_factory=Load)
    proxies: tuple[str, ...] = MESH_PROXIES
    """Those that it says anything about, in the order in which a round measures them."""
    reference: str = "envoy"
    """What the others are compared with."""
    digits: int = 2
    """Of the ratios."""


ROUTED = Mesh(split=(("v1", 90), ("v2", 10)), header_match=MATCH_HEADER)
PLAIN = Mesh(split=(("v1", 1),))
GUARDED = replace(
    ROUTED,
    retries=Retries(3, "5xx,connect-failure,reset"),
    guards=Guards(ceiling=1024, errors=5, fault_percent=0.0001),
)
FAILING = replace(ROUTED, retries=Retries(3, "503"), failing=20)
INBOUND = Mesh(split=(("v1", 1),), inbound=True)

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "routing",
            "small keep-alive GETs through a header match and a 90/10 split; metrics and trace headers on",
            ROUTED,
            proxies=WITH_FLOORS,
        ),
        Scenario("plain", "small keep-alive GETs, one route", PLAIN, proxies=WITH_FLOORS),
        Scenario("post-1k", "POST with a body of 1 KiB, routed as in routing", ROUTED, Load(body=1024)),
        Scenario("response-64k", "GET with a response of 64 KiB, routed as in routing", ROUTED, Load(path="/64k")),
        Scenario(
            "many-hosts",
            "small keep-alive GETs spread over 10,000 virtual hosts",
            Mesh(split=(("v1", 1),), extra_hosts=10_000),
        ),
        Scenario("connections", "a connection for each request, routed as in routing", ROUTED, Load(keep_alive=False)),
        Scenario(
            "policies",
            "as routing, with retries, connection ceilings, outlier detection and one-in-a-million faults, all idle",
            GUARDED,
            proxies=WITH_POLICIES,
        ),
        Scenario(
            "retries",
            "as routing; 20% of the answers are 503, with 3 retries on it: 0.16% remain, and are counted as errors",
            FAILING,
            Load(connections=200),
            proxies=WITH_POLICIES,
        ),
        Scenario(
            "workers",
            "as routing; pyproxy --workers 2 beside --workers 1",
            ROUTED,
            proxies=WORKERS,
            reference=WORKERS[0],
        ),
        Scenario(
            "console",
            "small keep-alive GETs spread over 20 services; one pyproxy, without and with a console that looks at it",
            Mesh(split=(("v1", 1),), extra_hosts=20),
            proxies=WATCHED,
            reference=WATCHED[0],
            digits=3,
        ),
        Scenario(
            "workers-tokens",
            "as tokens; pyproxy --workers 2 beside --workers 1",
            replace(INBOUND, tokens=True),
            proxies=WORKERS,
            reference=WORKERS[0],
        ),
        Scenario(
            "mutual-tls",
            "as routing, plaintext from wrk and mutual TLS 1.3 with SPIFFE identities to nginx, kept alive",
            replace(ROUTED, mutual_tls=True),
            proxies=WITH_POLICIES,
        ),
        Scenario(
            "mutual-tls-inbound",
            "STRICT mutual TLS 1.3 from tlsload, kept alive, plaintext to nginx beside the proxy",
            replace(INBOUND, mutual_tls=True),
            proxies=WITH_POLICIES,
        ),
        Scenario(
            "handshakes",
            "as mutual-tls-inbound, a full handshake for each request",
            replace(INBOUND, mutual_tls=True),
            Load(connections=16, keep_alive=False),
            proxies=WITH_POLICIES,
        ),
        Scenario(
            "authorization",
            "inbound, 500 paths; an ALLOW policy of 200 rules whose last one matches",
            replace(INBOUND, rules=200),
            Load(path="/item/", paths=500),
            proxies=(WITHOUT_RULES, "pyproxy", "envoy"),
            reference=WITHOUT_RULES,
        ),
        Scenario(
            "tokens",
            "inbound; each request brings one of 5,000 tokens (RS256), which is verified",
            replace(INBOUND, tokens=True),
            proxies=WITH_POLICIES,
        ),
        Scenario(
            "http2-to-http1",
            "HTTP/2 from h2load, 10 connections with 10 streams each, HTTP/1.1 to nginx; routed as in routing",
            ROUTED,
            Load(connections=10, streams=10),
            proxies=WITH_POLICIES,
        ),
        Scenario(
            "http2",
            "HTTP/2 on both sides, as http2-to-http1",
            replace(ROUTED, http2=True),
            Load(connections=10, streams=10),
            proxies=WITH_POLICIES,
        ),
        Scenario(
            "grpc",
            "unary gRPC calls of 32 bytes each way, HTTP/2 on both sides, as http2-to-http1",
            replace(ROUTED, http2=True),
            Load(path="/grpc", connections=10, streams=10, grpc=True),
            proxies=WITH_POLICIES,
        ),
        Scenario(
            "tcp",
            "a TCP port; responses of 16 MiB from nginx on 8 connections: a request is 16 MiB of bytes passed on",
            replace(PLAIN, tcp=True),
            Load(connections=8, path="/16m"),
            proxies=WITH_POLICIES,
        ),
        Scenario(
            "tcp-small",
            "a TCP port; small keep-alive GETs, passed on as bytes",
            replace(PLAIN, tcp=True),
            proxies=WITH_POLICIES,
        ),
    )
}
GIBIBYTE = 1 << 30
LARGE_BODY = Scenario("large-body", "1 GiB each way past a reader that pauses: growth of resident memory", PLAIN)
