"""Every case of h2spec, over a socket: what pyproxy answers, and that it gives the reason where it refuses.

h2spec takes a closed connection for an error; here the frame must come that says which. The sections that h2spec has
no case for (3.2's upgrade, 6.6, 9) are those where it has none itself. `tests/differential/test_h2spec_like_envoy.py`
plays the same to a real Envoy.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.h2spec import BODY, CASES, Client
from tests.peers import Upstream, answer_with
from tests.pyproxy_process import PyproxyProcess

pytestmark = pytest.mark.integration

OTHERWISE = {
    "http2/3.5/2": "HTTP/1.1 400",  # the port takes HTTP/1.1 too, and answers in it what is no preface; so does Envoy
    "http2/5.1/12": "GOAWAY PROTOCOL_ERROR",  # of a stream that is over nothing is kept: its number is one too low
}
SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: app}}
spec:
  hosts: [app.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a proxy before an upstream that answers with a body."""
    upstream = Upstream()
    upstream.answer = answer_with(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY))
    proxy = PyproxyProcess(tmp_path_factory.mktemp("h2spec") / "proxy", SERVICE.format(port=upstream.port))
    yield proxy.outbound
    proxy.close()
    upstream.close()


@pytest.mark.parametrize("name", CASES, ids=[f"{name} {case.what}" for name, case in CASES.items()])
def test_a_case_of_h2spec(name: str, port: int) -> None:
    case = CASES[name]
    client = Client(port)
    assert client.play(case, frozenset({OTHERWISE[name]}) if name in OTHERWISE else case.wanted, 20), client.events


def test_the_list_is_whole() -> None:
    """147 cases, of which `h2spec --strict --dryrun` prints as many."""
    groups = [name.partition("/")[0] for name in CASES]
    assert {group: groups.count(group) for group in groups} == {"generic": 44, "http2": 95, "hpack": 8}
