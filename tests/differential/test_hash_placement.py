"""Ring hash, Maglev and weighted round robin choose the hosts that a real Envoy chooses."""

from __future__ import annotations

import http.client
import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import xxhash

from pyproxy.core.http import RequestHead
from pyproxy.core.loop import SystemClock
from pyproxy.policy.balancing import Algorithm, LoadBalancing, build_balancer
from pyproxy.policy.hashing import HashKind, HashPolicy, request_hash
from tests.differential.envoy_process import EXTENSIONS, Envoy, Upstreams, http_listener, loopback

pytestmark = pytest.mark.integration

HOSTS = 7
KEYS = [f"user-{number}" for number in range(400)]


@dataclass(eq=False)
class Host:
    key: str
    weight: int = 1
    active: int = 0
    healthy: bool = True
    healthy_since: float = 0.0
    priority: int = 0
    locality: str = ""

    @property
    def port(self) -> int:
        return int(self.key.rpartition(":")[2])


@dataclass
class Case:
    """The same cluster for Envoy and for us. Hosts are given as (weight, healthy, priority, locality)."""

    envoy: Mapping[str, Any]
    ours: LoadBalancing
    hosts: Sequence[tuple[int, bool, int, str]]

    def cluster(self, name: str, ports: Sequence[int]) -> dict[str, Any]:
        weights = self.ours.locality_weights or {}
        groups = []
        numbered = [(*host, port) for host, port in zip(self.hosts, ports, strict=False)]
        ordered = sorted(numbered, key=lambda host: (host[2], host[3]))
        for (priority, locality), members in itertools.groupby(ordered, key=lambda host: (host[2], host[3])):
            group: dict[str, Any] = {"priority": priority, "lb_endpoints": [endpoint(*member) for member in members]}
            if locality:
                group["locality"] = {"region": locality}
                group["load_balancing_weight"] = weights.get(locality, 1)
            groups.append(group)
        return {
            "name": name,
            "connect_timeout": "5s",
            "type": "STATIC",
            "load_assignment": {"cluster_name": name, "endpoints": groups},
            **self.envoy,
        }

    def our_hosts(self, ports: Sequence[int]) -> list[Host]:
        return [
            Host(f"127.0.0.1:{port}", weight, 0, healthy, 0.0, priority, locality)
            for (weight, healthy, priority, locality), port in zip(self.hosts, ports, strict=False)
        ]


def endpoint(weight: int, healthy: bool, priority: int, locality: str, port: int) -> dict[str, Any]:
    return {
        "endpoint": {"address": loopback(port)},
        "load_balancing_weight": weight,
        "health_status": "HEALTHY" if healthy else "UNHEALTHY",
    }


def equal(count: int) -> list[tuple[int, bool, int, str]]:
    return [(1, True, 0, "")] * count


def weighted(*weights: int) -> list[tuple[int, bool, int, str]]:
    return [(weight, True, 0, "") for weight in weights]


def ring(size: int = 1024, **common: Any) -> dict[str, Any]:
    return {
        "lb_policy": "RING_HASH",
        "ring_hash_lb_config": {"minimum_ring_size": size},
        "common_lb_config": common,
    }


