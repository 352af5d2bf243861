"""A trace that falls to pieces because one program does not pass the headers on."""

import re

from pyproxy.lab.load import Load
from pyproxy.lab.scenario import Check, Measured, Scenario, Step

_LOG = {
    "mesh.yaml": """\
# Every sidecar writes a line for each request, with its identifier.
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata:
  name: bookshop
  namespace: istio-system
spec:
  meshConfig:
    accessLogFile: /dev/stdout
    accessLogFormat: |
      request %REQ(X-REQUEST-ID)% %REQ(:METHOD)% %PATH% %RESPONSE_CODE%
    outboundTrafficPolicy:
      mode: ALLOW_ANY
"""
}
_LINE = re.compile(r"^request (\S+) GET (\S+)", re.MULTILINE)


def _followed(measured: Measured) -> float:
    """How many of the requests at ratings have an identifier that the gateway gave.

    Each proxy writes its log once a second, so the first and the last of one may be missing in the other.
    """
    given = {identifier for identifier, _ in _LINE.findall(measured.logs["gateway"])}
    arrived = [identifier for identifier, _ in _LINE.findall(measured.logs["ratings-v1"])]
    middle = arrived[len(arrived) // 4 : -len(arrived) // 4]
    return sum(identifier in given for identifier in middle) / len(middle)


_LOADS = (Load("page", 15),)

SCENARIO = Scenario(
    name="lost-trace",
    title="A lost trace",
    teaches="A sidecar sees one request at a time: only the program can say which request it made because of which.",
    question="reviews forgets the headers of the request when it asks ratings. What can you still find by a "
    "request's id?",
    because="The gateway gives an id, and each sidecar passes it on in one direction only. Between the request that "
    "came in and the one that goes out stands the program: when it forgets the headers, the sidecar must "
    "begin a new trace.",
    steps=(
        Step(
            title="every program passes the headers on",
            documents=_LOG,
            loads=_LOADS,
            settle=1.5,
            seconds=6,
            watch=("tail -3 ~/bookshop/.lab/logs/ratings-v1.log",),
            checks=(
                Check("requests at ratings with the gateway's id", _followed, 0.85, 1, "mesh.yaml has the access log"),
            ),
        ),
        Step(
            title="reviews forgets them",
            documents=_LOG,
            knobs={"reviews-v2": {"forget_headers": True}, "reviews-v3": {"forget_headers": True}},
            loads=_LOADS,
            settle=1.5,
            seconds=6,
            checks=(
                Check("requests at ratings with the gateway's id", _followed, 0, 0.05, "the knob of reviews is turned"),
                Check(
                    "pages that came", lambda m: m.met.share(200), 0.99, 1, "nobody notices but who looks for a trace"
                ),
            ),
        ),
    ),
)
