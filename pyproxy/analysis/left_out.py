"""What proxies would warn about when they take the documents up, and nobody else looks for: parts that are left out."""

from __future__ import annotations

from collections.abc import Iterator

from pyproxy.analysis.subject import Found, Subject
from pyproxy.istio.networking.gateway import Gateway
from pyproxy.istio.problems import Problem, parse_path
from pyproxy.snapshot.ext_authz import compile_authorizers
from pyproxy.snapshot.findings import servers_left_out, values_left_out
from pyproxy.snapshot.gateway_servers import gateway_servers
from pyproxy.snapshot.model import Identity
from pyproxy.snapshot.telemetry import compile_telemetry


def left_out(subject: Subject) -> Iterator[Found]:
    """Header values, authorizers, telemetry providers and servers of gateways that no proxy can use."""
    by_place = {(document.file, document.line): document for document in subject.documents}
    for problem in _problems(subject):
        document = by_place[problem.file, problem.line]
        yield Found(problem.code, document, parse_path(problem.path), problem.message)


def _problems(subject: Subject) -> Iterator[Problem]:
    documents = subject.documents
    yield from values_left_out(documents)
    yield from compile_authorizers(subject.mesh, subject.registry).problems(documents)
    yield from compile_telemetry(documents, Identity(), subject.mesh, subject.registry).problems(documents)
    selectors = dict.fromkeys(tuple(sorted(gateway.selector.items())) for _, gateway in subject.of(Gateway))
    seen: set[tuple[int, int]] = set()
    for selector in selectors:
        _, left = gateway_servers(documents, Identity(labels=dict(selector), gateway=True), {})
        new = [each for each in left if (each[0].order, each[1]) not in seen]
        seen |= {(document.order, index) for document, index, _ in new}
        yield from servers_left_out(new)
