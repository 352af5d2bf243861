"""What is measured: the traffic of each scenario and the mesh that it goes through, in no proxy's own language.

`documents.py` says the same mesh to pyproxy, `envoy.py` to Envoy, and command-line arguments to the baselines.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HOST = "reviews.bench"
SERVICE_PORT = 9080
MATCH_HEADER = ("end-user", "jason")
APPLICATION_HEADERS = (
    ("user-agent", "Go-http-client/1.1"),
    ("accept", "application/json"),
    ("accept-encoding", "gzip"),
)
"""What a Go service's own request looks like; nobody sends a bare request line."""


@dataclass(frozen=True)
class Mesh:
    """One service with two subsets, and how its requests are routed."""

    split: tuple[tuple[str, int], ...]
    """(subset, weight) of the route in question."""
    header_match: tuple[str, str] | None = None
    """The route in question asks for this header; everything else goes to the first subset."""
    extra_hosts: int = 0
    """So many more services with a virtual host each, whose route leads to the one service: connections stay few."""

    def hosts(self) -> list[str]:
        """The names of the extra hosts."""
        return [f"svc-{number:05}.bench" for number in range(self.extra_hosts)]


@dataclass(frozen=True)
class Load:
    """What wrk sends."""

    connections: int = 50
    path: str = "/"
    body: int = 0
    """Bytes of request body; more than none makes it a POST."""
    keep_alive: bool = True


@dataclass(frozen=True)
class Scenario:
    """One row group of the table."""

    name: str
    about: str
    mesh: Mesh
    load: Load = field(default_factory=Load)
    floors: bool = False
    """Whether the copy and parse baselines say anything here."""


ROUTED = Mesh(split=(("v1", 90), ("v2", 10)), header_match=MATCH_HEADER)
PLAIN = Mesh(split=(("v1", 1),))

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "routing",
            "small keep-alive GETs through a header match and a 90/10 split; metrics and trace headers on",
            ROUTED,
            floors=True,
        ),
        Scenario("plain", "small keep-alive GETs, one route", PLAIN, floors=True),
        Scenario("post-1k", "POST with a body of 1 KiB, routed as in routing", ROUTED, Load(body=1024)),
        Scenario("response-64k", "GET with a response of 64 KiB, routed as in routing", ROUTED, Load(path="/64k")),
        Scenario(
            "many-hosts",
            "small keep-alive GETs spread over 10,000 virtual hosts",
            Mesh(split=(("v1", 1),), extra_hosts=10_000),
        ),
        Scenario("connections", "a connection for each request, routed as in routing", ROUTED, Load(keep_alive=False)),
    )
}
GIBIBYTE = 1 << 30
LARGE_BODY = Scenario("large-body", "1 GiB each way past a reader that pauses: growth of resident memory", PLAIN)