def maglev(size: int = 65537, **common: Any) -> dict[str, Any]:
    return {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": size}, "common_lb_config": common}


def ours(algorithm: Algorithm, **settings: Any) -> LoadBalancing:
    return LoadBalancing(algorithm, **settings)


PARTLY_DOWN = [(1, True, 0, ""), (1, False, 0, ""), (2, False, 0, ""), (1, False, 0, ""), (1, True, 1, "")] + [
    (3, True, 1, "")
] * 2
MOSTLY_DOWN = [(1, True, 0, ""), (1, False, 0, ""), (2, False, 0, ""), (1, False, 0, "")]
PLACES = [(1, True, 0, "east"), (3, True, 0, "east"), (1, True, 0, "west"), (1, False, 0, "west"), (2, True, 0, "mid")]
SHARES = {"east": 70, "west": 20, "mid": 10}
NO_PANIC = {"healthy_panic_threshold": {"value": 0}}
BY_PLACE = {"locality_weighted_lb_config": {}}

CASES = {
    "ring-equal": Case(ring(), ours(Algorithm.RING_HASH), equal(3)),
    "ring-seven": Case(ring(), ours(Algorithm.RING_HASH), equal(7)),
    "ring-one": Case(ring(), ours(Algorithm.RING_HASH), equal(1)),
    "ring-small": Case(ring(7), ours(Algorithm.RING_HASH, ring_minimum_size=7), equal(5)),
    "ring-weights": Case(ring(), ours(Algorithm.RING_HASH), weighted(1, 2, 3, 10)),
    "ring-uneven": Case(ring(100), ours(Algorithm.RING_HASH, ring_minimum_size=100), weighted(17, 5, 23)),
    "ring-down": Case(ring(**NO_PANIC), ours(Algorithm.RING_HASH, panic_threshold=0), MOSTLY_DOWN),
    "ring-panic": Case(ring(), ours(Algorithm.RING_HASH), MOSTLY_DOWN),
    "ring-levels": Case(ring(), ours(Algorithm.RING_HASH), PARTLY_DOWN),
    "ring-places": Case(ring(**BY_PLACE), ours(Algorithm.RING_HASH, locality_weights=SHARES), PLACES),
    "maglev-equal": Case(maglev(), ours(Algorithm.MAGLEV), equal(3)),
    "maglev-seven": Case(maglev(), ours(Algorithm.MAGLEV), equal(7)),
    "maglev-small": Case(maglev(101), ours(Algorithm.MAGLEV, maglev_table_size=101), equal(5)),
    "maglev-weights": Case(maglev(), ours(Algorithm.MAGLEV), weighted(1, 2, 3, 10)),
    "maglev-uneven": Case(maglev(1009), ours(Algorithm.MAGLEV, maglev_table_size=1009), weighted(17, 5, 23)),
    "maglev-levels": Case(maglev(), ours(Algorithm.MAGLEV), PARTLY_DOWN),
    "maglev-places": Case(maglev(**BY_PLACE), ours(Algorithm.MAGLEV, locality_weights=SHARES), PLACES),
}
TURNS = {
    "turns-123": weighted(1, 2, 3),
    "turns-5-1-1": weighted(5, 1, 1),
    "turns-25-75": weighted(25, 75),
    "turns-17-5-23-2": weighted(17, 5, 23, 2),
    "turns-equal": equal(3),
}

TURNS_BY_PLACE = Case(
    {"lb_policy": "ROUND_ROBIN", "common_lb_config": BY_PLACE},
    LoadBalancing(Algorithm.ROUND_ROBIN, locality_weights={"east": 29, "mid": 5, "west": 17}),
    [(1, True, 0, "east")] * 3 + [(1, True, 0, "mid"), (1, False, 0, "mid")] + [(1, True, 0, "west")] * 2,
)


def by_header() -> list[dict[str, Any]]:
    return [{"header": {"header_name": "x-key"}}]


def route(prefix: str, hash_policy: Sequence[Any], **action: Any) -> dict[str, Any]:
    return {
        "match": {"prefix": prefix},
        "route": {"cluster_header": "x-cluster", "hash_policy": hash_policy, **action},
    }


PREVIOUS_HOSTS = {
    "name": "envoy.retry_host_predicates.previous_hosts",
    "typed_config": {"@type": f"{EXTENSIONS}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
}
ROUTES = [
    route("/query", [{"query_parameter": {"name": "key"}}]),
    route("/address", [{"connection_properties": {"source_ip": True}}]),
    route("/two", [*by_header(), {"query_parameter": {"name": "key"}}]),
    route("/cookie", [{"cookie": {"name": "sticky", "path": "/shop", "ttl": "90s"}}]),
    route(
        "/session", [{"cookie": {"name": "sticky", "ttl": "0s", "attributes": [{"name": "SameSite", "value": "Lax"}]}}]
    ),
    route(
        "/retry",
        by_header(),
        retry_policy={
            "retry_on": "5xx",
            "num_retries": 3,
            "retry_back_off": {"base_interval": "0.001s"},
            "host_selection_retry_max_attempts": 5,
            "retry_host_predicate": [PREVIOUS_HOSTS],
        },
    ),
    route("/", by_header()),
]


class Side:
    """Envoy, asked over one kept connection."""

    def __init__(self, envoy: Envoy, upstreams: Upstreams) -> None:
        self.upstreams = upstreams
        self.port = envoy.ports["all"]
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        self.connection.connect()

    @property
    def own_port(self) -> int:
        return int(self.connection.sock.getsockname()[1])

    def ask(self, cluster: str, path: str = "/", headers: Sequence[tuple[str, str]] = ()) -> http.client.HTTPResponse:
        self.connection.putrequest("GET", path)
        for name, value in [("x-cluster", cluster), *headers]:
            self.connection.putheader(name, value)
        self.connection.endheaders()
        response = self.connection.getresponse()
        response.read()
        return response

    def chosen(self, cluster: str, path: str = "/", headers: Sequence[tuple[str, str]] = ()) -> int:
        """The port of the host that answered."""
        response = self.ask(cluster, path, headers)
        assert response.status == 200, response.status
        return int(response.headers["x-who"])


@pytest.fixture(scope="module")
def side(start_envoy: Callable[..., Envoy], start_upstreams: Callable[[int], Upstreams]) -> Iterator[Side]:
    upstreams = start_upstreams(HOSTS)
    clusters = [case.cluster(name, upstreams.ports) for name, case in CASES.items()]
    clusters.append(TURNS_BY_PLACE.cluster("turns-places", upstreams.ports))
    for name, hosts in TURNS.items():
        clusters.append(Case({"lb_policy": "ROUND_ROBIN"}, LoadBalancing(), hosts).cluster(name, upstreams.ports))
    found = Side(start_envoy([http_listener("all", ROUTES)], clusters), upstreams)
    yield found
    found.connection.close()


def hash_of(policies: Sequence[HashPolicy], target: bytes = b"/", headers: Sequence[tuple[bytes, bytes]] = ()) -> int:
    value, cookies = request_hash(policies, RequestHead(b"GET", target, b"x", list(headers)), b"127.0.0.1", b"")
    assert value is not None
    assert cookies == ()
    return value


def place(case: Case, ports: Sequence[int], hashes: Sequence[int]) -> list[int]:
    balancer = build_balancer(case.ours, case.our_hosts(ports), random.Random(0), SystemClock())
    found = [balancer.pick(value) for value in hashes]
    return [0 if host is None else host.port for host in found]


HEADER = HashPolicy(HashKind.HEADER, b"x-key")
QUERY = HashPolicy(HashKind.QUERY, b"key")


@pytest.mark.parametrize("name", CASES)
def test_every_key_meets_the_host_that_envoy_gives_it(name: str, side: Side) -> None:
    case = CASES[name]
    theirs = [side.chosen(name, headers=[("x-key", key)]) for key in KEYS]

    mine = place(case, side.upstreams.ports, [hash_of([HEADER], headers=[(b"x-key", key.encode())]) for key in KEYS])

    assert mine == theirs


def test_values_of_a_repeated_header_are_hashed_in_order_of_value(side: Side) -> None:
    case = CASES["ring-seven"]
    pairs = [(f"b{number}", f"a{number * 7}") for number in range(60)]
    theirs = [side.chosen("ring-seven", headers=[("x-key", one), ("x-key", two)]) for one, two in pairs]

    mine = place(
        case,
        side.upstreams.ports,
        [hash_of([HEADER], headers=[(b"x-key", one.encode()), (b"x-key", two.encode())]) for one, two in pairs],
    )

    assert mine == theirs


@pytest.mark.parametrize("query", ["key={}", "a=1&key={}&key=other", "key={}%20x", "key", "key=", "x=y&key&z"])
def test_a_query_parameter_is_hashed_as_it_is_written(query: str, side: Side) -> None:
    targets = ["/query?" + query.format(number) for number in range(20)]
    theirs = [side.chosen("maglev-seven", target) for target in targets]

    mine = place(CASES["maglev-seven"], side.upstreams.ports, [hash_of([QUERY], target.encode()) for target in targets])

    assert mine == theirs


def test_the_source_address_is_hashed_without_its_port(side: Side) -> None:
    theirs = side.chosen("ring-seven", "/address")

    mine = place(CASES["ring-seven"], side.upstreams.ports, [hash_of([HashPolicy(HashKind.SOURCE_IP)])])

    assert mine == [theirs]


def test_two_policies_make_one_hash(side: Side) -> None:
    asked = [(f"/two?key={number}", f"user-{number % 5}") for number in range(60)]
    theirs = [side.chosen("ring-seven", target, [("x-key", key)]) for target, key in asked]

    hashes = [hash_of([HEADER, QUERY], target.encode(), [(b"x-key", key.encode())]) for target, key in asked]

    assert place(CASES["ring-seven"], side.upstreams.ports, hashes) == theirs


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        ("/cookie", HashPolicy(HashKind.COOKIE, b"sticky", "/shop", 90.0)),
        ("/session", HashPolicy(HashKind.COOKIE, b"sticky", "", 0.0, (("SameSite", "Lax"),))),
    ],
)
def test_a_cookie_that_is_missing_is_made_as_envoy_makes_it(path: str, policy: HashPolicy, side: Side) -> None:
    response = side.ask("ring-seven", path)

    ends = f"127.0.0.1:{side.own_port}127.0.0.1:{side.port}".encode()
    value, cookies = request_hash([policy], RequestHead(b"GET", path.encode(), b"x", []), b"127.0.0.1", ends)

    assert [cookie.decode() for cookie in cookies] == response.headers.get_all("set-cookie")
    assert value is not None
    assert place(CASES["ring-seven"], side.upstreams.ports, [value]) == [int(response.headers["x-who"])]


