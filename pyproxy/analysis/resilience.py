"""Routes and policies whose parts work against each other: faults, retries, timeouts, weights, outlier detection."""

from __future__ import annotations

from collections.abc import Iterator

from pyproxy.analysis.subject import Found, Subject
from pyproxy.istio.networking.destination_rule import DestinationRule, OutlierDetection
from pyproxy.istio.networking.virtual_service import HTTPRoute, VirtualService
from pyproxy.istio.problems import FieldPath
from pyproxy.istio.resources import Document
from pyproxy.snapshot.hosts import is_wildcard
from pyproxy.snapshot.policies import outlier_policy
from pyproxy.snapshot.services import Resolution, Service

_WHOLE = 100
_COUNTED = (Resolution.STATIC, Resolution.NONE)
"""With the others a name may stand for many addresses; NONE with endpoints is a headless service."""


def routes(subject: Subject) -> Iterator[Found]:
    """Everything about single HTTP rules."""
    for document, spec in subject.of(VirtualService):
        for index, route in enumerate(spec.http):
            path: FieldPath = ("spec", "http", index)
            yield from _fault_beside_retries(document, path, route)
            yield from _idle_faults(document, path, route)
            yield from _tries_and_timeout(document, path, route)
            yield from _weights(document, path, route)


def _fault_beside_retries(document: Document, path: FieldPath, route: HTTPRoute) -> Iterator[Found]:
    """Faults are injected before the router, where retries and timeouts are."""
    fault = route.fault
    if fault is None:
        return
    if fault.abort is not None and route.retries is not None and route.retries.attempts:
        message = "injected aborts are not retried: the fault answers before the router, on the same route, could try"
        yield Found("PYP0101", document, (*path, "retries"), message)
    if fault.delay is not None and route.timeout:
        message = "does not cover the injected delay: it begins after it; put the fault on the route of the next hop"
        yield Found("PYP0101", document, (*path, "timeout"), message)


def _idle_faults(document: Document, path: FieldPath, route: HTTPRoute) -> Iterator[Found]:
    fault = route.fault
    for name, block in (("delay", fault.delay), ("abort", fault.abort)) if fault is not None else ():
        old_percent = getattr(block, "percent", None)
        if block is not None and block.percentage is None and not old_percent:
            message = "never happens: without a percentage it is for 0 % of the requests"
            yield Found("PYP0111", document, (*path, "fault", name), message)


def _tries_and_timeout(document: Document, path: FieldPath, route: HTTPRoute) -> Iterator[Found]:
    retries = route.retries
    if retries is None or not retries.attempts or not retries.per_try_timeout or not route.timeout:
        return
    tries = retries.attempts + 1
    needed = tries * retries.per_try_timeout
    if needed > route.timeout + 1e-9:
        message = (
            f"{tries} tries of {retries.per_try_timeout:g}s take up to {needed:g}s, and the route ends after "
            f"{route.timeout:g}s: the last ones may never be made"
        )
        yield Found("PYP0102", document, (*path, "retries", "perTryTimeout"), message)


def _weights(document: Document, path: FieldPath, route: HTTPRoute) -> Iterator[Found]:
    weights = [each.weight or 0 for each in route.route]
    total = sum(weights)
    if len(weights) > 1 and total not in (0, _WHOLE):
        shares = ", ".join(f"{100 * weight / total:.3g} %" for weight in weights)
        message = f"the weights add up to {total} and not to 100: the shares are {shares}"
        yield Found("PYP0104", document, (*path, "route"), message)


def outlier_detection(subject: Subject) -> Iterator[Found]:
    """Outlier detection over too few endpoints to do any good."""
    for document, rule in subject.of(DestinationRule):
        service = None if is_wildcard(rule.host) else subject.service(rule.host, document.namespace, rule.export_to)
        if service is None:
            continue
        for path, block, labels in _blocks(rule):
            count = _endpoints(service, labels)
            policy = outlier_policy(block)
            if not count or policy is None or service.resolution not in _COUNTED:
                continue
            percent = policy.max_ejection_percent
            if count == 1 and percent == _WHOLE:
                message = f"{service.host} has one endpoint: once it is ejected every request gets 503 UH"
                yield Found("PYP0105", document, path, message)
            elif count == 1:
                message = f"{service.host} has one endpoint, and {percent} % of one is none: nothing is ever ejected"
                yield Found("PYP0105", document, path, message)
            elif count * percent < _WHOLE:
                message = (
                    f"{percent} % of {count} endpoints is less than one: nothing is ever ejected; "
                    f"set maxEjectionPercent to {-(-_WHOLE // count)} or more"
                )
                yield Found("PYP0106", document, path, message)


def _blocks(rule: DestinationRule) -> Iterator[tuple[FieldPath, OutlierDetection, dict[str, str]]]:
    policy = rule.traffic_policy
    if policy is not None and policy.outlier_detection is not None:
        yield ("spec", "trafficPolicy", "outlierDetection"), policy.outlier_detection, {}
    for index, subset in enumerate(rule.subsets):
        own = subset.traffic_policy
        if own is not None and own.outlier_detection is not None:
            path: FieldPath = ("spec", "subsets", index, "trafficPolicy", "outlierDetection")
            yield path, own.outlier_detection, subset.labels


def _endpoints(service: Service, labels: dict[str, str]) -> int:
    """The endpoints of the port that has the most."""
    return max(
        (sum(labels.items() <= each.labels.items() for each in port) for port in service.endpoints.values()), default=0
    )
