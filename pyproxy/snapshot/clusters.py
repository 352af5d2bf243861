"""Services under their policies → clusters: one per service port, and one more per subset of the DestinationRule.

Source: Istio pilot/pkg/networking/core/cluster.go, cluster_builder.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from pyproxy.policy.balancing import Algorithm, LoadBalancing
from pyproxy.policy.circuit_breaker import CircuitBreakers
from pyproxy.policy.outlier import OutlierPolicy
from pyproxy.snapshot.destination_rules import DestinationPolicy, DestinationRules
from pyproxy.snapshot.hosts import is_address
from pyproxy.snapshot.locality import LocalitySetting, effective_setting, place_endpoints
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import (
    BLACKHOLE_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    PASSTHROUGH_CLUSTER,
    Cluster,
    ConnectionSettings,
    Discovery,
    Endpoint,
    Identity,
)
from pyproxy.snapshot.policies import (
    EffectivePolicy,
    circuit_breakers,
    connection_settings,
    effective_policy,
    for_version,
    http_version,
    introduced,
    load_balancing,
    outlier_policy,
    subset_policy,
)
from pyproxy.snapshot.services import Resolution, Service, ServicePort
from pyproxy.snapshot.tls import ClientSide, cluster_sni
from pyproxy.snapshot.workloads import UNIX

_PASSTHROUGH_IDLE = 300.0
_DISCOVERY = {
    Resolution.DNS: Discovery.STRICT_DNS,
    Resolution.DNS_ROUND_ROBIN: Discovery.LOGICAL_DNS,
    Resolution.DYNAMIC_DNS: Discovery.ORIGINAL_DST,
    Resolution.NONE: Discovery.ORIGINAL_DST,
}
_LOOKED_UP = (Discovery.STRICT_DNS, Discovery.LOGICAL_DNS)


def cluster_name(port: int, subset: str, host: str) -> str:
    """Istio's name of an outbound cluster."""
    return f"outbound|{port}|{subset}|{host}"


@dataclass(frozen=True)
class _Settings:
    """The compiled blocks of one effective policy. Clusters without a rule of their own share them."""

    policy: EffectivePolicy
    mesh: MeshSettings

    @cached_property
    def balancing(self) -> LoadBalancing:
        return load_balancing(self.policy)

    @cached_property
    def connection(self) -> ConnectionSettings:
        return introduced(connection_settings(self.policy.connection_pool, self.mesh), self.policy.proxy_protocol)

    @cached_property
    def breakers(self) -> CircuitBreakers:
        return circuit_breakers(self.policy.connection_pool, self.policy.retry_budget)

    @cached_property
    def outlier(self) -> OutlierPolicy | None:
        return outlier_policy(self.policy.outlier_detection)

    def locality(self, service: Service) -> LocalitySetting | None:
        return effective_setting(self.policy.load_balancer, service.traffic_distribution, self.mesh)


