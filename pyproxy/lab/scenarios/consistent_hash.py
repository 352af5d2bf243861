"""Consistent hash: the same user meets the same replica, and popular users make busy replicas."""

from pyproxy.lab.load import Kind, Load
from pyproxy.lab.scenario import Check, Measured, Scenario, Step
from pyproxy.lab.scenarios.documents import ANY_REPLICA, destination_rule, virtual_service

USERS = tuple(Kind(f"user-{n}", (("end-user", f"user-{n}"),)) for n in range(12))


def _stuck(measured: Measured) -> float:
    """How many of the users met one version only, of those with more than one answer."""
    met: dict[str, set[str]] = {}
    for label, version in measured.met.versions:
        met.setdefault(label, set()).add(version)
    return sum(len(versions) == 1 for versions in met.values()) / len(met)


def _busiest(measured: Measured) -> float:
    shares = [measured.met.version_share(version) for version in ("v1", "v2", "v3")]
    return max(shares)


def _documents(balancer: str, comment: str) -> dict[str, str]:
    rule = destination_rule("reviews", f"loadBalancer:\n{balancer}")
    return {"reviews.yaml": virtual_service("reviews", ANY_REPLICA, comment) + "---\n" + rule}


SCENARIO = Scenario(
    name="consistent-hash",
    title="Stick to a replica",
    teaches="Sticky sessions by a hash, without a table of sessions; and the skew that they bring.",
    question="Twelve equally busy users, three replicas, a hash of the user's name: does each replica get four users?",
    because="The hash decides, not fairness: each user stays where the ring puts the name. A few busy keys make a "
    "busy replica, which round robin would not.",
    steps=(
        Step(
            title="round robin: nobody sticks",
            documents=_documents("  simple: ROUND_ROBIN", "Three replicas of reviews, one after the other."),
            loads=(Load("reviews", 40, kinds=USERS),),
            checks=(
                Check("users with one version only", _stuck, 0, 0.1, "loadBalancer is simple: ROUND_ROBIN here"),
                Check("share of the busiest", _busiest, 0.32, 0.36, "one after the other: a third each"),
            ),
        ),
        Step(
            title="a hash of end-user: everybody sticks",
            documents=_documents(
                "  consistentHash:\n    httpHeaderName: end-user\n    ringHash: {minimumRingSize: 1024}",
                "Three replicas of reviews; the user's name decides which.",
            ),
            loads=(Load("reviews", 40, kinds=USERS),),
            watch=("curl -s -H 'Host: reviews' -H 'end-user: user-1' http://127.0.1.1:15001/reviews/0",),
            checks=(
                Check("users with one version only", _stuck, 1, 1, "consistentHash.httpHeaderName is end-user"),
                Check("share of the busiest", _busiest, 0.34, 0.85, "twelve names never fall evenly on three"),
            ),
        ),
    ),
)
