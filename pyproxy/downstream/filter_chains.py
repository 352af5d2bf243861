"""Which of a listener's ways a connection takes: TLS ended here or not, HTTP or TCP; none, and it is closed.

Source: Istio pilot/pkg/networking/core/filterchain_options.go (inbound), gateway.go (SNI); Envoy's order of matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from pyproxy.core.tls import MtlsMode, ServerTls, ServerTlsMode
from pyproxy.mtls.alpn import ISTIO, ISTIO_HTTP
from pyproxy.wire.client_hello import ClientHello


class Chain(NamedTuple):
    """How a connection is served."""

    tls: bool
    """Its TLS ends here."""
    protocol: str
    """What is within: http, tcp, or auto (the first bytes tell)."""


_PROTOCOLS: Final = ("http", "tcp", "auto")
AS_IT_IS: Final = {protocol: Chain(tls=False, protocol=protocol) for protocol in _PROTOCOLS}
"""Protocol → the way of its connections whose TLS, if any, does not end here."""
ENDING_TLS: Final = {protocol: Chain(tls=True, protocol=protocol) for protocol in _PROTOCOLS}
"""And of those whose does."""


def inbound_chain(mode: MtlsMode, protocol: str, hello: ClientHello | None) -> Chain | None:
    """The way into a workload's port of a protocol (http, tcp, auto); `hello` None is plaintext. None: there is none.

    STRICT takes any TLS, as the handshake asks for the mesh's certificate; PERMISSIVE tells the mesh's proxies from
    applications that speak TLS themselves by their ALPN; DISABLE does not look.
    """
    if mode is MtlsMode.DISABLE:
        return AS_IT_IS[protocol]
    strict = mode is MtlsMode.STRICT
    if hello is None:
        return None if strict else AS_IT_IS[protocol]
    asked = [each for each in hello.alpn if each in ISTIO]
    if protocol == "http":
        return ENDING_TLS["http"] if strict or asked else None
    if protocol == "auto":
        speaks_http = any(each in ISTIO_HTTP for each in (asked if strict else asked[:1]))
        protocol = "http" if speaks_http else "tcp"
    return ENDING_TLS[protocol] if strict or asked else AS_IT_IS["tcp"]


def server_for(servers: Sequence[ServerTls], server_name: str) -> ServerTls | None:
    """The Gateway's server for an SNI in lower case: exact, then the longest wildcard, then `*`."""
    best: ServerTls | None = None
    longest = -1
    for server in servers:
        for host in server.hosts:
            fit = _fit(host.lower(), server_name)
            if fit > longest:
                best, longest = server, fit
    return best


def lets_in(server: ServerTls, hello: ClientHello | None) -> bool:
    """Whether a server that was chosen takes the connection: what leads into the mesh by itself is for its proxies."""
    if server.mode is not ServerTlsMode.AUTO_PASSTHROUGH:
        return True
    return hello is not None and any(each in ISTIO for each in hello.alpn)


def _fit(host: str, name: str) -> int:
    """How well a host fits: -1 not at all."""
    if host == "*":
        return 0
    if host.startswith("*"):
        return len(host) if name.endswith(host[1:]) and len(name) > len(host) - 1 else -1
    return 1 << 16 if host == name else -1
