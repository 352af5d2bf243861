"""CONNECT to an Envoy as Istio sets it up, with no upgrade but websocket's and no extended CONNECT, and to pyproxy.

Istio tunnels nothing for a workload. What pyproxy adds is CONNECT on the HTTP proxy port, in HTTP/1.1 (decision 6), and
extended CONNECT for WebSocket (decision 29).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.differential.envoy_process import Envoy
from tests.differential.http1_sides import Case, Side, start_envoy_side, start_our_side
from tests.differential.http2_sides import PSEUDO, Case2, Http2Side, request
from tests.differential.test_http1_like_envoy import DOCUMENTS, HOSTS
from tests.peers import RawClient

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

OLD = Case(b"CONNECT app.test:80 HTTP/1.1\r\nhost: app.test:80\r\n\r\n")
NEW = Case2((request(pseudo=[(b":method", b"CONNECT"), (b":authority", b"app.test:80")], end=False),))
SOCKET = Case2((request(pseudo=[(b":method", b"CONNECT"), (b":protocol", b"websocket"), *PSEUDO[1:]], end=False),))
Sides = tuple[Side, Side, Side]


@pytest.fixture(scope="module")
def sides(start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """Envoy; pyproxy; pyproxy with its HTTP proxy port in place of the outbound one."""
    folder = tmp_path_factory.mktemp("connect")
    theirs = start_envoy_side(start_envoy, folder, HOSTS, http_protocol_options={"allow_absolute_url": True})
    ours, process = start_our_side(folder, DOCUMENTS.replace("REFUSING", "9"))
    proxy_port = {"outbound": process.ports["http_proxy"], "inbound": process.ports["virtualInbound"]}
    yield theirs, ours, Side(ours.upstream, proxy_port, folder / "pyproxy-access.log")
    process.close()


@pytest.mark.parametrize("inbound", [False, True])
def test_over_http2_there_is_no_route_for_it(sides: Sides, inbound: bool) -> None:
    theirs, ours, proxy_port = (Http2Side(side).run(NEW, inbound=inbound) for side in sides)
    assert theirs == ours == proxy_port
    assert dict(theirs.heads[0])[b":status"] == b"404"


def test_over_http1_there_is_none_either_but_on_the_proxy_port(sides: Sides) -> None:
    theirs, ours = (side.run(OLD) for side in sides[:2])
    assert theirs == ours and theirs.status == 404
    client = RawClient(sides[2]._ports["outbound"])
    client.send(OLD.request)
    assert client.read_head().status == 200
    client.close()


def test_envoy_as_istio_has_it_takes_no_websocket_over_http2(sides: Sides) -> None:
    theirs, ours, _ = (Http2Side(side).run(SOCKET) for side in sides)
    assert (theirs.heads, theirs.reset, theirs.end) == ([], None, "closed")
    assert ours.heads and ours.end == "open"
