"""SPIFFE identities: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`. Source: Istio pkg/spiffe."""

from __future__ import annotations

from typing import NamedTuple

SCHEME = "spiffe://"


class SpiffeId(NamedTuple):
    """A workload's identity in Istio's form."""

    trust_domain: str
    namespace: str
    service_account: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"

    @property
    def principal(self) -> str:
        """Without the scheme, as AuthorizationPolicy writes it."""
        return str(self).removeprefix(SCHEME)


def workload_identity(trust_domain: str, namespace: str, service_account: str) -> SpiffeId:
    """The identity of a workload; an `@` in the trust domain becomes a dot, as in Istio."""
    return SpiffeId(trust_domain.replace("@", "."), namespace, service_account)


def parse_spiffe(uri: str) -> SpiffeId | None:
    """The parts of an identity in Istio's form; None for any other text."""
    if not uri.startswith(SCHEME):
        return None
    parts = uri[len(SCHEME) :].split("/")
    if len(parts) != 5 or parts[1] != "ns" or parts[3] != "sa" or not all(parts):
        return None
    return SpiffeId(parts[0], parts[2], parts[4])


def trust_domain_of(uri: str) -> str:
    """The trust domain of any SPIFFE URI; empty when it is none."""
    return uri[len(SCHEME) :].partition("/")[0] if uri.startswith(SCHEME) else ""
