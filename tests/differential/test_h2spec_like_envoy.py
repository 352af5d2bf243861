"""h2spec's cases before a real Envoy: what pyproxy is stricter in, and that everything else is the same.

pyproxy passes all of them (`tests/integration/test_h2spec.py`) but one, in which it does what Envoy does.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.differential.envoy_process import Envoy
from tests.differential.http1_sides import start_envoy_side
from tests.differential.test_http1_like_envoy import HOSTS
from tests.h2spec import BODY, CASES, Client
from tests.peers import answer_with

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PASSED_OVER = "passed over"
CLOSED = "closed without a reason"
LENIENT = {
    "generic/3.8/1": "a client's GOAWAY ends the connection's work: not even PING is answered",
    "http2/5.1/8": PASSED_OVER,
    "http2/5.1/9": PASSED_OVER,
    "http2/5.1/11": PASSED_OVER,
    "http2/5.1/12": PASSED_OVER,
    "http2/5.1.1/2": PASSED_OVER,
    "http2/5.3.1/2": PASSED_OVER,
    "http2/5.4.1/2": CLOSED,
    "http2/6.3/1": PASSED_OVER,
    "http2/6.9.1/2": CLOSED,
    "http2/6.9.1/3": "the connection is closed, not the stream",
    "http2/7/1": "as generic/3.8/1",
}
"""Where Envoy does not as h2spec wants, and pyproxy does."""
LIKEWISE = {"http2/3.5/2": "HTTP/1.1 400"}
"""Where neither does: the port takes HTTP/1.1 too, and answers in it what is no preface."""
QUIET_SECONDS = 2.0
"""After which Envoy has nothing more to say."""


@pytest.fixture(scope="module")
def passed(start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """Whether Envoy satisfies h2spec, by case."""
    side = start_envoy_side(start_envoy, tmp_path_factory.mktemp("h2spec"), HOSTS)
    side.upstream.answer = answer_with(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY))

    def play(name: str) -> bool:
        case = CASES[name]
        wanted = frozenset({LIKEWISE[name]}) if name in LIKEWISE else case.enough
        return Client(side._ports["outbound"]).play(case, wanted, QUIET_SECONDS if name in LENIENT else 10)

    with ThreadPoolExecutor(8) as threads:
        return dict(zip(CASES, threads.map(play, CASES), strict=True))


@pytest.mark.parametrize("name", CASES, ids=[f"{name} {case.what}" for name, case in CASES.items()])
def test_envoy_answers_a_case_of_h2spec(name: str, passed: dict[str, bool]) -> None:
    assert passed[name] == (name not in LENIENT)
