"""A request in question, and everything that is told of its way: data alone, ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyproxy.analysis.conditions import Checked
from pyproxy.analysis.policies import Values
from pyproxy.analysis.server_side import ServerSide
from pyproxy.core.http import RequestHead


@dataclass(frozen=True, slots=True)
class Asked:
    """The request in question."""

    head: RequestHead
    host: bytes
    """Lower case, without port."""
    port: int | None
    """That the URL, or the Host, names."""
    inbound: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """One route and what the request said to its conditions."""

    index: int
    name: str
    virtual_service: str
    match: str
    matched: bool
    conditions: tuple[Checked, ...] = ()


@dataclass(frozen=True, slots=True)
class Reached:
    """One endpoint as configured; a host name stands for what it resolves to."""

    address: str
    workload: str
    locality: str
    priority: int
    weight: int
    connection: str


@dataclass(frozen=True, slots=True)
class Target:
    """One destination of the route."""

    cluster: str
    share: str
    host: str = ""
    subset: str = ""
    port: int = 0
    destination_rule: str = ""
    policies: Values = field(default_factory=dict)
    headers: Values = field(default_factory=dict)
    endpoints: tuple[Reached, ...] = ()
    server_side: tuple[ServerSide, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole way of one request."""

    request: Values
    listener: Values
    virtual_host: Values = field(default_factory=dict)
    routes: tuple[Tried, ...] = ()
    fault: Values = field(default_factory=dict)
    policies: Values = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    here: ServerSide | None = None
    """The verdict of this proxy's own workload, on what comes in."""
    answer: str = ""
    """What the proxy itself answers; empty when it forwards."""
    notes: tuple[str, ...] = ()
