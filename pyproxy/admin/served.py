"""What the admin ports need of the process that they speak for: a narrow view of the App."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pyproxy.core.loop import Clock
from pyproxy.mtls.holding import Holding
from pyproxy.runtime.counters import (
    HttpStats,
    ListenerManagerStats,
    ListenerStats,
    TcpProxyStats,
    TcpStats,
    TracerStats,
)
from pyproxy.runtime.live import Live
from pyproxy.snapshot.model import Listener
from pyproxy.telemetry.metrics import IstioMetrics
from pyproxy.upstream.jwks import Fetches
from pyproxy.wire.http2_stats import Http2Stats


class Flags(Protocol):
    """The process's flags: where we listen, and the rest for /server_info."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def config(self) -> tuple[Path, ...]: ...
    @property
    def admin_address(self) -> str: ...
    @property
    def admin_port(self) -> int: ...
    @property
    def status_address(self) -> str: ...
    @property
    def status_port(self) -> int: ...
    @property
    def metrics_port(self) -> int: ...
    @property
    def drain_duration(self) -> float: ...
    @property
    def log_level(self) -> str: ...


class Reloads(Protocol):
    """How reloads went."""

    @property
    def successful(self) -> bool: ...
    @property
    def succeeded_at(self) -> float:
        """Unix seconds."""
        ...

    @property
    def accepted(self) -> int: ...
    @property
    def rejected(self) -> int: ...
    @property
    def errors(self) -> tuple[str, ...]: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...


class Bound(Protocol):
    """One listener while it runs."""

    @property
    def listener(self) -> Listener: ...
    @property
    def port(self) -> int: ...
    @property
    def connections(self) -> int: ...


class Served(Protocol):
    """The running proxy."""

    @property
    def settings(self) -> Flags: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def started_at(self) -> float:
        """Unix seconds."""
        ...

    @property
    def state(self) -> str:
        """Envoy's word: INITIALIZING, LIVE or DRAINING."""
        ...

    @property
    def live(self) -> Live: ...
    @property
    def listeners(self) -> Mapping[tuple[object, ...], Bound]: ...
    @property
    def http_stats(self) -> Mapping[str, HttpStats]:
        """The connection managers' statistics, by prefix."""
        ...

    @property
    def connection_stats(self) -> Mapping[str, ListenerStats]:
        """What listeners count of their connections, by address."""
        ...

    @property
    def http2_stats(self) -> Http2Stats:
        """What clients' connections of HTTP/2 count."""
        ...

    @property
    def tcp_stats(self) -> TcpStats: ...
    @property
    def tcp_proxies(self) -> Mapping[str, TcpProxyStats]:
        """The TCP proxies' statistics, by prefix."""
        ...

    @property
    def tracer_stats(self) -> Mapping[str, TracerStats]:
        """What became of spans, by Envoy's name of the tracer; empty without a collector."""
        ...

    @property
    def listener_stats(self) -> ListenerManagerStats: ...
    @property
    def metrics(self) -> IstioMetrics: ...
    @property
    def reload_status(self) -> Reloads: ...

    @property
    def key_fetches(self) -> Collection[Fetches]:
        """How fetches of token issuers' keys went, by source."""
        ...

    @property
    def certificates(self) -> Sequence[Holding]:
        """What was read of certificates: the workload's own, and the files that documents name."""
        ...

    @property
    def workers(self) -> Sequence[Mapping[str, object]]:
        """Of several processes, each one's `pid` and the `version` that it serves by; empty where there is one."""
        ...

    def addresses(self) -> dict[str, str]:
        """Every bound address by its listener's name."""
        ...

    async def gather(self) -> None:
        """Bring the numbers above up to date: before a page that shows them."""
        ...

    # What operators may ask for

    def fail_health_checks(self) -> None:
        """DRAINING from now on: not ready, and every response says `connection: close`."""
        ...

    def pass_health_checks(self) -> None:
        """Undo it."""
        ...

    def drain_listeners(self, *, inbound_only: bool, graceful: bool, keep_listening: bool) -> None:
        """As Envoy's /drain_listeners: at once, or after the drain time; only inbound ones; or never stop listening."""
        ...

    def on_counters_reset(self) -> None:
        """The numbers above were just put to 0: so must be what they are sums of."""
        ...

    def on_levels_changed(self) -> None:
        """This process's loggers have other levels: so must those of the others."""
        ...

    def stop(self) -> None:
        """Drain and exit."""
        ...