@pytest.mark.parametrize(
    "cookie",
    [
        "sticky=abc",
        'a=b; sticky="abc"',
        "sticky=abc; sticky=other",
        "malformed; sticky=a=b",
        " sticky = x",
        "sticky=  x ",
    ],
)
def test_a_cookie_that_is_there_is_read_as_envoy_reads_it(cookie: str, side: Side) -> None:
    response = side.ask("maglev-seven", "/cookie", [("cookie", cookie)])

    policy = HashPolicy(HashKind.COOKIE, b"sticky", "/shop", 90.0)
    ends = f"127.0.0.1:{side.own_port}127.0.0.1:{side.port}".encode()
    head = RequestHead(b"GET", b"/cookie", b"x", [(b"cookie", cookie.strip().encode())])
    value, cookies = request_hash([policy], head, b"127.0.0.1", ends)

    assert value is not None
    assert [cookie.decode() for cookie in cookies] == (response.headers.get_all("set-cookie") or [])
    assert place(CASES["maglev-seven"], side.upstreams.ports, [value]) == [int(response.headers["x-who"])]


@pytest.mark.parametrize("name", ["ring-seven", "ring-weights", "ring-small", "maglev-seven", "maglev-weights"])
def test_retries_that_avoid_hosts_meet_the_same_ones_in_the_same_order(name: str, side: Side) -> None:
    ports = side.upstreams.ports
    for key in KEYS[:40]:
        side.upstreams.seen.clear()
        side.ask(name, "/retry", [("x-key", key), ("x-status", "503")])
        theirs = [port for port, _ in side.upstreams.seen]

        balancer = build_balancer(CASES[name].ours, CASES[name].our_hosts(ports), random.Random(0), SystemClock())
        value = xxhash.xxh64_intdigest(key.encode())
        tried: list[Host] = []
        for _ in theirs:
            host = balancer.pick(value, tried)
            assert host is not None
            tried.append(host)

        assert [host.port for host in tried] == theirs


