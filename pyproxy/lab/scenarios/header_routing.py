"""A route by a header, and the trap of the order of routes."""

from pyproxy.lab.load import Kind, Load
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.scenarios.documents import VERSIONS, virtual_service

_TESTER = """
- name: tester
  match:
    - headers:
        end-user: {exact: jason}
  route:
    - destination: {host: reviews, subset: v2}
"""
_EVERYBODY = """
- name: everybody
  route:
    - destination: {host: reviews, subset: v1}
"""
_LOAD = Load("reviews", 40, kinds=(Kind("jason", (("end-user", "jason"),), 0.4), Kind("anonymous", (), 0.6)))

SCENARIO = Scenario(
    name="header-routing",
    title="Route by a header",
    teaches="Routes are tried from top to bottom, and the first that fits is taken.",
    question="Put the route for everybody above the one for jason. Which version does jason get?",
    because="The first route that fits wins. A route without a match fits everybody, so what stands below it is "
    "never reached; pyproxy analyze says so (IST0130).",
    steps=(
        Step(
            title="the tester's route first",
            documents={
                "reviews.yaml": virtual_service("reviews", _TESTER + _EVERYBODY, "jason is our tester: he gets v2.")
                + VERSIONS
            },
            loads=(_LOAD,),
            watch=("curl -s -H 'Host: reviews' -H 'end-user: jason' http://127.0.1.1:15001/reviews/0",),
            checks=(
                Check(
                    "jason's answers from v2", lambda m: m.met.version_share("v2", "jason"), 1, 1, "tester goes first"
                ),
                Check("the others' from v1", lambda m: m.met.version_share("v1", "anonymous"), 1, 1, "everybody: v1"),
            ),
        ),
        Step(
            title="the route for everybody first",
            documents={
                "reviews.yaml": virtual_service("reviews", _EVERYBODY + _TESTER, "The same routes the other way round.")
                + VERSIONS
            },
            loads=(_LOAD,),
            watch=("pyproxy lab status",),
            checks=(
                Check("jason's answers from v2", lambda m: m.met.version_share("v2", "jason"), 0, 0, "everybody first"),
                Check("jason's answers from v1", lambda m: m.met.version_share("v1", "jason"), 1, 1, "everybody first"),
            ),
        ),
    ),
)
