"""Who may use the admin port: no page of another site, whatever name it gave this address or form it sent here.

A browser on this machine reaches loopback ports too. A name that is rebound to our address (DNS rebinding) shows in
Host; a form or a script of another site shows in Origin and Sec-Fetch-Site (Fetch standard, section 3.2; RFC 6454).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit


class Guard:
    """Admits requests by their headers. `bound` is the address of the port, which may be a name."""

    def __init__(self, bound: str) -> None:
        self._names = frozenset({"localhost", bound.lower(), socket.gethostname().lower()})

    def refusal(self, method: str, headers: Mapping[str, str]) -> str:
        """Why a request is refused; empty when it is welcome. `headers` finds names in any case."""
        host = headers.get("Host", "")
        if host and not self._is_ours(host):
            return f"Host {host!r} is not this machine: use an IP address or localhost."
        if method in ("GET", "HEAD"):
            return ""
        site = headers.get("Sec-Fetch-Site", "none")
        origin = headers.get("Origin")
        if site not in ("none", "same-origin") or (origin is not None and urlsplit(origin).netloc != host):
            return "Another site's page may not change anything here."
        return ""

    def _is_ours(self, host: str) -> bool:
        name = host.lower()
        if name.startswith("["):
            name = name[1:].partition("]")[0]
        else:
            name = name.rpartition(":")[0] or name
        if name in self._names or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