class Clusters:
    """Compiles the clusters of one proxy."""

    def __init__(self, rules: DestinationRules, tls: ClientSide, identity: Identity, mesh: MeshSettings) -> None:
        self._rules = rules
        self._tls = tls
        self._identity = identity
        self._mesh = mesh
        self._default = _Settings(effective_policy(None, 0, mesh), mesh)
        self._known: dict[tuple[int, int], _Settings] = {}

    def compile(self, services: Iterable[Service]) -> Iterator[Cluster]:
        """Every port of every service, UDP left out, each with its subsets."""
        for service in services:
            rule = self._rules.for_service(service)
            names = self._tls.identities(service)
            for port in service.ports:
                if not port.udp:
                    yield from self._port(service, port, rule, names)

    def inbound(self, service: Service, port: ServicePort) -> tuple[EffectivePolicy, str]:
        """What the rule of the workload's own service says for one port, and the rule's name."""
        rule = self._rules.for_service(service, inbound=True)
        policy = effective_policy(rule.traffic_policy if rule else None, port.number, self._mesh)
        return policy, rule.name if rule else ""

    def _port(
        self, service: Service, port: ServicePort, rule: DestinationPolicy | None, names: tuple[str, ...]
    ) -> Iterator[Cluster]:
        settings = self._settings(rule, port.number)
        endpoints = service.endpoints.get(port.number, ())
        main = self._cluster(service, port, "", endpoints, settings, rule, names)
        if main is not None:
            yield main
        if rule is None:
            return
        for subset in rule.subsets.values():
            own = settings
            if subset.traffic_policy is not None:
                own = _Settings(subset_policy(settings.policy, subset.traffic_policy, port.number), self._mesh)
            labels = subset.labels.items()
            chosen = tuple(each for each in endpoints if all(each.labels.get(key) == value for key, value in labels))
            cluster = self._cluster(service, port, subset.name, chosen, own, rule, names)
            if cluster is not None:
                yield cluster

    def _settings(self, rule: DestinationPolicy | None, port: int) -> _Settings:
        if rule is None or rule.traffic_policy is None:
            return self._default
        key = (id(rule), port)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _Settings(effective_policy(rule.traffic_policy, port, self._mesh), self._mesh)
        return found

    def _cluster(
        self,
        service: Service,
        port: ServicePort,
        subset: str,
        endpoints: tuple[Endpoint, ...],
        settings: _Settings,
        rule: DestinationPolicy | None,
        names: tuple[str, ...],
    ) -> Cluster | None:
        """None for a name to look up that nobody gives: Envoy refuses such a cluster, so it does not exist (503 NC)."""
        discovery = self._discovery(service, endpoints, settings.balancing)
        if discovery in _LOOKED_UP and not endpoints and service.resolution is not Resolution.STATIC:
            return None
        placed, weights = place_endpoints(
            endpoints, settings.locality(service), self._identity, failover=settings.outlier is not None
        )
        balancing = settings.balancing
        version = http_version(
            settings.policy.connection_pool, port.protocol, self._mesh, sidecar=not self._identity.gateway
        )
        return Cluster(
            name=cluster_name(port.number, subset, service.host),
            discovery=discovery,
            endpoints=placed,
            service=service.name,
            port=port.number,
            subset=subset,
            protocol=port.protocol,
            http_version=version,
            load_balancing=balancing if weights is None else replace(balancing, locality_weights=weights),
            connection=for_version(settings.connection, version),
            breakers=settings.breakers,
            outlier=settings.outlier,
            dns_refresh=self._mesh.dns_refresh,
            original_port=port.target if service.resolution is Resolution.NONE and not service.kubernetes else None,
            mesh_external=service.external,
            destination_rule=rule.name if rule else "",
            tls=self._tls.compile(
                service,
                cluster_sni(port.number, subset, service.host),
                settings.policy.tls,
                endpoints,
                discovery,
                version if port.http else "",
                names,
                selected=rule is not None and rule.selector is not None,
            ),
        )

    def _discovery(self, service: Service, endpoints: tuple[Endpoint, ...], balancing: LoadBalancing) -> Discovery:
        """Gateways have no original destination: there a service without resolution has the endpoints that it lists."""
        if balancing.algorithm is Algorithm.PASSTHROUGH:
            return Discovery.ORIGINAL_DST
        if service.resolution is Resolution.NONE and self._identity.gateway:
            return discovery_of(endpoints)
        return _DISCOVERY.get(service.resolution) or discovery_of(endpoints)


def discovery_of(endpoints: Iterable[Endpoint]) -> Discovery:
    """STATIC, unless some address is a host name that has to be looked up."""
    if all(is_address(each.address) or each.address.startswith(UNIX) for each in endpoints):
        return Discovery.STATIC
    return Discovery.STRICT_DNS


def built_in_clusters(mesh: MeshSettings) -> tuple[Cluster, ...]:
    """The clusters that every proxy has: where traffic was going, nowhere, and the workload's undeclared ports."""
    default = mesh.config.default_traffic_policy
    pool = default.connection_pool if default is not None else None
    connection = connection_settings(pool, mesh)
    if pool is None:
        connection = replace(connection, idle_timeout=_PASSTHROUGH_IDLE)
    passthrough = Cluster(
        name=PASSTHROUGH_CLUSTER,
        discovery=Discovery.ORIGINAL_DST,
        protocol="auto",
        http_version="downstream",
        load_balancing=LoadBalancing(algorithm=Algorithm.PASSTHROUGH),
        connection=connection,
        breakers=circuit_breakers(pool, None),
        mesh_external=True,
    )
    return (
        passthrough,
        replace(passthrough, name=INBOUND_PASSTHROUGH_CLUSTER, mesh_external=False),
        Cluster(name=BLACKHOLE_CLUSTER, load_balancing=LoadBalancing(algorithm=Algorithm.ROUND_ROBIN)),
    )
