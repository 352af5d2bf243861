"""Every code that validate and analyze give: its severity, its name, what it means. Istio's where Istio has one.

Source: Istio pkg/config/analysis/msg/messages.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyproxy.istio.problems import Severity


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding."""

    severity: Severity
    name: str
    meaning: str


CODES: Mapping[str, Code] = {
    # Istio's
    "IST0002": Code("warning", "Deprecated", "a deprecated field or value is used"),
    "IST0101": Code("error", "ReferencedResourceNotFound", "something is named that no document defines"),
    "IST0106": Code("error", "SchemaValidationError", "the document is not valid"),
    "IST0107": Code("warning", "MisplacedAnnotation", "an annotation is for other kinds of resources"),
    "IST0108": Code("warning", "UnknownAnnotation", "Istio knows no such annotation"),
    "IST0109": Code("error", "ConflictingMeshGatewayVirtualServiceHosts", "two VirtualServices for one host"),
    "IST0110": Code("error", "ConflictingSidecarWorkloadSelectors", "two Sidecars select one workload"),
    "IST0111": Code("error", "MultipleSidecarsWithoutWorkloadSelectors", "two Sidecars for a whole namespace"),
    "IST0112": Code("error", "VirtualServiceDestinationPortSelectorRequired", "which of several ports is meant?"),
    "IST0116": Code("warning", "DeploymentAssociatedToMultipleServices", "one port of a workload, two protocols"),
    "IST0118": Code("info", "PortNameIsNotUnderNamingConvention", "a port's name does not tell its protocol"),
    "IST0125": Code("warning", "InvalidAnnotation", "an annotation has a value that means nothing"),
    "IST0127": Code("warning", "NoMatchingWorkloadsFound", "an AuthorizationPolicy selects no workload"),
    "IST0128": Code("warning", "NoServerCertificateVerificationDestinationLevel", "TLS without an authority to trust"),
    "IST0129": Code("warning", "NoServerCertificateVerificationPortLevel", "the same, for one port"),
    "IST0130": Code("warning", "VirtualServiceUnreachableRule", "a rule that no request reaches"),
    "IST0131": Code("info", "VirtualServiceIneffectiveMatch", "a match that an earlier one covers"),
    "IST0132": Code("warning", "VirtualServiceHostNotFoundInGateway", "the gateway does not serve the host"),
    "IST0133": Code("warning", "SchemaWarning", "valid, and probably not what was meant"),
    "IST0134": Code("warning", "ServiceEntryAddressesRequired", "TCP needs addresses to be told apart by"),
    "IST0135": Code("info", "DeprecatedAnnotation", "an annotation is deprecated"),
    "IST0137": Code("warning", "DeploymentConflictingPorts", "one target port behind different service ports"),
    "IST0138": Code("warning", "GatewayDuplicateCertificate", "one certificate in several gateways"),
    "IST0140": Code("warning", "IngressRouteRulesNotAffected", "a subset route that the gateway passes by"),
    "IST0145": Code("error", "ConflictingGateways", "two gateways for one port and host"),
    "IST0149": Code("error", "JwtClaimBasedRoutingWithoutRequestAuthN", "routes by claims that nobody verifies"),
    "IST0150": Code("warning", "ExternalNameServiceTypeInvalidPortName", "a port of an ExternalName service"),
    "IST0157": Code("warning", "InvalidTelemetryProvider", "access logging without a provider is ignored"),
    "IST0159": Code("error", "ConflictingTelemetryWorkloadSelectors", "two Telemetries select one workload"),
    "IST0160": Code("error", "MultipleTelemetriesWithoutWorkloadSelectors", "two Telemetries for a namespace"),
    "IST0161": Code("error", "InvalidGatewayCredential", "a credential's files are not there"),
    "IST0162": Code("warning", "GatewayPortNotDefinedOnService", "the gateway's Service does not have the port"),
    "IST0165": Code("warning", "ReferencedInternalGateway", "a gateway that Istio generates for itself is named"),
    "IST0167": Code("warning", "IneffectivePolicy", "a policy has no effect"),
    "IST0173": Code("error", "DestinationRuleSubsetNotSelectPods", "a subset without endpoints"),
    "IST0174": Code("warning", "UnknownDestinationRuleHost", "a DestinationRule for a host that nobody has"),
    "IST0175": Code("warning", "JwksUriFetchUnrestricted", "keys are fetched from wherever documents say"),
    "IST0177": Code("warning", "ConflictingServiceEntryProtocol", "one host and port, two protocols"),
    # Ours, about the text of documents
    "PYP0001": Code("error", "Unreadable", "a file cannot be read"),
    "PYP0002": Code("error", "NotYaml", "the text is not YAML"),
    "PYP0003": Code("error", "NotAResource", "a document without apiVersion and kind"),
    "PYP0004": Code("warning", "NotApplied", "a kind, or a part, that has no meaning here"),
    "PYP0005": Code("warning", "NotActedOn", "Istio's API has it, and pyproxy does not act on it"),
    "PYP0006": Code("warning", "WithoutEffect", "a field that does nothing beside another"),
    # Ours, about documents together
    "PYP0101": Code("warning", "FaultBesideRetries", "retries and timeouts do not see an injected fault"),
    "PYP0102": Code("warning", "TriesOutlastTimeout", "the timeout ends before the tries do"),
    "PYP0103": Code("warning", "RetryFanOut", "retries of several tiers multiply"),
    "PYP0104": Code("warning", "WeightsNotHundred", "weights that are no percentages"),
    "PYP0105": Code("warning", "SingleEndpointUnderOutlierDetection", "there is no other endpoint to go to"),
    "PYP0106": Code("warning", "OutlierDetectionNeverEjects", "maxEjectionPercent is less than one endpoint"),
    "PYP0107": Code("warning", "DuplicateResource", "two documents of one kind, namespace and name"),
    "PYP0108": Code("warning", "ServiceWithoutEndpoints", "a service that nobody answers for"),
    "PYP0109": Code("warning", "TlsModeConflict", "a client's TLS is not what the workload takes"),
    "PYP0110": Code("warning", "FailoverWithoutOutlierDetection", "locality failover has nothing to tell it when"),
    "PYP0111": Code("warning", "FaultNeverFires", "a fault without percentage"),
    "PYP0112": Code("warning", "TrafficPolicyIgnored", "an older DestinationRule has the host's traffic policy"),
}
