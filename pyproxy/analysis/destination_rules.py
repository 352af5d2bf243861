"""DestinationRules: hosts, subsets, trust, and what one takes from another (IST0128, 0129, 0173, 0174, PYP0109-0112).

Source: Istio pkg/config/analysis/analyzers/destinationrule (ca-certificates.go, subset.go).
"""

from __future__ import annotations

from collections.abc import Iterator

from pyproxy.analysis.subject import Found, Subject, carries, listed, scopes
from pyproxy.core.tls import MtlsMode
from pyproxy.istio.networking.destination_rule import ClientTLSSettings, DestinationRule, TrafficPolicy
from pyproxy.istio.problems import FieldPath
from pyproxy.istio.resources import Document
from pyproxy.snapshot.hosts import covers, is_wildcard
from pyproxy.snapshot.model import Endpoint
from pyproxy.snapshot.services import Service

_ORIGINATING = ("SIMPLE", "MUTUAL")


def unverified_servers(subject: Subject) -> Iterator[Found]:
    """TLS where nothing says whose certificates to trust."""
    for document, rule in subject.of(DestinationRule):
        policy = rule.traffic_policy
        if policy is None:
            continue
        path: FieldPath = ("spec", "trafficPolicy")
        if policy.tls is not None and _unverified(rule, policy.tls):
            yield Found("IST0128", document, (*path, "tls"), _no_authority(rule, policy.tls, ""))
        for index, entry in enumerate(policy.port_level_settings):
            if entry.tls is not None and _unverified(rule, entry.tls):
                where = f" at port {entry.port.number}" if entry.port is not None else ""
                at: FieldPath = (*path, "portLevelSettings", index, "tls")
                yield Found("IST0129", document, at, _no_authority(rule, entry.tls, where))


def _unverified(rule: DestinationRule, tls: ClientTLSSettings) -> bool:
    named = tls.credential_name and rule.workload_selector is not None
    return tls.mode in _ORIGINATING and not tls.ca_certificates and not named


def _no_authority(rule: DestinationRule, tls: ClientTLSSettings, where: str) -> str:
    return f"{tls.mode} to {rule.host}{where} without caCertificates: say which authority signs its certificate"


def _services(subject: Subject, document: Document, rule: DestinationRule) -> list[Service]:
    host = subject.host(rule.host, document.namespace)
    if not is_wildcard(host):
        found = subject.service(rule.host, document.namespace, rule.export_to)
        return [found] if found is not None else []
    return [service for service in subject.registry.services if covers(host, service.host)]


def unknown_hosts(subject: Subject) -> Iterator[Found]:
    """Rules for hosts that no service has."""
    for document, rule in subject.of(DestinationRule):
        host = subject.host(rule.host, document.namespace)
        wild = (each for each in subject.registry.by_host if is_wildcard(each))
        known = host in subject.registry.aliases or any(covers(each, host) for each in wild)
        if not known and not _services(subject, document, rule):
            message = f"no service is called {host}: nothing follows the rule"
            yield Found("IST0174", document, ("spec", "host"), message)


def empty_subsets(subject: Subject) -> Iterator[Found]:
    """Subsets without endpoints, of services that have some."""
    for document, rule in subject.of(DestinationRule):
        for service in _services(subject, document, rule):
            endpoints = [each for port in service.endpoints.values() for each in port]
            for index, subset in enumerate(rule.subsets):
                if endpoints and not any(carries(each.labels, subset.labels) for each in endpoints):
                    asked = ",".join(f"{key}={value}" for key, value in subset.labels.items())
                    hint = _values(subset.labels, endpoints)
                    message = f"no endpoint of {service.host} has {asked}: requests get 503 UH{hint}"
                    yield Found("IST0173", document, ("spec", "subsets", index, "labels"), message)


def _values(wanted: dict[str, str], endpoints: list[Endpoint]) -> str:
    """The values of the wanted labels that there are."""
    for key in wanted:
        values = sorted({each.labels[key] for each in endpoints if key in each.labels})
        if wanted[key] not in values:
            return f"; {key} is {listed(values)} there" if values else f"; none has a label {key}"
    return ""


def ignored_policies(subject: Subject) -> Iterator[Found]:
    """Of rules for one host and the same audience the oldest gives the traffic policy, and each subset name."""
    first: dict[tuple[str, str, tuple[str, ...]], Document] = {}
    for document, rule in subject.of(DestinationRule):
        if rule.workload_selector is not None:
            continue
        host = subject.host(rule.host, document.namespace)
        key = (document.namespace, host, tuple(sorted(scopes(rule.export_to, document.namespace))))
        if rule.traffic_policy is not None:
            known = first.setdefault(key, document)
            if known is not document:
                message = f"is ignored: {known.resource} is older and has the traffic policy of {host} already"
                yield Found("PYP0112", document, ("spec", "trafficPolicy"), message)


def failover_without_detection(subject: Subject) -> Iterator[Found]:
    """Locality failover of a rule without outlierDetection: no locality ever counts as failing."""
    for document, rule in subject.of(DestinationRule):
        for path, policy in _policies(rule):
            setting = policy.load_balancer.locality_lb_setting if policy.load_balancer is not None else None
            base = rule.traffic_policy
            detects = policy.outlier_detection or (base is not None and base.outlier_detection)
            if setting is not None and (setting.failover or setting.failover_priority) and not detects:
                at = (*path, "loadBalancer", "localityLbSetting")
                message = "failover needs outlierDetection, to know what fails: without it all localities are used"
                yield Found("PYP0110", document, at, message)


def _policies(rule: DestinationRule) -> Iterator[tuple[FieldPath, TrafficPolicy]]:
    if rule.traffic_policy is not None:
        yield ("spec", "trafficPolicy"), rule.traffic_policy
    for index, subset in enumerate(rule.subsets):
        if subset.traffic_policy is not None:
            yield ("spec", "subsets", index, "trafficPolicy"), subset.traffic_policy


def plaintext_to_strict(subject: Subject) -> Iterator[Found]:
    """Rules whose TLS mode the workloads behind the host do not take."""
    for document, rule in subject.of(DestinationRule):
        for path, policy in _policies(rule):
            mode = policy.tls.mode or "DISABLE" if policy.tls is not None else ""
            for service in _services(subject, document, rule) if mode else ():
                refused = _refusing(subject, service, mode)
                if refused:
                    message = f"{mode} to {service.host}, whose port {refused[0]} takes {refused[1]}: connections fail"
                    yield Found("PYP0109", document, (*path, "tls"), message)


def _refusing(subject: Subject, service: Service, mode: str) -> tuple[int, str] | None:
    """A workload port that refuses connections of a client's mode, and what it takes instead."""
    for endpoints in service.endpoints.values():
        for each in endpoints:
            takes = subject.registry.authentication.workload(each.namespace, each.labels).of(each.port)
            if mode == "DISABLE" and takes is MtlsMode.STRICT:
                return each.port, "mutual TLS alone (PeerAuthentication STRICT)"
            if mode == "ISTIO_MUTUAL" and takes is MtlsMode.DISABLE:
                return each.port, "plaintext alone (PeerAuthentication DISABLE)"
    return None
