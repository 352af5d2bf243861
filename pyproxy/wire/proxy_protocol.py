"""The PROXY protocol's header: who the client was, in front of a connection's first byte.

Source: haproxy doc/proxy-protocol.txt; what is sent without a client is Envoy's (upstream_proxy_protocol.cc).
"""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

Ends: TypeAlias = tuple[str, str]
"""Where a client's connection came from and where it went, `ip:port` each; empty: there is no client."""
NOBODY: Final[Ends] = ("", "")

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_LOCAL: Final = _SIGNATURE + b"\x20\0\0\0"
_FAMILIES: Final = {4: b"\x11", 6: b"\x21"}


def header(version: str, ends: Ends) -> bytes:
    """The header of version `V1` or `V2`. V2 can say that there is no client, V1 cannot: give its own ends."""
    source, destination = _split(ends[0]), _split(ends[1])
    if source is None or destination is None:
        return _LOCAL if version == "V2" else b"PROXY UNKNOWN\r\n"
    if version == "V2":
        return _binary(*source, *destination)
    (source_ip, source_port), (ip, port) = source, destination
    return f"PROXY TCP{source_ip.version} {source_ip} {ip} {source_port} {port}\r\n".encode()


_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def _binary(source: _Address, source_port: int, destination: _Address, port: int) -> bytes:
    if source.version != destination.version:
        return _LOCAL
    body = source.packed + destination.packed + source_port.to_bytes(2, "big") + port.to_bytes(2, "big")
    return _SIGNATURE + b"\x21" + _FAMILIES[source.version] + len(body).to_bytes(2, "big") + body


def _split(address: str) -> tuple[_Address, int] | None:
    """None: no address of IP."""
    host, _, port = address.rpartition(":")
    try:
        return ipaddress.ip_address(host.strip("[]")), int(port)
    except ValueError:
        return None
