"""Tokens at a gateway: pyproxy answers, routes and tells the upstream as a real Envoy with what istiod makes of rules.

Compared are status, headers and body of the response, the request that the upstream saw, and from the access log route,
flags and details. Where they may differ a case says so in DIFFERENT: docs/decisions has the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pyproxy.envoy.bootstrap import Process, bootstrap
from pyproxy.istio.loader import load
from pyproxy.snapshot.compile import compile_snapshot
from pyproxy.snapshot.model import Identity, Listening
from tests.differential.envoy_process import Envoy
from tests.differential.routing_sides import EchoServer, Outcome, Side, _text, ask_both
from tests.differential.token_cases import ALL_SEVERAL, ALONE, ALONE_CASES, SEVERAL, as_request, mesh
from tests.ports import free_port
from tests.pyproxy_process import PyproxyProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DIFFERENT: dict[str, str] = {
    "alone: bad, and good in a parameter": "Envoy has taken the good one from the path before it meets the bad one",
    "alone: other parameters, in disorder": "Envoy sorts and decodes what is left of a query",
    "alone: the right key under another algorithm": "Envoy goes by the kind of key alone",
    "alone: a claim that ends the line": "Envoy answers 503; here the header is not written",
    "several: e twice, the first bad": "in Envoy the good one takes both lines away",
}
"""Case → why the two do not agree."""
ELSEWHERE = {
    f"{side} header {name}"
    for side in ("response", "upstream")
    for name in ("x-envoy-decorator-operation", "x-envoy-peer-metadata", "x-envoy-peer-metadata-id", "x-forwarded-for")
}
"""What an export does not say, and which address a client has: other tests' concern."""
LABELS = {"istio": "door"}


@dataclass
class Both:
    """What became of each case on either side."""

    envoy: Mapping[str, Outcome]
    ours: Mapping[str, Outcome]


@pytest.fixture(scope="module")
def both(start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    found = Both({}, {})
    echo = EchoServer()
    try:
        for name, rules, cases in (("alone", ALONE, ALONE_CASES), ("several", SEVERAL, ALL_SEVERAL)):
            folder = tmp_path_factory.mktemp(name)
            envoy, ours = _ask(folder, mesh(*rules, listens=free_port()), echo, start_envoy, name, cases)
            found = Both({**found.envoy, **envoy.outcomes}, {**found.ours, **ours.outcomes})
        yield found
    finally:
        echo.close()


def _ask(
    folder: Path,
    documents: list[dict[str, Any]],
    echo: EchoServer,
    start_envoy: Callable[..., Envoy],
    name: str,
    cases: Mapping[str, Any],
) -> tuple[Side, Side]:
    file = folder / "exported.yaml"
    file.write_text(_text(documents, echo.port, folder / "envoy.log"))
    loaded = load([file])
    assert loaded.ok, [str(problem) for problem in loaded.problems if problem.severity == "error"][:5]
    identity = Identity(gateway=True, labels=LABELS)
    snapshot = compile_snapshot(loaded.documents, identity, Listening(address="127.0.0.1")).snapshot
    document: Any = bootstrap(snapshot, Process(admin_port=0))
    static = document.pop("static_resources")
    document.pop("admin")
    for listener in static["listeners"]:
        listener["address"]["socket_address"]["port_value"] = 0
    envoy = start_envoy(static["listeners"], static["clusters"], **document)
    (listener,) = static["listeners"]
    text = _text(documents, echo.port, folder / "own.log")
    process = PyproxyProcess(folder / "own", text, "--labels", "istio=door", command="gateway")
    try:
        port = next(port for each, port in process.ports.items() if each == listener["name"])
        sides = Side(envoy.ports[listener["name"]], folder / "envoy.log"), Side(port, folder / "own.log")
        ask_both(sides, [(f"{name}: {case}", as_request(f"{name}: {case}", asked)) for case, asked in cases.items()])
    finally:
        process.close()
    return sides


CASES = [f"{name}: {case}" for name, cases in (("alone", ALONE_CASES), ("several", ALL_SEVERAL)) for case in cases]


@pytest.mark.parametrize("case", CASES)
def test_tokens_are_taken_as_envoy_takes_them(both: Both, case: str) -> None:
    theirs, ours = both.envoy[case], both.ours[case]
    differing = [
        f"{part}\n  envoy   {envoy}\n  pyproxy {mine}"
        for part, envoy, mine in theirs.differences(ours)
        if part not in ELSEWHERE
    ]
    if case in DIFFERENT:
        assert differing, "they agree now"
    else:
        assert not differing, "\n".join([case, *differing])


def test_the_realm_repeats_the_url_to_who_sent_it_a_token_in_it_too(both: Both) -> None:
    for side in (both.envoy, both.ours):
        refused = dict(side["alone: bad in a parameter"].headers)
        assert "/p?b=1&access_token=bad" in refused["www-authenticate"]
