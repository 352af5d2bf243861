"""Retries of several tiers multiply: how many requests one request may become, along the calls that documents tell of.

Who calls whom is known from the hosts that Sidecars of some workloads import by name, from the source labels of rules,
and from gateways. A service calls what the workloads behind it call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pyproxy.analysis.subject import Found, Subject, carries
from pyproxy.istio.networking.sidecar import Sidecar
from pyproxy.istio.networking.virtual_service import HTTPRoute, VirtualService
from pyproxy.istio.problems import FieldPath
from pyproxy.istio.resources import Document
from pyproxy.snapshot.hosts import MESH, is_wildcard

MOST = 8
"""Requests that one request may become before it is worth a warning: two tiers of three tries are 9."""
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Call:
    """One service calls another, in so many tries."""

    caller: str
    """Host of a service, or `gateway NAMESPACE/NAME`."""
    callee: str
    tries: int
    document: Document | None = None
    """The VirtualService that asks for the tries."""
    path: FieldPath = ()


@dataclass(frozen=True, slots=True)
class _Way:
    calls: tuple[Call, ...] = ()
    hosts: frozenset[str] = field(default=frozenset())

    @property
    def product(self) -> int:
        found = 1
        for call in self.calls:
            found *= call.tries
        return found


def retry_fan_out(subject: Subject) -> Iterator[Found]:
    """One finding, with the worst way, for each retry block at the end of ways on which tries multiply beyond MOST."""
    calls = _calls(subject)
    worst: dict[tuple[int, FieldPath], _Way] = {}
    for start in dict.fromkeys(call.caller for call in calls):
        for way in _ways(calls, start, _Way(hosts=frozenset({start}))):
            last = way.calls[-1]
            if last.document is None or sum(call.tries > 1 for call in way.calls) < 2 or way.product <= MOST:
                continue
            key = (last.document.order, last.path)
            if key not in worst or way.product > worst[key].product:
                worst[key] = way
    for way in worst.values():
        last = way.calls[-1]
        assert last.document is not None
        names = " -> ".join([way.calls[0].caller, *(call.callee for call in way.calls)])
        factors = " x ".join(str(call.tries) for call in way.calls)
        message = f"one request may become {way.product} ({factors}) along {names}: retry in one tier only"
        yield Found("PYP0103", last.document, last.path, message)


def _ways(calls: list[Call], host: str, way: _Way) -> Iterator[_Way]:
    for call in calls:
        if call.caller == host and call.callee not in way.hosts:
            longer = _Way((*way.calls, call), way.hosts | {call.callee})
            yield longer
            if len(longer.calls) < _DEEPEST:
                yield from _ways(calls, call.callee, longer)


def _calls(subject: Subject) -> list[Call]:
    """Every call that some document tells of; of several rules for one call the one with the most tries."""
    known = list(dict.fromkeys(_told(subject)))
    best: dict[tuple[str, str], Call] = {pair: Call(*pair, tries=1) for pair in known}
    for document, spec in subject.of(VirtualService):
        for index, route in enumerate(spec.http):
            tries = _tries(route)
            for caller, callee in _pairs(subject, document, spec, route, known):
                old = best.get((caller, callee))
                if old is None or tries > old.tries:
                    path: FieldPath = ("spec", "http", index, "retries", "attempts")
                    best[caller, callee] = Call(caller, callee, tries, document, path)
    return list(best.values())


def _tries(route: HTTPRoute) -> int:
    """Those that a document asks for: Istio's default retries only what never reached the server."""
    return 1 + (route.retries.attempts or 0) if route.retries is not None else 1


def _told(subject: Subject) -> Iterator[tuple[str, str]]:
    """Caller and host that Sidecars tell of."""
    for document, spec in subject.of(Sidecar):
        labels = spec.workload_selector.labels if spec.workload_selector is not None else {}
        for listener in spec.egress:
            for entry in listener.hosts:
                host = entry.lower().rpartition("/")[2]
                if labels and not is_wildcard(host):
                    yield from ((caller, host) for caller in _behind(subject, document.namespace, labels))


def _behind(subject: Subject, namespace: str, labels: dict[str, str]) -> Iterator[str]:
    """The services that workloads with these labels stand behind."""
    for service in subject.registry.services:
        by_selector = service.namespace == namespace and service.selector and carries(labels, service.selector)
        endpoints = (each for port in service.endpoints.values() for each in port)
        if by_selector or any(each.namespace == namespace and carries(each.labels, labels) for each in endpoints):
            yield service.host


def _pairs(
    subject: Subject, document: Document, spec: VirtualService, route: HTTPRoute, told: list[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """Caller and callee of one rule: who is known to call its hosts, whom its labels name, its gateways."""
    hosts = {subject.host(name, document.namespace) for name in spec.hosts}
    callees = {subject.host(each.destination.host, document.namespace) for each in route.route}
    for callee in callees:
        named = [match.source_labels for match in route.match if match.source_labels]
        for labels in named:
            for caller in _behind(subject, document.namespace, labels):
                yield caller, callee
        if not named and (not spec.gateways or MESH in spec.gateways):
            for caller, called in told:
                if called in hosts or called == callee:
                    yield caller, callee
        for gateway in spec.gateways:
            if gateway != MESH:
                yield f"gateway {gateway}", callee
