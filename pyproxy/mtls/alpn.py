"""The application protocols of Istio's proxies in TLS. Source: Istio pilot/pkg/networking/core/listener.go."""

from __future__ import annotations

from typing import Final

ISTIO_HTTP: Final = frozenset({b"istio-http/1.0", b"istio-http/1.1", b"istio-h2"})
"""The client's proxy saw HTTP."""
ISTIO_TCP: Final = frozenset({b"istio-peer-exchange", b"istio"})
"""It did not."""
ISTIO: Final = ISTIO_HTTP | ISTIO_TCP
"""A proxy of the mesh, whatever it carries."""
SERVER_HTTP: Final = ("h2", "http/1.1")
"""What we take before HTTP."""
SERVER_TCP: Final = ("http/1.1",)
"""Before TCP. Istio has istio-peer-exchange before it, which would promise metadata within the stream."""
