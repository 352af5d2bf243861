"""How connections to a cluster are secured: DestinationRule's tls, else automatic mutual TLS, else not at all.

Source: Istio pilot/pkg/networking/core/cluster_tls.go, pilot/pkg/model/push_context.go (BestEffortInferServiceMTLSMode,
addServiceAccounts).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyproxy.core.spiffe import parse_spiffe, workload_identity
from pyproxy.core.tls import ClientTls, ClientTlsMode, MtlsMode, TlsParameters
from pyproxy.istio.networking.destination_rule import ClientTLSSettings
from pyproxy.snapshot.credentials import Credentials
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import Discovery, Endpoint, Identity
from pyproxy.snapshot.peer_authentication import PeerAuthentications
from pyproxy.snapshot.services import Resolution, Service
from pyproxy.wire.peer_exchange import PEER_EXCHANGE

HTTP1_ALPN = ("istio-http/1.1", "istio", "http/1.1")
HTTP2_ALPN = ("istio-h2", "istio", "h2")
TCP_ALPN = (PEER_EXCHANGE, "istio")
CONFIG_MAP = "configmap://"


class ClientSide:
    """TLS towards services, as one proxy has it."""

    def __init__(
        self, authentication: PeerAuthentications, credentials: Credentials, identity: Identity, mesh: MeshSettings
    ) -> None:
        self._authentication = authentication
        self._credentials = credentials
        self._gateway = identity.gateway
        self._mesh = mesh

    def identities(self, service: Service) -> tuple[str, ...]:
        """Who may answer for a service: the accounts of all its endpoints and what its document names, sorted."""
        found = set(service.subject_alt_names)
        for endpoints in service.endpoints.values():
            for each in endpoints:
                if each.service_account:
                    found.add(str(workload_identity(self._mesh.trust_domain, each.namespace, each.service_account)))
        return tuple(sorted(self._in_all_trust_domains(found)))

    def _in_all_trust_domains(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            yield name
            parsed = parse_spiffe(name)
            if parsed is not None:
                yield from (str(parsed._replace(trust_domain=alias)) for alias in self._mesh.trust_domains[1:])

    def compile(
        self,
        service: Service,
        sni: str,
        block: ClientTLSSettings | None,
        endpoints: tuple[Endpoint, ...],
        discovery: Discovery,
        http_version: str,
        names: tuple[str, ...],
        *,
        selected: bool,
    ) -> ClientTls | None:
        """TLS of one cluster; None: plaintext.

        `endpoints` are those of the service's port, `names` who may answer for the service, `sni` Istio's own name of
        the cluster; `http_version` as in Cluster, empty for what is not HTTP. `selected`: the rule names its clients by
        label, and so may name a credential of theirs.
        """
        if block is None:
            return self._automatic(service, sni, endpoints, discovery, http_version, names)
        if block.mode == "ISTIO_MUTUAL":
            return ClientTls(
                ClientTlsMode.ISTIO_MUTUAL,
                sni=block.sni or sni,
                subject_alt_names=block.subject_alt_names or names,
                alpn=_mesh_alpn(http_version),
            )
        if block.mode in ("SIMPLE", "MUTUAL"):
            return self._originate(service, block, http_version, names, selected=selected)
        return None

    def _automatic(
        self,
        service: Service,
        sni: str,
        endpoints: tuple[Endpoint, ...],
        discovery: Discovery,
        http_version: str,
        names: tuple[str, ...],
    ) -> ClientTls | None:
        """Per endpoint; where the endpoint is not ours to choose, only when all of them can."""
        if service.external or not self._mesh.auto_mtls or not any(each.mutual_tls for each in endpoints):
            return None
        if self._authentication.namespace(service.namespace) is MtlsMode.DISABLE:
            return None
        given = discovery is Discovery.ORIGINAL_DST
        if (given or service.resolution is Resolution.NONE) and not all(each.mutual_tls for each in endpoints):
            return None
        return ClientTls(
            ClientTlsMode.ISTIO_MUTUAL,
            automatic=not given,
            sni=sni,
            subject_alt_names=names,
            alpn=_mesh_alpn(http_version),
        )

    def _originate(
        self, service: Service, block: ClientTLSSettings, http_version: str, names: tuple[str, ...], *, selected: bool
    ) -> ClientTls | None:
        """SIMPLE and MUTUAL. Sidecars leave a credential alone, and TLS with it, unless the rule selects them."""
        credential = block.credential_name or ""
        if credential and not credential.startswith(CONFIG_MAP) and not (self._gateway or selected):
            return None
        mutual, skip = block.mode == "MUTUAL", bool(block.insecure_skip_verify)
        certificate, key = block.client_certificate or "", block.private_key or ""
        ca, crl = block.ca_certificates or "", block.ca_crl or ""
        if credential:
            files = self._credentials.named(credential)
            certificate, key, ca, crl = files.certificate, files.key, files.ca, files.crl
        expected = block.subject_alt_names or (() if service.kubernetes else names)
        return ClientTls(
            ClientTlsMode.MUTUAL if mutual else ClientTlsMode.SIMPLE,
            sni=block.sni or "",
            subject_alt_names=() if skip else expected,
            auto_san=not block.sni and not expected and not skip,
            certificate_file=certificate if mutual else "",
            key_file=key if mutual else "",
            ca_file="" if skip or ca == "system" else ca,
            crl_file="" if skip else crl,
            insecure_skip_verify=skip,
            alpn=("h2",) if http_version == "2" else (),
            parameters=TlsParameters(ciphers=self._mesh.tls_defaults.ciphers),
        )


def cluster_sni(port: int, subset: str, host: str) -> str:
    """The server name of a cluster within the mesh."""
    return f"outbound_.{port}_.{subset}_.{host}"


def _mesh_alpn(http_version: str) -> tuple[str, ...]:
    """By what is spoken to the endpoints; empty when each connection decides."""
    return {"1": HTTP1_ALPN, "2": HTTP2_ALPN, "": TCP_ALPN}.get(http_version, ())
