"""pyproxy: the service-mesh data plane without Kubernetes.

Read docs/architecture.md for the map; `app.py` wires one worker together.
"""

__version__ = "0.1.0"
