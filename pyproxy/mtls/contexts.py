"""The TLS contexts of a process: made from certificates and parameters, kept until their certificates change.

OpenSSL verifies chains and dates, and asks whom a certificate names (peers.py) before its handshake ends. A new
certificate or root makes new contexts: connections that there are go on under theirs, and no session of theirs is
resumed.
Source: Istio pilot/pkg/networking/core/cluster_tls.go, pkg/security/model/authentication.go (parameters, ALPN).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pyproxy.core.loop import Clock, SystemClock
from pyproxy.core.tls import ClientTls, ClientTlsMode, MeshTls, ServerTls, ServerTlsMode, TlsParameters
from pyproxy.mtls.alpn import SERVER_HTTP, SERVER_TCP
from pyproxy.mtls.failure import TlsError
from pyproxy.mtls.holding import Holding
from pyproxy.mtls.material import Material, MaterialError, Sources, workload_sources
from pyproxy.snapshot.model import Snapshot

if TYPE_CHECKING:
    from pyproxy.mtls.openssl import TlsContext  # 8 MB come with it, which who has no TLS need not pay

CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
"""Envoy's, for TLS 1.2 where nobody says (context_config_impl.cc); those of TLS 1.3 are not a choice."""
_NO_CERTIFICATE: Final = (
    "mutual TLS is asked for towards a service, and this proxy has no certificate: give it one with --certs DIR "
    "(pyproxy certs issue makes them)"
)
_log: Final = logging.getLogger("pyproxy.certs")
_VERSIONS: Final = {"TLSv1_2": 0x0303, "TLSv1_3": 0x0304}
NOT_READY: Final = "TLS error: Secret is not supplied by SDS"
"""What an Envoy says of a connection for which it has no certificate (ssl_socket.cc)."""


class Contexts:
    """Every context of this process, and the files that they come from."""

    def __init__(self, folder: Path | None = None, clock: Clock | None = None) -> None:
        """`folder` holds the workload's certificate; None: this proxy has none. `check` says whether it is any good."""
        self.clock = clock or SystemClock()
        self._made: dict[Hashable, TlsContext | None] = {}
        self._holdings: dict[Sources, Holding] = {}
        self.workload: Holding | None = None
        """The workload's own certificate and the mesh's roots."""
        if folder is not None:
            from pyproxy.mtls.reading import read_workload  # here: see facts.py

            sources = workload_sources(folder)
            self.workload = Holding(sources, lambda now: read_workload(folder, now), self.clock)
            self._holdings[sources] = self.workload

    def check(self, expected: str) -> None:
        """Before anything is served: raises MaterialError when there should be a certificate, and is none.

        `expected` is the identity that documents give this proxy, by which others will know it; empty: none does.
        """
        if self.workload is None:
            return
        material = self.workload.material
        if material is None:
            raise MaterialError(self.workload.error)
        if expected not in ("", material.identity):
            _log.warning(
                "%s: is for %s, and the documents say that this workload is %s: others may refuse it",
                self.workload.path,
                material.identity,
                expected,
            )

    @property
    def has_certificate(self) -> bool:
        """Whether this proxy can speak mutual TLS within the mesh."""
        return self.workload is not None

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """What was read, the workload's first."""
        return tuple(self._holdings.values())

    def server(self, mesh: MeshTls, tcp: bool = False) -> TlsContext | None:
        """Mutual TLS on an inbound port; `tcp`: what follows is no HTTP. None: this proxy has no certificate."""
        parameters = mesh.parameters

        def make() -> TlsContext:
            context = _context(parameters, SERVER_TCP if tcp else SERVER_HTTP, server_side=True, now=self.clock.time)
            context.verify("everybody")
            self._load(context, self._own())
            return context

        return self._kept(("server", parameters, tcp), make)

    def gateway(self, server: ServerTls) -> TlsContext | None:
        """TLS on a Gateway's server. None: its files cannot be used, as the log says."""

        def make() -> TlsContext:
            context = _context(server.parameters, _before(server), server_side=True, now=self.clock.time)
            if server.mode is ServerTlsMode.ISTIO_MUTUAL:
                context.verify("everybody")
                self._load(context, self._own())
                return context
            if server.mode in _ASKING and not server.accept_untrusted:
                context.verify(_ASKING[server.mode])
            for certificate, key in server.more_certificates:
                self._load(context, self._held(Sources(certificate, key)))
            self._load(context, self._held(sources_of_server(server)))
            return context

        return self._kept(server, make)

    def client(self, tls: ClientTls, alpn: tuple[str, ...]) -> TlsContext | None:
        """TLS towards a cluster, offering these protocols. None: there is no certificate, or the files are no good."""
        own = tls.mode is ClientTlsMode.ISTIO_MUTUAL
        sources = sources_of_client(tls)

        def make() -> TlsContext:
            if own and not self.has_certificate:
                _log.error("%s", _NO_CERTIFICATE)
            context = _context(tls.parameters, alpn, server_side=False, now=self.clock.time)
            context.verify("nobody" if tls.insecure_skip_verify else "everybody")
            self._load(context, self._own() if own else self._held(sources))
            if not own and not tls.ca_file and not tls.insecure_skip_verify:
                context.roots.add_the_systems()
            return context

        return self._kept(("client", own, sources, tls.insecure_skip_verify, tls.parameters, alpn), make)

    def renew(self) -> None:
        """Some file's content is another now: new connections get new contexts."""
        self._made.clear()

    def follow(self, snapshot: Snapshot) -> None:
        """Documents name these files and no others: read what is new, forget what is gone."""
        named = _named(snapshot)
        own = self.workload.sources if self.workload is not None else None
        gone = [sources for sources in self._holdings if sources not in named and sources != own]
        for sources in gone:
            del self._holdings[sources]
        for sources in sorted(named):
            self._hold(sources)
        if gone:
            self.renew()

    # For itself

    def _kept(self, key: Hashable, make: Callable[[], TlsContext]) -> TlsContext | None:
        """What cannot be made is kept too, until a file changes: so the reason is said once."""
        if key not in self._made:
            try:
                self._made[key] = make()
            except MaterialError:
                self._made[key] = None
        return self._made[key]

    def _own(self) -> Material:
        if self.workload is None or self.workload.material is None:
            raise MaterialError(_NO_CERTIFICATE)
        return self.workload.material

    def _held(self, sources: Sources) -> Material:
        if not sources.paths:
            return Material(sources)
        holding = self._hold(sources)
        if holding.material is None:
            raise MaterialError(holding.error)  # which the holding logs
        return holding.material

    def _hold(self, sources: Sources) -> Holding:
        found = self._holdings.get(sources)
        if found is None:
            found = self._holdings[sources] = Holding(sources, None, self.clock)
        return found

    def _load(self, context: TlsContext, material: Material) -> None:
        try:
            material.load_into(context)
        except TlsError as error:
            refusal = f"{', '.join(material.sources.paths)}: OpenSSL does not take it: {error.reason}"
            _log.error("%s", refusal)
            raise MaterialError(refusal) from None
        if material.chain:
            context.local_uri_san = material.chain[0].uri_sans[0] if material.chain[0].uri_sans else ""
            context.local_subject = material.chain[0].subject