@pytest.mark.parametrize("name", TURNS)
def test_round_robin_takes_the_turns_that_envoy_takes(name: str, side: Side) -> None:
    hosts = TURNS[name]
    rounds = 2 * sum(weight for weight, *_ in hosts) + 6
    theirs = [side.chosen(name) for _ in range(rounds)]

    case = Case({}, LoadBalancing(Algorithm.ROUND_ROBIN), hosts)

    def ours_from(start: int) -> list[int]:
        balancer = build_balancer(case.ours, case.our_hosts(side.upstreams.ports), FixedBits(start), SystemClock())
        return [host.port for _ in range(rounds) if (host := balancer.pick()) is not None]

    # Envoy starts after a random number of turns, and rounding there decides which of two equal deadlines is first.
    far = random.Random(1)
    starts = itertools.chain(
        range(200), (base + turn for base in (far.randrange(400_000_000) for _ in range(500)) for turn in range(48))
    )
    assert any(ours_from(start) == theirs for start in starts)


def test_localities_take_the_turns_that_envoy_gives_them(side: Side) -> None:
    theirs = [side.chosen("turns-places") for _ in range(40)]

    def ours_from(start: int, locality_start: int) -> list[int]:
        bits = FixedBits(start, locality_start)
        hosts = TURNS_BY_PLACE.our_hosts(side.upstreams.ports)
        balancer = build_balancer(TURNS_BY_PLACE.ours, hosts, bits, SystemClock())
        return [host.port for _ in theirs if (host := balancer.pick()) is not None]

    far = random.Random(1)
    bases = itertools.chain([0], (far.randrange(400_000_000) for _ in range(40)))
    assert any(ours_from(start, base + turn) == theirs for base in bases for start in range(6) for turn in range(50))


class FixedBits(random.Random):
    """Starts every schedule after so many turns, that of localities after others."""

    def __init__(self, bits: int, locality_bits: int = 0) -> None:
        super().__init__(0)
        self._bits = {64: bits, 32: locality_bits}

    def getrandbits(self, k: int, /) -> int:
        return self._bits[k]
