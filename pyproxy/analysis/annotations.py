"""Annotations of Istio's: unknown ones, those on the wrong kind, deprecated ones, values that mean nothing.

IST0107, 0108, 0125, 0135. Istio looks at four Kubernetes kinds; here every document that applies is looked at.
Source: istio/api annotation/annotations.yaml; Istio pkg/config/analysis/analyzers/annotations/annotations.go.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from pyproxy.analysis.subject import Found, Subject, listed
from pyproxy.istio.problems import FieldPath

ANY = ("Any",)
_POD = ("Pod",)
_SERVICE = ("Service",)
_ENTRY = ("WorkloadEntry",)
_ALSO_GATEWAY = ("Gateway",)
_KNOWN: dict[str, tuple[str, ...]] = {
    "alpha.istio.io/canonical-serviceaccounts": _SERVICE,
    "alpha.istio.io/kubernetes-serviceaccounts": _SERVICE,
    "ambient.istio.io/bypass-inbound-capture": _POD,
    "ambient.istio.io/dns-capture": _POD,
    "ambient.istio.io/redirection": _POD,
    "ambient.istio.io/waypoint-inbound-binding": ("GatewayClass", "Gateway"),
    "galley.istio.io/analyze-suppress": ANY,
    "gateway.istio.io/controller-version": ANY,
    "gateway.istio.io/name-override": _ALSO_GATEWAY,
    "gateway.istio.io/service-account": _ALSO_GATEWAY,
    "inject.istio.io/templates": _POD,
    "istio.io/autoRegistrationGroup": _ENTRY,
    "istio.io/connectedAt": _ENTRY,
    "istio.io/disconnectedAt": _ENTRY,
    "istio.io/dry-run": ("AuthorizationPolicy",),
    "istio.io/reroute-virtual-interfaces": _POD,
    "istio.io/rev": ANY,
    "istio.io/use-waypoint-canary-weight": ("Service", "ServiceEntry", "Namespace"),
    "istio.io/workloadController": _ENTRY,
    "kubernetes.io/ingress.class": ("Ingress",),
    "networking.istio.io/exportTo": _SERVICE,
    "networking.istio.io/service-type": _ALSO_GATEWAY,
    "networking.istio.io/traffic-distribution": ("Namespace", "Service", "ServiceEntry"),
    "prometheus.istio.io/merge-metrics": _POD,
    "proxy.istio.io/config": _POD,
    "proxy.istio.io/overrides": _POD,
    "topology.istio.io/controlPlaneClusters": ("Namespace",),
    "traffic.istio.io/nodeSelector": _SERVICE,
}
_OF_PODS = {
    "readiness.status.sidecar.istio.io/": "applicationPorts failureThreshold initialDelaySeconds periodSeconds",
    "sidecar.istio.io/": "agentLogLevel bootstrapOverride componentLogLevel discoveryAddress extraStatTags inject "
    "interceptionMode logLevel nativeSidecar proxyCPU proxyCPULimit proxyImage proxyImageType proxyMemory "
    "proxyMemoryLimit rewriteAppHTTPProbers statsCompression statsEvictionInterval statsFlushInterval "
    "statsHistogramBins statsHistogramBuckets statsInclusionPrefixes statsInclusionRegexps statsInclusionSuffixes "
    "status userVolume userVolumeMount",
    "status.sidecar.istio.io/": "port",
    "traffic.sidecar.istio.io/": "excludeInboundPorts excludeInterfaces excludeOutboundIPRanges excludeOutboundPorts "
    "includeInboundPorts includeOutboundIPRanges includeOutboundPorts kubevirtInterfaces",
}
KNOWN = _KNOWN | {prefix + name: _POD for prefix, names in _OF_PODS.items() for name in names.split()}
"""Annotation → the kinds that it is for."""
DEPRECATED = {
    "alpha.istio.io/canonical-serviceaccounts": "",
    "alpha.istio.io/kubernetes-serviceaccounts": "",
    "sidecar.istio.io/discoveryAddress": "",
    "sidecar.istio.io/extraStatTags": "",
    "sidecar.istio.io/inject": ': use the label "sidecar.istio.io/inject"',
    "sidecar.istio.io/statsCompression": "",
    "sidecar.istio.io/statsInclusionPrefixes": "",
    "sidecar.istio.io/statsInclusionRegexps": "",
    "sidecar.istio.io/statsInclusionSuffixes": "",
    "traffic.sidecar.istio.io/kubevirtInterfaces": ': use "istio.io/reroute-virtual-interfaces"',
}
_VALUES = {
    "istio.io/dry-run": ("true", "false"),
    "networking.istio.io/traffic-distribution": ("PreferClose", "PreferSameZone", "PreferSameNode", "Any"),
}
_UNSEEN = frozenset({"sidecar.istio.io/status", "gateway.istio.io/controller-version", "istio.io/rev"})
"""Istio sets these itself, and does not speak of them."""


def misused(subject: Subject) -> Iterator[Found]:
    """All four messages, for every document."""
    for document in subject.documents:
        for name, value in document.annotations.items():
            if not _is_istios(name) or name in _UNSEEN:
                continue
            path: FieldPath = ("metadata", "annotations", name)
            kinds = KNOWN.get(name)
            if kinds is None:
                near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.8)
                hint = f"; did you mean {near[0]}?" if near else ""
                yield Found("IST0108", document, path, f"Istio has no annotation {name}{hint}", of_key=True)
                continue
            if name in DEPRECATED:
                yield Found("IST0135", document, path, f"{name} is deprecated{DEPRECATED[name]}", of_key=True)
            if kinds != ANY and document.kind not in kinds:
                message = f"{name} is for {listed(kinds)}, not for {document.kind}"
                yield Found("IST0107", document, path, message, of_key=True)
            elif name in _VALUES and value.lower() not in [each.lower() for each in _VALUES[name]]:
                yield Found("IST0125", document, path, f"{value!r} is none of {listed(_VALUES[name])}")


def _is_istios(name: str) -> bool:
    return name == "kubernetes.io/ingress.class" or name.partition("/")[0].endswith("istio.io")