_ASKING: Final = {
    ServerTlsMode.MUTUAL: "everybody",
    ServerTlsMode.OPTIONAL_MUTUAL: "who shows one",
}
"""The modes in which a Gateway asks its clients for a certificate."""


def sources_of_client(tls: ClientTls) -> Sources:
    """The files that a DestinationRule names."""
    return Sources(tls.certificate_file, tls.key_file, tls.ca_file, tls.crl_file)


def sources_of_server(server: ServerTls) -> Sources:
    """The files that a Gateway's server names first."""
    asks = server.mode in _ASKING
    return Sources(
        server.certificate_file, server.key_file, server.ca_file if asks else "", server.crl_file if asks else ""
    )


def _named(snapshot: Snapshot) -> set[Sources]:
    """Every set of files that documents name."""
    found = {sources_of_client(cluster.tls) for cluster in snapshot.clusters.values() if cluster.tls is not None}
    for listener in snapshot.listeners:
        for server in listener.server_tls:
            found.add(sources_of_server(server))
            found.update(Sources(*pair) for pair in server.more_certificates)
    return {sources for sources in found if sources.paths}


def _before(server: ServerTls) -> tuple[str, ...]:
    """The protocols of a Gateway's server (Istio listener.go, BuildListenerTLSContext)."""
    if server.route_table:
        return SERVER_HTTP
    return SERVER_TCP if server.mode is ServerTlsMode.ISTIO_MUTUAL else ()


def _context(
    parameters: TlsParameters, alpn: tuple[str, ...], *, server_side: bool, now: Callable[[], float]
) -> TlsContext:
    """Versions, ciphers, protocols; a version that OpenSSL cannot do securely is 1.2."""
    from pyproxy.mtls.openssl import TlsContext

    context = TlsContext(server_side=server_side, now=now)
    context.set_versions(
        _VERSIONS.get(parameters.min_version, _VERSIONS["TLSv1_2"]),
        _VERSIONS.get(parameters.max_version, _VERSIONS["TLSv1_3"]),
    )
    try:
        context.set_ciphers(":".join(parameters.ciphers or CIPHERS))
    except TlsError:  # none of them exists here
        context.set_ciphers(":".join(CIPHERS))
    if alpn:
        context.set_alpn(alpn)
    return context
