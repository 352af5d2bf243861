"""Which certificates a mesh needs: one for each WorkloadEntry, and those that are asked for by name."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from pyproxy.core.errors import CommandError
from pyproxy.core.spiffe import workload_identity
from pyproxy.istio.resources import Document
from pyproxy.mtls.authority import Names
from pyproxy.mtls.issuing import Order
from pyproxy.snapshot.identity import identity_of
from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.workloads import Workloads

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._@-]*[A-Za-z0-9])?")
"""A part of an identity or of a path: no slash in it, no dot at its start."""
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_ACCOUNT = "default"


def trust_domain_in(documents: Sequence[Document]) -> str:
    """MeshConfig's, `cluster.local` when there is none."""
    return mesh_settings(documents).trust_domain


def every_workload(documents: Sequence[Document], trust_domain: str) -> list[Order]:
    """A certificate for each WorkloadEntry document, under its own name."""
    orders = {}
    for each in Workloads(documents).all:
        order = _order(each.entry_name, each.namespace, each.service_account or _ACCOUNT, trust_domain)
        orders[order.name] = order
    return list(orders.values())


def one_workload(documents: Sequence[Document], workload: str, trust_domain: str) -> Order:
    """A certificate for `NAME[.NAMESPACE]`. Raises CommandError for a WorkloadEntry that is not there."""
    who = identity_of(documents, workload)
    return _order(workload.partition(".")[0], who.namespace, who.service_account, trust_domain)


def one_identity(workload: str, identity: str, trust_domain: str) -> Order:
    """A certificate for a proxy that no document names: `NAME[.NAMESPACE]` and `NAMESPACE/ACCOUNT`.

    Raises CommandError.
    """
    namespace, slash, account = identity.partition("/")
    name, _, said = workload.partition(".")
    if not slash or not _NAME.fullmatch(namespace) or not _NAME.fullmatch(account):
        raise CommandError(f"{identity!r} is no identity such as shop/reviews: a namespace and a service account")
    if not _NAME.fullmatch(name):
        raise CommandError(f"{workload!r} is no workload such as reviews-v1 or reviews-v1.shop")
    if said not in ("", namespace):
        raise CommandError(f"{workload} is in namespace {said}, its identity {identity} in another")
    return _order(name, namespace, account, trust_domain)


def _order(name: str, namespace: str, account: str, trust_domain: str) -> Order:
    if not _NAME.fullmatch(trust_domain):
        raise CommandError(f"{trust_domain!r} is no trust domain such as cluster.local")
    return Order(f"{name}.{namespace}", Names(workload_identity(trust_domain, namespace, account)))


def one_server(hosts: Sequence[str], credential: str = "") -> Order:
    """A certificate for a Gateway's server, in the folder of a `credentialName`: the first host if not said.

    Raises CommandError.
    """
    for host in hosts:
        if not _HOST.fullmatch(host) or _is_address(host):
            raise CommandError(f"{host!r} is no DNS name such as example.com or *.example.com")
    name = credential or hosts[0].replace("*", "wildcard")
    if not _NAME.fullmatch(name):
        raise CommandError(f"{name!r} is no name of a credential such as shop-cert")
    return Order(name, Names(dns=tuple(hosts)), credential=True)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
