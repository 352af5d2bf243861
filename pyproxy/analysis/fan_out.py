"""Retries of several tiers multiply: how many requests one request may become, along the calls that documents tell of.

Who calls whom is known from the hosts that Sidecars of some workloads import by name, from the source labels of rules,
and from gateways. A service calls what the workloads behind it call. Where no document tells of any call between
services, those that are retried may be tiers of one way, and the worst of that is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

from pyproxy.analysis.subject import Found, Subject, carries, listed
from pyproxy.istio.networking.sidecar import Sidecar
from pyproxy.istio.networking.virtual_service import HTTPRoute, VirtualService
from pyproxy.istio.problems import FieldPath
from pyproxy.istio.resources import Document
from pyproxy.snapshot.hosts import MESH, is_wildcard

MOST = 8
"""Requests that one request may become before it is worth a warning: two tiers of three tries are 9."""
_DEEPEST = 8
_IN_A_ROW = 3
"""Tiers, where nobody says how many there are."""
_GATEWAY = "gateway "


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
    product: int = 1


def retry_fan_out(subject: Subject) -> Iterator[Found]:
    """One finding, with the worst way, for each retry block at the end of ways on which tries multiply beyond MOST."""
    calls = _calls(subject)
    if all(call.caller.startswith(_GATEWAY) for call in calls):
        yield from _perhaps_in_a_row(subject)
        return
    worst: dict[tuple[int, FieldPath], _Way] = {}
    for way in _ways(calls):
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


def _perhaps_in_a_row(subject: Subject) -> Iterator[Found]:
    """One finding, at the last VirtualService that retries, with those that retry most."""
    retried: dict[str, tuple[int, Document, FieldPath]] = {}
    for document, spec in subject.of(VirtualService):
        for index, route in enumerate(spec.http):
            tries = _tries(route)
            for each in route.route if tries > 1 else ():
                host = subject.host(each.destination.host, document.namespace)
                if host not in retried or tries > retried[host][0]:
                    retried[host] = (tries, document, ("spec", "http", index, "retries", "attempts"))
    most = sorted(retried.items(), key=lambda item: -item[1][0])[:_IN_A_ROW]
    product = prod(tries for _, (tries, _, _) in most)
    if len(most) > 1 and product > MOST:
        _, document, path = max(retried.values(), key=lambda each: each[1].order)
        names = listed([f"{host} ({tries} tries)" for host, (tries, _, _) in most])
        message = f"if these call one another, one request may become {product}: {names}; retry in one tier only"
        yield Found("PYP0103", document, path, message)


def _ways(calls: list[Call]) -> Iterator[_Way]:
    """Ways of growing length. Of those of one length to one host only the worst goes on: all would be too many."""
    ends: dict[str, _Way] = {}
    for length in range(_DEEPEST):
        longer: dict[str, _Way] = {}
        for call in calls:
            before = ends.get(call.caller) if length else _Way(hosts=frozenset({call.caller}))
            if before is None or call.callee in before.hosts:
                continue
            way = _Way((*before.calls, call), before.hosts | {call.callee}, before.product * call.tries)
            yield way
            known = longer.get(call.callee)
            if known is None or way.product > known.product:
                longer[call.callee] = way
        ends = longer


def _calls(subject: Subject) -> list[Call]:
    """Every call that some document tells of; of several rules for one call the one with the most tries."""
    behind = _Behind(subject)
    callers: dict[str, dict[str, None]] = {}
    best: dict[tuple[str, str], Call] = {}
    for caller, host in _told(subject, behind):
        callers.setdefault(host, {})[caller] = None
        best[caller, host] = Call(caller, host, tries=1)
    for document, spec in subject.of(VirtualService):
        for index, route in enumerate(spec.http):
            tries = _tries(route)
            for caller, callee in _pairs(subject, document, spec, route, callers, behind):
                old = best.get((caller, callee))
                if old is None or tries > old.tries:
                    path: FieldPath = ("spec", "http", index, "retries", "attempts")
                    best[caller, callee] = Call(caller, callee, tries, document, path)
    return list(best.values())


def _tries(route: HTTPRoute) -> int:
    """Those that a document asks for: Istio's default retries only what never reached the server."""
    return 1 + (route.retries.attempts or 0) if route.retries is not None else 1


class _Behind:
    """The services that workloads stand behind, by the workloads' labels."""

    def __init__(self, subject: Subject) -> None:
        self._by_label: dict[tuple[str, str, str], dict[str, list[Mapping[str, str]]]] = {}
        """Namespace, name and value of a label → host → the labels of its workloads with that label."""
        self._selecting = [service for service in subject.registry.services if service.selector]
        for service in subject.registry.services:
            for port in service.endpoints.values():
                for each in port:
                    for key, value in each.labels.items():
                        hosts = self._by_label.setdefault((each.namespace, key, value), {})
                        hosts.setdefault(service.host, []).append(each.labels)

    def hosts(self, namespace: str, labels: Mapping[str, str]) -> Iterator[str]:
        """The services of workloads with these labels; none for no labels."""
        found: dict[str, None] = {}
        for first in list(labels.items())[:1]:
            for host, workloads in self._by_label.get((namespace, *first), {}).items():
                if any(carries(each, labels) for each in workloads):
                    found[host] = None
        for service in self._selecting:
            if service.namespace == namespace and carries(labels, service.selector or {}):
                found[service.host] = None
        yield from found


def _told(subject: Subject, behind: _Behind) -> Iterator[tuple[str, str]]:
    """Caller and host that Sidecars tell of."""
    for document, spec in subject.of(Sidecar):
        labels = spec.workload_selector.labels if spec.workload_selector is not None else {}
        callers = list(behind.hosts(document.namespace, labels))
        for listener in spec.egress:
            for entry in listener.hosts:
                host = entry.lower().rpartition("/")[2]
                if not is_wildcard(host):
                    yield from ((caller, host) for caller in callers)


def _pairs(
    subject: Subject,
    document: Document,
    spec: VirtualService,
    route: HTTPRoute,
    callers: Mapping[str, Iterable[str]],
    behind: _Behind,
) -> Iterator[tuple[str, str]]:
    """Caller and callee of one rule: who is known to call its hosts, whom its labels name, its gateways."""
    hosts = {subject.host(name, document.namespace) for name in spec.hosts}
    callees = {subject.host(each.destination.host, document.namespace) for each in route.route}
    for callee in callees:
        named = [match.source_labels for match in route.match if match.source_labels]
        for labels in named:
            yield from ((caller, callee) for caller in behind.hosts(document.namespace, labels))
        if not named and (not spec.gateways or MESH in spec.gateways):
            for host in hosts | {callee}:
                yield from ((caller, callee) for caller in callers.get(host, ()))
        yield from ((f"{_GATEWAY}{gateway}", callee) for gateway in spec.gateways if gateway != MESH)
